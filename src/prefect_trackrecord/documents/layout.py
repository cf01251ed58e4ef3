"""Where each document lies: the seeds' layout of keys, made from checked parts only."""

from __future__ import annotations

import hashlib
import re
from datetime import date, datetime, timezone

RUNS = "run_metadata"
FILES = "file_logs"
EMAILS = "email_logs"
RECORDS = "records"
JOURNAL = "journal"
REPORTS = "reports"
DELIVERIES = "deliveries"

_UNSAFE = re.compile(r"[^A-Za-z0-9._@+=-]+")
_DAY = re.compile(r"(\d{4})/(\d{2})/(\d{2})/")


def safe_part(text: str, limit: int = 80) -> str:
    """`text` as one part of a key or file name, on every system.

    A text that is safe already is returned as it is. Any other gets a short hash of the original at its end, so
    that two different texts never share a part; the empty text is such a one: a part is never empty, or the prefix
    that it ends would hold what belongs to others.
    """
    part = _UNSAFE.sub("-", text).strip("-. ")
    if part and part == text and len(part) <= limit:
        return part
    tag = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{part[: limit - 9].rstrip('-. ')}-{tag}".lstrip("-")


def day_of(moment: datetime) -> str:
    """The day part of keys, `YYYY/MM/DD` in UTC; a moment without time zone is UTC."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc)
    return f"{moment.year:04d}/{moment.month:02d}/{moment.day:02d}"


def date_of_key(key: str) -> date | None:
    """The day that a key names; None where it names none."""
    found = _DAY.search(key)
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


def names_run(key: str, run_id: str) -> bool:
    """Whether a run's document of this key is the one of this id; no id is none's."""
    name = key[key.rfind("/") + 1 : -len(".json")]
    return bool(run_id) and (name == run_id or name == safe_part(run_id))


def run_key(run_id: str, day: str) -> str:
    """The key of a run's `RunMetadata`."""
    return f"{RUNS}/{day}/{safe_part(run_id)}.json"


def files_key(run_id: str, day: str) -> str:
    """The key of a run's list of `FileProcessingLog`."""
    return f"{FILES}/{day}/{safe_part(run_id)}_files.json"


def emails_key(run_id: str, day: str) -> str:
    """The key of a run's list of `EmailResult`."""
    return f"{EMAILS}/{day}/{safe_part(run_id)}_emails.json"


def journal_prefix(run_id: str) -> str:
    """The prefix of a run's segments and seal records."""
    return f"{JOURNAL}/{safe_part(run_id)}"


def seal_key(run_id: str, generation: int) -> str:
    """The key of one generation's seal record."""
    return f"{journal_prefix(run_id)}/seal-{generation:06d}.json"


def records_prefix(process_name: str, run_id: str) -> str:
    """The prefix of a run's business records."""
    return f"{RECORDS}/{safe_part(process_name)}/{safe_part(run_id)}"


def report_key(name: str, period: str, suffix: str, day: str) -> str:
    """The key of a delivery report's page or text; `suffix` without its dot."""
    return f"{REPORTS}/{day}/{safe_part(name)}-{safe_part(period)}.{suffix}"
