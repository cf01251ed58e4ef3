"""`records_logs.json` read back: T-Record's own, ours, and what is left of a damaged one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import orjson

from prefect_trackrecord.record.packed import packed
from prefect_trackrecord.record.state import Entry
from prefect_trackrecord.record.status import RecordStatus
from prefect_trackrecord.record.story import Create

NAME = "records_logs.json"
FORMAT = 1
"""Format of the additive part. Its history: 1, 2026-11, the first."""
_GROUP = 2048
"""Records written together: one by one costs more than the writing."""
_DERIVED = frozenset(
    [
        "record_id",
        "record",
        "status",
        "status_color",
        "status_updates",
        "traces",
        "record_type",
        "created_at",
        "updated_at",
        "category",
        "attempts",
        "time_in_status",
        "status_since",
        "steps",
        "current_step",
        "error",
        "traced_record",
        "unstorable",
    ]
)
_TRACE_TEXTS = ("action", "reason", "timestamp", "image", "caller_name", "traceback", "image_src_uri")
_UPDATE_TEXTS = ("timestamp", "old_status", "old_status_color", "new_status", "new_status_color", "traceback")


def moment(text: str) -> datetime | None:
    """A stored timestamp in UTC; the seed wrote its host's local time without saying so. None for what is none."""
    try:
        at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, AttributeError):
        return None
    return at.astimezone(timezone.utc)


@dataclass
class Document:
    """What a document holds.

    Attributes:
        entries: its records, in its order.
        journal: how many bytes of each segment are in it already.
        damaged: what is wrong with it, empty where nothing is.
        lost: records of it that could not be read.
        beyond: events that the journals hold beyond it, once they were read.
        foreign: another program wrote it, so that no journal can make it again.
    """

    entries: list[Entry] = field(default_factory=list)
    journal: dict[str, int] = field(default_factory=dict)
    damaged: str = ""
    lost: int = 0
    beyond: int = 0
    foreign: bool = False


def compose(parts: list[bytes], journal: dict[str, int]) -> Iterator[bytes]:
    """The document of these records, as pieces to be written one after the other."""
    yield b'{"data":{\n'
    for start in range(0, len(parts), _GROUP):
        if start:
            yield b",\n"
        yield b",\n".join(parts[start : start + _GROUP])
    tail = orjson.dumps(journal, option=orjson.OPT_SORT_KEYS)
    yield b'\n},"format":%d,"journal":%s}\n' % (FORMAT, tail)


def read(data: bytes) -> Document:
    """The document of these bytes. Never raises: of a damaged one every record that is whole is there."""
    found = Document()
    try:
        body = orjson.loads(data)
        rows: Any = body.get("data") if isinstance(body, dict) else None
        if not isinstance(rows, dict):
            raise ValueError('there is no "data" object in it')
        pairs: Any = rows.items()
        journal = body.get("journal")
        found.foreign = not isinstance(journal, dict)
        if isinstance(journal, dict):
            found.journal = {k: v for k, v in journal.items() if isinstance(v, int)}
    except ValueError as exc:
        found.damaged = str(exc).splitlines()[0]
        pairs = _salvage(data)
    for key, row in pairs:
        try:
            found.entries.append(entry_of(key, row))
        except Exception:  # noqa: BLE001 - one odd record must not cost the others
            found.lost += 1
    return found


def _salvage(data: bytes) -> Iterator[tuple[str, Any]]:
    """The whole records of a torn document, one after the other until the tear."""
    text = data.decode("utf-8", "replace")
    start = text.find('"data"')
    at = text.find("{", start) + 1 if start >= 0 else 0
    decoder = json.JSONDecoder(strict=False)
    while at > 0:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        try:
            key, at = decoder.raw_decode(text, at)
            while at < len(text) and text[at] in " \t\r\n:":
                at += 1
            row, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        if not isinstance(key, str):
            return
        yield key, row


def entry_of(key: str, row: dict[str, Any]) -> Entry:
    """A record of a document, its odd fields mended.

    Raises:
        TypeError: it is no object.
    """
    if not isinstance(row, dict):
        raise TypeError("a record must be an object")
    traces = [_mended(t, _TRACE_TEXTS) for t in _dicts(row.get("traces"))]
    updates = [_mended(u, _UPDATE_TEXTS) for u in _dicts(row.get("status_updates"))]
    moments = _moments(traces), _moments(updates)
    first = _seconds(row.get("created_at"))
    created = first if first is not None else min((m for ms in moments for m in ms), default=0.0)
    entry = Entry(_text(row.get("record_id")) or key, _text(row.get("record_type")), created)
    entry.updates = list(zip(moments[1], updates, strict=True))
    entry.traces = [(at, packed(t)) for at, t in zip(moments[0], traces, strict=True)]
    latest = max((m for ms in moments for m in ms[-1:]), default=created)
    entry.updated = max(_seconds(row.get("updated_at")) or latest, latest)
    began = updates[0] if updates else {}
    entry.creates = [
        Create(
            created,
            _text(began.get("old_status") if updates else row.get("status")),
            _text(began.get("old_status_color") if updates else row.get("status_color")),
            explicit=False,
            trace=None,
        )
    ]
    entry.record = _text(row.get("traced_record")) or _text(row.get("record"))
    entry.record_at = min(entry.updated, moments[0][-1] if moments[0] else created)
    _additive(entry, row)
    return entry


def _additive(entry: Entry, row: dict[str, Any]) -> None:
    if row.get("traced_record"):
        traced, present = _object(entry.record), _object(row.get("record"))
        entry.patches = {k: v for k, v in present.items() if k not in traced or traced[k] != v} or None
    steps = _dicts(row.get("steps"))
    entry.steps = [(_seconds(s.get("started_at")) or entry.created, s) for s in steps]
    if isinstance(row.get("current_step"), str):
        entry.step = (entry.updated, row["current_step"])
    if isinstance(row.get("error"), dict):
        entry.error = (entry.updated, row["error"])
    if isinstance(row.get("unstorable"), list):
        entry.unstorable = [_text(name) for name in row["unstorable"]]
    extra = {k: v for k, v in row.items() if k not in _DERIVED}
    category = row.get("category")
    if category and not entry.updates and category != RecordStatus(_text(row.get("status"))).category:
        extra["category"] = category
    entry.extra = extra or None


def _mended(row: dict[str, Any], texts: tuple[str, ...]) -> dict[str, Any]:
    """A trace or status update whose seed fields are all there, as the texts that they must be."""
    for name in texts:
        value = row.get(name)
        if not isinstance(value, str):
            row[name] = _text(value)
    if "action" in texts:
        updates = row.get("dict_updates")
        if not isinstance(updates, dict):
            row["dict_updates"] = {}
        elif not all(isinstance(v, dict) for v in updates.values()):
            row["dict_updates"] = {k: v if isinstance(v, dict) else {"from": None, "to": v} for k, v in updates.items()}
    return row


def _moments(rows: list[dict[str, Any]]) -> list[float]:
    """When each happened; one that does not say stays behind the one before it, and none goes backwards."""
    found: list[float] = []
    for row in rows:
        at = _seconds(row["timestamp"]) or 0.0
        found.append(max(at, found[-1]) if found else at)
    return found


def _seconds(value: Any) -> float | None:
    at = moment(value) if isinstance(value, str) else None
    return at.timestamp() if at is not None else None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _object(text: Any) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except (ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else orjson.dumps(value).decode()
