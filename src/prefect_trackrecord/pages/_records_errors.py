"""How a record came out where the entry does not say so, and which errors are equal."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from ._records_text import text_of

CATEGORIES = ("failed", "warning", "active", "pending", "other", "skipped", "success")
"""In the order in which people want to see them."""

_BY_STATUS = {
    "": "other",
    "success": "success",
    "completed": "success",
    "approved": "success",
    "exception": "failed",
    "failed": "failed",
    "timeout": "failed",
    "rejected": "failed",
    "warning": "warning",
    "stale": "warning",
    "on hold": "warning",
    "pending": "pending",
    "awaiting review": "pending",
    "running": "active",
    "in progress": "active",
    "retrying": "active",
    "restarted": "active",
    "skipped": "skipped",
    "cancelled": "skipped",
}
_NUMBERS = re.compile(r"0x[0-9a-f]+|\b[0-9a-f-]{16,}\b|\d+", re.IGNORECASE)
_SPACES = re.compile(r"\s+")


def category_of(given: Any, status: str) -> str:
    """The category given, else the one that the status of this name has by default."""
    if isinstance(given, str) and given in CATEGORIES:
        return given
    return _BY_STATUS.get(status.strip().lower(), "other")


@dataclass
class Group:
    """Records that failed alike."""

    key: str
    kind: str
    code: str
    type: str
    message: str
    count: int = 0


def error_of(entry: dict[str, Any]) -> dict[str, str] | None:
    """The entry's error with each of its fields as text; None where it has none."""
    error = entry.get("error")
    if isinstance(error, str) and error:
        error = {"message": error}
    if not isinstance(error, dict):
        return None
    found = {name: text_of(error.get(name)) for name in ("kind", "code", "type", "message", "traceback")}
    return found if any(found.values()) else None


def group_key(record_id: str, error: dict[str, str]) -> str:
    """Equal for equal errors: numbers and the record's own id in the message make no difference.

    A code was given by a person to name the error, so where there is one the message does not count.
    """
    message = error["message"] if not error["code"] else ""
    if record_id:
        message = message.replace(record_id, "#")
    message = _SPACES.sub(" ", _NUMBERS.sub("#", message[:500])).strip()
    parts = "\x00".join((error["kind"], error["code"], error["type"], message))
    return hashlib.sha256(parts.encode("utf-8", "replace")).hexdigest()[:10]
