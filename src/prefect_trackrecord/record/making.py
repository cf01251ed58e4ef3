"""What a trace and a status update hold: the seed's fields in the seed's order, then what there is to add."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from prefect_trackrecord.journal.plain import clean, mask_text
from prefect_trackrecord.record.differences import Differences, differences, differences_at
from prefect_trackrecord.record.images import Kept
from prefect_trackrecord.record.masking import Secret
from prefect_trackrecord.record.snapshot import Snapshot
from prefect_trackrecord.record.status import RecordStatus


def found_between(before: dict[str, Any], now: Snapshot) -> Differences:
    """The differences, looked for only where there can be some."""
    if now.found is not None:
        return now.found
    if now.changed is None:
        return differences(before, now.values)
    return differences_at(now.changed, before, now.values, truths=now.truths)


def told_secrets(
    found: Differences, known: Mapping[str, Secret] | None, now: Snapshot, assigned: Iterable[str]
) -> None:
    """Add the secrets that changed, whose masks are the same.

    Args:
        found: the other differences.
        known: the secrets at the last trace; None where this process has not seen them.
        now: the record now.
        assigned: fields that were assigned since, and are secret.
    """
    secrets = now.secrets or {}
    for path, secret in secrets.items():
        before = known.get(path) if known is not None else None
        if path in assigned or (before is not None and before.number != secret.number):
            found.add_secret(path, secret.shown)


def trace_of(
    at: datetime, action: str, reason: str, found: Differences | None, kept: Kept | None, place: str
) -> dict[str, Any]:
    """A trace.

    Args:
        at: when.
        action, reason: what happened and why.
        found: the differences; None where there are none.
        kept: its picture.
        place: where in the code.
    """
    trace: dict[str, Any] = {
        "action": action,
        "reason": reason,
        "timestamp": at,
        "dict_updates": found.entries if found is not None else {},
        "image": kept.name if kept is not None else "",
        "caller_name": "",
        "traceback": place,
        "image_src_uri": "",
    }
    if found is not None:
        if found.kinds:
            trace["dict_updates_kinds"] = found.kinds
        if found.cut:
            trace["cut"] = {"dict_updates": found.cut}
    if kept is not None and kept.trouble:
        trace["unstorable"] = {"image": mask_text(kept.trouble)}  # it names the path or URL
    return trace


def text_in(value: Any) -> str:
    """What somebody gave as a text, as one that can be stored. Never raises."""
    if value is None:
        return ""
    try:
        text = value if type(value) is str else str(value)
        return mask_text(text if text.isascii() else clean(text))
    except Exception as exc:  # noqa: BLE001 - a foreign __str__ may raise anything
        return f"<{type(value).__name__}, str() raised {type(exc).__name__}>"


def update_of(
    at: datetime, status: str, color: str, new: RecordStatus, place: str, reason: str, kind: str
) -> dict[str, Any]:
    """A change of status.

    Args:
        at: when.
        status, color: what it was.
        new: what it is now.
        place: where in the code.
        reason: why, where that was said.
        kind: `reopened`, or nothing.
    """
    update: dict[str, Any] = {
        "timestamp": at.isoformat(),
        "old_status": clean(status),
        "old_status_color": clean(color),
        "new_status": text_in(new),
        "new_status_color": clean(new.color),
        "traceback": place,
    }
    if new.category:
        update["category"] = new.category
    if reason:
        update["reason"] = text_in(reason)
    if kind:
        update["kind"] = kind
    return update
