"""When a report is sent: always, on failure, on change, unless it is empty."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from prefect_trackrecord.delivery.sections import When
from prefect_trackrecord.documents.layout import DELIVERIES, safe_part
from prefect_trackrecord.report import Report
from prefect_trackrecord.store.base import Store

FILE = "digest.json"


class Digest(BaseModel):
    """What a change is measured by: the verdict's level, the open errors, and the flows that are broken."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    level: str
    errors: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


def digest_of(report: Report) -> Digest:
    """What to remember of a report. Errors beyond those that a report lists are not told apart."""
    still = {g.fingerprint for g in report.groups.items if g.state in {"new", "recurring"}}
    return Digest(
        level=report.verdict.level,
        errors=tuple(sorted(still)),
        broken=tuple(sorted({b.flow for b in report.broken.items})),
    )


def not_due(when: When, report: Report, last: Digest | None) -> str | None:
    """Why the report is not sent now; None where it is.

    Args:
        when: the rule.
        report: the report.
        last: of the report before; None where there was none: then everything is a change.
    """
    if when == "on_failure" and report.verdict.level not in {"warn", "bad"}:
        return "nothing failed"
    if when == "unless_empty" and not sum(report.runs_by.values()) and report.verdict.level == "empty":
        return "nothing ran"
    if when == "on_change" and digest_of(report) == last:
        return "nothing changed since the last report"
    return None


def remember(store: Store, report: Report) -> None:
    """Note the report's digest for the next one.

    Raises:
        StoreError: it can't be written.
    """
    store.put(f"{_folder(report)}/{safe_part(report.period.key)}/{FILE}", digest_of(report).model_dump_json().encode())


def last_digest(store: Store, report: Report) -> Digest | None:
    """The digest of the newest report before this one's period; None where there is none that can be read.

    Raises:
        StoreError: the store can't be read.
    """
    own = str(report.period.end)
    ends = {name: name.partition("--")[2] for name in store.folders(_folder(report))}
    for name in sorted((n for n, end in ends.items() if end and end < own), key=lambda n: ends[n], reverse=True):
        blob = store.get(f"{_folder(report)}/{name}/{FILE}")
        if blob is not None:
            try:
                return Digest.model_validate_json(blob.data)
            except ValidationError:
                return None
    return None


def _folder(report: Report) -> str:
    return f"{DELIVERIES}/{safe_part(report.name)}"
