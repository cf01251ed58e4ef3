"""One record's entry in `records_logs.json`: the seed's fields in the seed's order, then the additive ones."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from prefect_trackrecord.record.packed import packed
from prefect_trackrecord.record.status import RecordStatus

if TYPE_CHECKING:
    from prefect_trackrecord.record.state import Entry


class Create(NamedTuple):
    """A process met the record for the first time; of several the first one counts."""

    at: float
    status: str
    color: str
    explicit: bool
    trace: bytes | None


def story_of(entry: Entry) -> bytes:
    """The entry as JSON."""
    updates = _updates(entry)
    first = entry.creates[0] if entry.creates else None
    status, color = (first.status, first.color) if first else ("", "transparent")
    since = entry.created
    if updates:
        since, last = updates[-1]
        status, color = str(last.get("new_status", "")), str(last.get("new_status_color", ""))
    category = RecordStatus(status).category
    if updates and updates[-1][1].get("category"):
        category = updates[-1][1]["category"]
    elif not updates and first and first.trace is None:
        category = category or (entry.extra or {}).get("category")
    present = entry.present()
    body: dict[str, Any] = {
        "record_id": entry.id,
        "record": present,
        "status": status,
        "status_color": color,
        "status_updates": [update for _, update in updates],
        "traces": orjson.Fragment(b"[" + b",".join(entry.in_order()) + b"]"),
        "record_type": entry.type,
        "created_at": _time(entry.created),
        "updated_at": _time(entry.updated),
        "category": category,
        "attempts": _attempts(entry, updates),
        "time_in_status": _times(entry, updates),
        "status_since": _time(since),
    }
    if entry.steps:
        body["steps"] = [step for _, step in entry.steps]
    if entry.step is not None:
        body["current_step"] = entry.step[1]
    if entry.error is not None and not (category == "success" and since >= entry.error[0]):
        body["error"] = entry.error[1]
    if present != entry.record:
        body["traced_record"] = entry.record
    if entry.unstorable:
        body["unstorable"] = entry.unstorable
    if entry.extra:
        body = {**entry.extra, **body}
    return packed(body)


def _updates(entry: Entry) -> list[tuple[float, dict[str, Any]]]:
    """The changes of status, and those that a later construction with another status stands for."""
    late = [c for c in entry.creates[1:] if c.explicit]
    if not late:
        return entry.updates
    found: list[tuple[float, dict[str, Any], Create | None]] = [(at, row, None) for at, row in entry.updates]
    found = sorted(found + [(c.at, {}, c) for c in late], key=lambda item: item[0])
    status, color = entry.creates[0].status, entry.creates[0].color
    out: list[tuple[float, dict[str, Any]]] = []
    for at, update, create in found:
        row = update
        if create is not None:
            if create.status == status:
                continue
            row = {"timestamp": _time(at), "old_status": status, "old_status_color": color}
            row |= {"new_status": create.status, "new_status_color": create.color, "traceback": ""}
        status, color = str(row.get("new_status", "")), str(row.get("new_status_color", ""))
        out.append((at, row))
    return out


def _timeline(entry: Entry, updates: list[tuple[float, dict[str, Any]]]) -> list[tuple[float, str, str | None]]:
    """When which status began, with its category."""
    line = []
    if entry.creates and entry.creates[0].status:
        begin = entry.creates[0].status
        line.append((entry.created, begin, RecordStatus(begin).category))
    for at, update in updates:
        name = str(update.get("new_status", ""))
        line.append((at, name, update.get("category") or RecordStatus(name).category))
    return line


def _attempts(entry: Entry, updates: list[tuple[float, dict[str, Any]]]) -> int:
    count, before = 0, None
    for _, name, category in _timeline(entry, updates):
        # "Retrying" then "Running" is one attempt; "Running" again after anything else is another.
        count += category == "active" and (before != "active" or name == "Retrying")
        before = category
    return count


def _times(entry: Entry, updates: list[tuple[float, dict[str, Any]]]) -> dict[str, float]:
    line = _timeline(entry, updates)
    times: dict[str, float] = {}
    for (start, name, _), (end, _, _) in pairwise(line):
        times[name] = round(times.get(name, 0.0) + max(0.0, end - start), 6)
    return times


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat()
