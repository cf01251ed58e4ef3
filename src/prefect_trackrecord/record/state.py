"""All records of one run, merged from any number of journals in any order, kept ready to be written.

What the `data` of each event holds:

    created   trace (the first one), record, status, status_color, explicit (the status was given), unstorable
    trace     trace, record where it changed, unstorable
    status    update
    field     name, value: one field was assigned
    step      step: a stage was begun

Traces are kept as the JSON they are written as: ten of them take 3 KB instead of 30, and writing is joining.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import orjson

from prefect_trackrecord.events import RecordChanged
from prefect_trackrecord.record.masking import Secret
from prefect_trackrecord.record.packed import packed
from prefect_trackrecord.record.snapshot import parsed
from prefect_trackrecord.record.story import Create, story_of

_AT = itemgetter(0)


class Entry:
    """One record. Times are seconds since 1970.

    `base` is what this process knows by itself: the values at its last trace, None before it met the record;
    `secrets` goes with it, `assigned` names the secret fields that were assigned since, and `lazy` says that there
    was an iterator inside of its values.
    """

    __slots__ = (
        "assigned", "base", "created", "creates", "error", "extra", "id", "lazy", "patches", "record", "record_at",
        "secrets", "step", "steps", "traces", "type", "unstorable", "updated", "updates",
    )  # fmt: skip

    def __init__(self, record_id: str, record_type: str, created: float) -> None:
        self.id = record_id
        self.type = record_type
        self.created = created
        self.updated = created
        self.creates: list[Create] = []
        self.traces: list[tuple[float, bytes]] = []
        self.updates: list[tuple[float, dict[str, Any]]] = []
        self.steps: list[tuple[float, dict[str, Any]]] = []
        self.step: tuple[float, str] | None = None
        self.error: tuple[float, dict[str, Any]] | None = None
        self.record = ""
        self.record_at = 0.0
        self.patches: dict[str, Any] | None = None
        self.unstorable: list[str] | None = None
        self.extra: dict[str, Any] | None = None
        self.base: str | None = None
        self.secrets: dict[str, Secret] | None = None
        self.assigned: tuple[str, ...] = ()
        self.lazy = False

    @property
    def status(self) -> str:
        """The status that counts now."""
        if self.updates:
            return str(self.updates[-1][1].get("new_status", ""))
        return self.creates[0].status if self.creates else ""

    @property
    def status_color(self) -> str:
        """The colour of that status."""
        if self.updates:
            return str(self.updates[-1][1].get("new_status_color", ""))
        return self.creates[0].color if self.creates else "transparent"

    def present(self) -> str:
        """The values as JSON text, fields assigned since the last trace among them."""
        if not self.patches:
            return self.record
        return orjson.dumps({**parsed(self.record), **self.patches}).decode()

    def in_order(self) -> list[bytes]:
        """Every trace, the first one in front."""
        first = [self.creates[0].trace] if self.creates and self.creates[0].trace else []
        return first + [trace for _, trace in self.traces]


class RunRecords:
    """The records of one run, in order of creation."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        self._types: dict[str, list[Entry]] = {}
        self._parts: dict[Entry, bytes] = {}
        self._dirty: dict[Entry, None] = {}
        self._ordered = True
        self._latest = 0.0
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    # --- finding ------------------------------------------------------------------------------------------

    def find(self, record_id: str, record_type: str) -> Entry | None:
        """The record of this id and type; a history that knows no type matches any."""
        found = self._entries.get((record_id, record_type))
        if found is None and (untyped := self._entries.pop((record_id, ""), None)) is not None:
            untyped.type = record_type
            self._entries[record_id, record_type] = found = untyped
            self._dirty[found] = None
        return found

    def entries(self) -> list[Entry]:
        """All records in order of creation."""
        return sorted(self._entries.values(), key=lambda e: e.created)

    def named(self, record_id: str) -> list[Entry]:
        """The records of this id, whatever their type, in order of creation."""
        return sorted(self._types.get(record_id, ()), key=lambda e: e.created)

    # --- taking in ----------------------------------------------------------------------------------------

    def put(self, entry: Entry) -> Entry:
        """Add a record that was read from a document."""
        same = self._types.setdefault(entry.id, [])
        self._entries[entry.id, entry.type] = entry
        if same:  # another type has this id: their keys may change
            self._dirty.update(dict.fromkeys(same))
        same.append(entry)
        self._dirty[entry] = None
        if entry.created < self._latest:
            self._ordered = False
        self._latest = max(self._latest, entry.created)
        return entry

    def add(self, other: Entry) -> None:
        """Add what a salvaged copy of a record knows and this state does not."""
        same = self.named(other.id)
        entry = self.find(other.id, other.type) or (same[0] if same and not other.type else None)
        if entry is None:
            self.put(other)
            return
        traces = {orjson.loads(t).get("timestamp") for t in entry.in_order()}
        for at, trace in other.traces:
            if orjson.loads(trace).get("timestamp") not in traces:
                _add(entry.traces, (at, trace))
        updates = {u.get("timestamp") for _, u in entry.updates}
        for at, update in other.updates:
            if update.get("timestamp") not in updates:
                _add(entry.updates, (at, update))
        if other.created < entry.created:
            entry.created = other.created
            entry.creates = other.creates + [c._replace(explicit=False) for c in entry.creates]
            self._ordered = False
        self._dirty[entry] = None

    def apply(self, event: RecordChanged) -> None:
        """Take one event of a journal in, in whatever order they come."""
        if not (
            isinstance(event.record_id, str) and isinstance(event.record_type, str) and isinstance(event.data, dict)
        ):
            raise TypeError("a record's event must name the record and say what happened")
        at = event.at.timestamp()
        entry = self.find(event.record_id, event.record_type) or self.put(Entry(event.record_id, event.record_type, at))
        trace = event.data.get("trace")
        if not isinstance(trace, dict):
            trace = None
        encoded = packed(trace) if trace is not None else None
        self.happened(entry, at, event.op, event.data, encoded, trace)

    def happened(
        self,
        entry: Entry,
        at: float,
        op: str,
        data: dict[str, Any],
        encoded: bytes | None = None,
        trace: dict[str, Any] | None = None,
    ) -> None:
        """Something happened to a record.

        Args:
            entry: the record.
            at: when.
            op: what.
            data: as the head of this file says.
            encoded: the trace as JSON.
            trace: that trace.
        """
        if op == "trace":
            if encoded is not None:
                _add(entry.traces, (at, encoded))
            if trace is not None and ("step" in trace or "error" in trace):
                self._told(entry, at, trace)
            self._record(entry, at, data)
        elif op == "created":
            self._created(entry, at, data, encoded)
        elif op == "status":
            self._status(entry, at, data)
        elif op == "field":
            self._field(entry, at, data)
        elif op == "step":
            self._step(entry, at, data)  # any other operation is of a newer version, and changes nothing here
        entry.updated = max(entry.updated, at)
        self._dirty[entry] = None

    def _created(self, entry: Entry, at: float, data: dict[str, Any], trace: bytes | None) -> None:
        create = Create(
            at, str(data.get("status") or ""), str(data.get("status_color") or ""),
            bool(data.get("explicit")), trace,
        )  # fmt: skip
        insort(entry.creates, create, key=_AT)
        if at < entry.created:
            entry.created = at
            self._ordered = False
        self._record(entry, at, data)

    def _told(self, entry: Entry, at: float, trace: dict[str, Any]) -> None:
        """What a trace says about a step or a failure."""
        error = trace.get("error")
        if isinstance(error, dict) and (entry.error is None or at >= entry.error[0]):
            entry.error = (at, error)
        if name := trace.get("step"):
            row = {"name": name, "outcome": trace.get("outcome"), "duration_ms": trace.get("duration_ms")}
            row["started_at"] = trace.get("started_at")
            if isinstance(error, dict):
                row["error"] = {k: error.get(k) for k in ("type", "message")}
            _add(entry.steps, (at, row))
            if entry.step is not None and entry.step[0] <= at:
                entry.step = None

    def _status(self, entry: Entry, at: float, data: dict[str, Any]) -> None:
        if isinstance(data.get("update"), dict):
            _add(entry.updates, (at, data["update"]))
            self._field(entry, at, data)

    def _field(self, entry: Entry, at: float, data: dict[str, Any]) -> None:
        if at >= entry.record_at and isinstance(name := data.get("name"), str):
            entry.patches = {**(entry.patches or {}), name: data.get("value")}

    def _step(self, entry: Entry, at: float, data: dict[str, Any]) -> None:
        if (entry.step is None or at >= entry.step[0]) and not (entry.steps and entry.steps[-1][0] > at):
            entry.step = (at, str(data.get("step") or ""))

    def _record(self, entry: Entry, at: float, data: dict[str, Any]) -> None:
        if at >= entry.record_at:
            if isinstance(text := data.get("record"), str):
                entry.record, entry.record_at = text, at
                entry.unstorable = data.get("unstorable") or None
            entry.patches = None

    # --- giving out ---------------------------------------------------------------------------------------

    def parts(self) -> list[bytes]:
        """Each record as `"key":{...}`, in order of creation; only those that changed are made anew."""
        if self._dirty:
            for entry in list(self._dirty):
                del self._dirty[entry]  # before it is looked at: a signal handler may change it meanwhile
                try:
                    part = orjson.dumps(self._key(entry)) + b":" + story_of(entry)
                except BaseException:
                    self._dirty[entry] = None
                    raise
                self.size += len(part) - len(self._parts.get(entry, b""))
                self._parts[entry] = part
        if not self._ordered:
            self._parts = dict(sorted(self._parts.items(), key=lambda item: item[0].created))
            self._ordered = True
        return list(self._parts.values())

    def stories(self) -> Iterator[dict[str, Any]]:
        """Each record as the document holds it, made one at a time."""
        for part in self.parts():
            yield next(iter(orjson.loads(b"{" + part + b"}").values()))

    def _key(self, entry: Entry) -> str:
        """The first type of an id has the id itself, as the seed's records do; others add their type."""
        same = self._types[entry.id]
        if len(same) == 1:
            return entry.id if not self._claims(entry.id) else f"{entry.id}#{entry.type}"
        return entry.id if self.named(entry.id)[0] is entry else f"{entry.id}#{entry.type}"

    def _claims(self, record_id: str) -> bool:
        """Whether another record's `id#Type` reads like this id."""
        head, hash_, record_type = record_id.rpartition("#")
        other = self._entries.get((head, record_type)) if hash_ else None
        return other is not None and len(self._types[head]) > 1 and self.named(head)[0] is not other


def _add(items: list[Any], item: tuple[float, Any]) -> None:
    """Append, or put in its place what came late from another process."""
    if not items or items[-1][0] <= item[0]:
        items.append(item)
    else:
        insort(items, item, key=_AT)
