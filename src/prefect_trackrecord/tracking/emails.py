"""Email results in any form that the seed's callers use, as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from prefect_trackrecord.documents.models import EmailResult
from prefect_trackrecord.tracking.describing import MAX_TEXT, as_text, text_or_none

_STATUSES = frozenset({"sent", "failed", "skipped"})
_FIELDS = frozenset(EmailResult.model_fields)


def email_rows(results: Mapping[str, Any] | Sequence[Any]) -> list[dict[str, Any]]:
    """Rows with the fields of `EmailResult`.

    Args:
        results: `{"sent": [...], "failed": [...], "skipped": [...]}` with dicts as the seed has them (`error` and
            `reason` both say why), or a list of `EmailResult` or of dicts with a `status`.
    """
    if isinstance(results, Mapping):
        pairs = [(str(status), entry) for status, entries in results.items() for entry in entries or ()]
    else:
        pairs = [("", entry) for entry in results]
    return [_row(status, entry) for status, entry in pairs]


def _row(status: str, entry: Any) -> dict[str, Any]:
    if isinstance(entry, BaseModel):
        body: dict[str, Any] = entry.model_dump(mode="json")
    elif isinstance(entry, Mapping):
        body = dict(entry)
    else:
        body = {"email": entry}
    row = {name: value for name, value in body.items() if name in _FIELDS and value is not None}
    reason = body.get("reason") or body.get("error") or body.get("error_message")
    if reason is not None:
        row["reason"] = reason
    found = as_text(status or row.get("status") or "sent").lower()
    if found not in _STATUSES:
        row["reason"] = " ".join(str(part) for part in (f"status {found!r}", reason) if part)
        found = "failed"  # what is unknown must not be lost from the counts
    row["status"] = found
    return {name: value if name == "schema_version" else text_or_none(value, MAX_TEXT) for name, value in row.items()}
