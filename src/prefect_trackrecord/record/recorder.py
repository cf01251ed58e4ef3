"""What happens to the records of one run in this process: at once into the journal, and into the state.

One lock parts the threads. It is held for microseconds, around one write(2) and the change of the state that goes
with it, so that a document never holds less than the journal sizes it names. Nobody waits for another process.

Over 300 lines: all that happens under that lock is here to be seen at once.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from prefect_trackrecord.events import RecordChanged, encode_record
from prefect_trackrecord.journal.plain import MASK, plain
from prefect_trackrecord.journal.watching import StatusChange, status_changed
from prefect_trackrecord.journal.writer import JournalWriter
from prefect_trackrecord.record import identity, images
from prefect_trackrecord.record.differences import Differences, leaves
from prefect_trackrecord.record.folder import RunFolder
from prefect_trackrecord.record.lifecycle import governed, refusal
from prefect_trackrecord.record.location import here
from prefect_trackrecord.record.making import found_between, text_in, told_secrets, trace_of, update_of
from prefect_trackrecord.record.packed import packed
from prefect_trackrecord.record.snapshot import (
    Snapshot,
    has_truths,
    holds_iterator,
    parsed,
    plain_value,
    raw_of,
    snapshot,
)
from prefect_trackrecord.record.state import Entry, RunRecords
from prefect_trackrecord.record.status import RecordStatus
from prefect_trackrecord.record.waiting import Waiting

logger = logging.getLogger("prefect_trackrecord")
FIRST = "Initialize record"
_RECENT = 1024
"""Records whose values are kept at hand as they were at their last trace; others' are read from JSON again."""


class Recorder:
    """The records of one run as this process sees them.

    Args:
        folder: the run's folder; None keeps everything in memory until there is one.
        process: the name under which the run's records are kept.
        run_id: the run.

    Attributes:
        version: counts changes; a document that is written holds those up to some version.
        failed: what tracking itself could not do, by cause.
    """

    def __init__(self, folder: RunFolder | None, process: str, run_id: str) -> None:
        self.folder = folder
        self.process = process
        self.run_id = run_id
        self.lock = threading.RLock()
        self.state = RunRecords()
        self.version = 0
        self.failed: Counter[str] = Counter()
        self.waiting = Waiting()
        self.successor: Recorder | None = None
        self._writer = JournalWriter(folder.journals, self._tell, keeps_room=False) if folder is not None else None
        self._own: dict[str, Path] = {}
        self._last: Path | None = None
        self._interrupted = False
        self._recent: dict[Entry, tuple[dict[str, Any], bool]] = {}

    # --- what models call; none of these raises -----------------------------------------------------------

    def meet(self, record: BaseModel, *, given: bool = True) -> None:
        """A record was constructed: it begins here, or goes on.

        Args:
            record: the record.
            given: its values are what a program says now; False for a copy, which may be old.
        """
        with self.lock:
            known = self._find(record)
            if known is None:
                self._begin(record, explicit=given)
            elif given:
                self._go_on(record, known)

    def trace(
        self, record: BaseModel, action: Any, reason: Any, image: Any, told: dict[str, Any] | None = None
    ) -> None:
        """Something happened to a record.

        Args:
            record: the record, as it is now.
            action: what happened.
            reason: why.
            image: a picture of it: a path, bytes, an open file, an object with `savefig` or `save`; or nothing.
            told: further fields of the trace (a step's, an error's).
        """
        kept = None if image is None or (isinstance(image, str) and not image) else self._keep(image)
        place = here(2)
        with self.lock:
            entry = self._entry(record)
            raw = raw_of(record, deep=entry.lazy)
            text = None if raw is None else raw.decode()
            found = None
            data: dict[str, Any] = {}
            if text is None or entry.assigned or text != entry.base:
                base = entry.base or ""
                before, truths = self._recent.pop(entry) if entry in self._recent else _of_text(base)
                now = snapshot(record, raw, before, truths=truths, text=text)
                found = found_between(before, now)
                if now.secrets:
                    told_secrets(found, entry.secrets, now, entry.assigned)
                if now.text != base:
                    data["record"] = now.text
                    if now.odd:
                        data["unstorable"] = list(now.odd)
                self._known_as(entry, now)
            at = datetime.now(timezone.utc)
            trace = trace_of(at, text_in(action), text_in(reason), found, kept, place)
            if told:
                trace.update(told)
            self._write(entry, at, "trace", data, trace)

    def assigned(self, record: BaseModel, name: str, value: Any) -> None:
        """A field was given a new value."""
        with self.lock:
            entry = self._entry(record)
            entry.lazy = entry.lazy or holds_iterator(value)
            data = {"name": name, "value": plain_value(name, value)}
            if data["value"] == MASK:
                entry.assigned = (*entry.assigned, name)
            self._write(entry, datetime.now(timezone.utc), "field", data)

    def changed(self, record: BaseModel, new: RecordStatus, *, reason: str = "", kind: str = "") -> None:
        """A record's status was assigned; nothing happens where it is the same as before."""
        place = here(2)
        with self.lock:
            entry = self._entry(record)
            if entry.status != text_in(new):
                self._change(entry, record, new, place, reason, kind)

    def began(self, record: BaseModel, step: str) -> None:
        """A stage of a record was begun."""
        with self.lock:
            entry = self._entry(record)
            self._write(entry, datetime.now(timezone.utc), "step", {"step": step})

    def known(self, record: BaseModel) -> Entry:
        """What is known of a record, others' events included."""
        with self.lock:
            self.follow()
            return self._entry(record)

    def follow(self) -> None:
        """Take in what other processes have written since, and, after an interruption, everything anew."""
        if self.folder is None:
            return
        if self._interrupted:
            state = RunRecords()
            self.folder.offsets.clear()
            self.folder.load(state, set_aside=False)
            self.state, self._interrupted = state, False
            self._recent.clear()
            self.version += 1
        if self.folder.follow(self.state, self._own):
            self.version += 1

    # --- meeting records ----------------------------------------------------------------------------------

    def _find(self, record: BaseModel) -> Entry | None:
        key = identity.key_of(record)
        found = self.state.find(*key)
        if found is None and self.folder is not None and self.folder.follow(self.state, self._own):
            found = self.state.find(*key)
        return found

    def _entry(self, record: BaseModel) -> Entry:
        """The record's entry; one that was copied, unpickled or made before is met now."""
        entry = self.state.find(*identity.key_of(record))
        if entry is None:
            entry = self._find(record) or self._begin(record, explicit=False)
        if entry.base is None:
            entry.base = entry.record
        return entry

    def _begin(self, record: BaseModel, *, explicit: bool) -> Entry:
        place = here(3)
        now = snapshot(record)
        status = identity.status_of(record) or RecordStatus("")
        at = datetime.now(timezone.utc)
        trace = trace_of(at, FIRST, "", Differences(leaves(now.values)), None, place)
        data: dict[str, Any] = {"record": now.text, "status": text_in(status), "status_color": status.color}
        if explicit and identity.status_given(record):
            data["explicit"] = True
        if now.odd:
            data["unstorable"] = list(now.odd)
        entry = self.state.put(Entry(*identity.key_of(record), at.timestamp()))
        entry.lazy = bool(now.odd) and holds_iterator(record)
        self._write(entry, at, "created", data, trace)
        self._known_as(entry, now)
        return entry

    def _known_as(self, entry: Entry, now: Snapshot) -> None:
        """These are the values from which the next trace's differences count."""
        entry.base, entry.secrets, entry.assigned = now.text, now.secrets, ()
        if len(self._recent) >= _RECENT:
            self._recent.pop(next(iter(self._recent)))
        self._recent[entry] = (now.values, now.truths)

    def _go_on(self, record: BaseModel, entry: Entry) -> None:
        if entry.base is None:
            entry.base = entry.record
        status = identity.status_of(record)
        if status is None and not identity.status_field(record):
            return
        if identity.status_given(record) and status is not None:
            if governed(type(record)):
                self.follow()
            if text_in(status) == entry.status:
                return
            if why := refusal(type(record), entry.status, str(status)):
                identity.adopt(record, RecordStatus(entry.status, entry.status_color or "transparent"))
                self._refused(record, entry, why)
            else:
                self._change(entry, record, status, here(4), "", "")
            return
        if entry.status:
            identity.adopt(record, RecordStatus(entry.status, entry.status_color or "transparent"))

    def _refused(self, record: BaseModel, entry: Entry, why: str) -> None:
        """A status that was given at construction may not follow; the story says so, once where it happens again."""
        mark = {"status": why}
        if not entry.traces or packed(mark) not in entry.traces[-1][1]:
            self.trouble(f"{entry.id}: {why}")
            self.trace(record, "Status not taken", why, None, {"unstorable": mark})

    def _change(self, entry: Entry, record: BaseModel, new: RecordStatus, place: str, reason: str, kind: str) -> None:
        at = datetime.now(timezone.utc)
        old = str(entry.status or "")
        update = update_of(at, entry.status, entry.status_color, new, place, reason, kind)
        data = {"update": update, "name": identity.status_field(record), "value": update["new_status"]}
        self._write(entry, at, "status", data)
        now, why = update["new_status"], text_in(reason)
        change = StatusChange(self.run_id, self.process, entry.id, entry.type, old, now, why)
        status_changed(change)

    # --- keeping events -----------------------------------------------------------------------------------

    def _write(
        self, entry: Entry, at: datetime, op: str, data: dict[str, Any], trace: dict[str, Any] | None = None
    ) -> None:
        """Into the journal, then into the state. The caller holds the lock."""
        encoded = None
        if trace is not None:
            try:
                encoded = packed(trace)
            except (TypeError, ValueError):
                encoded = packed(plain(trace))
            data["trace"] = orjson.Fragment(encoded)
        line = encode_record(at, self.process, entry.id, entry.type, op, data)
        try:
            self._kept(line)
            self.version += 1
            self.state.happened(entry, at.timestamp(), op, data, encoded, trace)
        except BaseException:  # Ctrl+C in the middle of it: nobody knows what the state has of what the journal has
            self._interrupted = True
            raise

    def _kept(self, line: bytes) -> None:
        if self._writer is None:
            self._wait(line)
            return
        if not self._writer.write(line):
            self.failed["an event could not be written to the journal"] += 1
        if self._writer.path is not self._last:
            self._last = self._writer.path
            if self._last is not None:
                self._own[self._last.name] = self._last

    def _wait(self, line: bytes) -> None:
        if self.successor is not None:  # another thread configured tracing just now
            self.successor.take_over([line])
        elif not self.waiting.hold(line):
            self.trouble("tracing is not configured, and there is no more room in memory")

    def put_back(self, name: str, data: bytes) -> None:
        """Keep a picture that waited in memory for a folder. Never raises."""
        assert self.folder is not None
        try:
            images.put_back(self.folder.path, name, data)
        except OSError as exc:
            self.trouble(f"a picture could not be kept: {exc.strerror}")

    def take_over(self, lines: list[bytes]) -> None:
        """Take in events that waited in memory for a folder."""
        from prefect_trackrecord.journal.reader import SegmentReader

        with self.lock:
            for event in SegmentReader(b"".join(lines)):
                if isinstance(event, RecordChanged):
                    trace = event.data.pop("trace", None)
                    key = (event.record_id, event.record_type)
                    entry = self.state.find(*key) or self.state.put(Entry(*key, event.at.timestamp()))
                    self._write(entry, event.at, event.op, event.data, trace)
                    entry.base = event.data.get("record") or entry.base
                    self._recent.pop(entry, None)

    def own_sizes(self) -> dict[str, int]:
        """How long this process's segments are now. The caller holds the lock."""
        sizes = {}
        for name, path in self._own.items():
            try:
                sizes[name] = os.stat(path).st_size
            except OSError:
                continue
        return sizes

    def close(self) -> None:
        """Let go of the journal; a later event opens a new segment."""
        if self._writer is not None:
            self._writer.close()

    def is_at_work(self) -> bool:
        """Whether this thread holds the lock: asked by a signal handler, which must not look at what is half done."""
        return bool(getattr(self.lock, "_is_owned")())  # noqa: B009 - `threading.Condition` asks the same way

    def is_idle(self) -> bool:
        """Whether nothing has happened here for some minutes."""
        return self._writer is not None and self._writer.is_idle()

    def forked(self, sizes: dict[str, int]) -> None:
        """This is a child now: the parent's segments are somebody else's, read up to `sizes`."""
        self.lock = threading.RLock()
        self._own = {}
        if self.folder is not None:
            self.folder.offsets.update(sizes)

    def gone(self) -> bool:
        """Whether somebody removed this process's journal: then what the state says is no longer so."""
        return any(not os.path.exists(path) for path in self._own.values())

    # --- pictures and trouble -----------------------------------------------------------------------------

    def _keep(self, image: Any) -> images.Kept:
        if self.folder is None:
            return images.keep(image, None, self.waiting.hold_picture)
        first = None
        for folder in self.folder.homes:
            kept = images.keep(image, folder)
            if kept.name:
                return kept
            first = first or kept
        assert first is not None
        return first

    def _tell(self, trouble: str) -> None:
        self.trouble(f"the journal of records left its folder: {trouble}")

    def trouble(self, cause: str) -> None:
        """Count what could not be done, and log it once."""
        if not self.failed[cause]:
            logger.warning("records: %s", cause)
        self.failed[cause] += 1


def _of_text(base: str) -> tuple[dict[str, Any], bool]:
    """The values at a record's last trace, and whether there may be truth values among them."""
    return parsed(base), has_truths(base)
