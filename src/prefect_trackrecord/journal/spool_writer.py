"""Writes events that a bucket is to have: into the spool, in segments that roll, within the spool's limit.

Each event is one write(2), as in a folder. What the spool does not take, on a full or read-only disk, goes to the store
directly, and is acknowledged once that has it. A segment is closed after 64 KiB, or after what comes in a second where
that is more (up to 4 MiB), so that the one that still grows, and is uploaded again and again, stays small.
"""

from __future__ import annotations

import io
import time
import weakref
from pathlib import Path
from typing import Protocol

from prefect_trackrecord.events import Event, RunEnded, RunStarted, RunUpdated, TrackingFailed, encode
from prefect_trackrecord.journal.spool import SEGMENT, Spool
from prefect_trackrecord.journal.unspooled import Unspooled
from prefect_trackrecord.journal.writer import JournalWriter, OnTrouble

_LARGE = 4 << 20
_PRESSURE = 32 << 20
_PATIENCE = 1.0
_ESSENTIAL = frozenset(t.kind for t in (RunStarted, RunUpdated, RunEnded, TrackingFailed))
"""What is kept also beyond the spool's limit: a handful of events of each run, without which it has no history."""


class Courier(Protocol):
    """Who brings segments into the store."""

    def watch(self, writer: SpoolWriter) -> None:
        """Bring what this writer writes, from now on."""

    def watches(self, writer: SpoolWriter) -> bool:
        """Whether it still does."""

    def nudge(self, size: int) -> None:
        """So many bytes were written."""

    def flush(self, writer: SpoolWriter) -> bool:
        """Wait, bounded, until all that this writer wrote before this call is in the store; whether it is."""

    def deliver(self, writer: SpoolWriter, size: int) -> bool:
        """As `flush`, of so many bytes that no spool holds; at once False while the store is down, and tried later."""

    def ease(self, most: int, seconds: float) -> None:
        """Wait, bounded, for an upload where more than `most` bytes wait for one; not while the store is down."""


class SpoolWriter(JournalWriter):
    """The journal of one run in this process, for a store that is no folder of this machine.

    Args:
        spool: the store's spool.
        run_id: the run.
        folder: its folder in the spool.
        courier: brings the segments into the store.
        stored: whether an event counts as kept only once the store has it.
        on_refusal: told once why the spool takes nothing.
        on_loss: told once why events are lost.

    Attributes:
        unspooled: what the spool did not take.
        segments: those of this process; once the reference is dead nobody can write to that one any more.
    """

    def __init__(
        self,
        spool: Spool,
        run_id: str,
        folder: str,
        courier: Courier,
        *,
        stored: bool = False,
        on_refusal: OnTrouble = None,
        on_loss: OnTrouble = None,
    ) -> None:
        super().__init__([spool.folder / folder], on_refusal, on_loss, keeps_room=False)
        self.run_id = run_id
        self._spool, self._courier, self._stored = spool, courier, stored
        self._room = self._size = SEGMENT
        self._opened = self._shut_until = 0.0
        self._shut = False
        self._refusal = ""

    def append(self, event: Event) -> bool:
        """Write one event; True once it is kept as the durability demands. Never raises."""
        try:
            return self.write(encode(event), essential=event.kind in _ESSENTIAL)
        except Exception as exc:  # noqa: BLE001 - tracking never breaks what it tracks
            self.lose(f"an event could not be written: {type(exc).__name__}: {exc}")
            return False

    def write(self, line: bytes, *, essential: bool = False) -> bool:
        """Write one encoded event, with its newline. Returns as `append`; never raises `OSError`."""
        if (self._file is None or self._shut) and not essential and not self._admitted():
            return False
        if not super().write(line):
            return self._directly(line, essential=essential)
        self._room -= len(line)
        if self._room <= 0:
            self._roll()
        self._courier.nudge(len(line))
        return self._is_stored() if self._stored else True

    def _is_stored(self) -> bool:
        """Wait, bounded, until the store has what was written; whether it has."""
        if self._courier.flush(self):
            return True
        if self._courier.watches(self):
            return False
        self._courier.watch(self)  # the run was sealed meanwhile: what was waited for was others' events
        return self._courier.flush(self)

    def tell(self) -> list[TrackingFailed]:
        """Write what is `untold`; what the spool does not take waits for the store."""
        for event in super().tell():
            self.unspooled.add(encode(event))
            self._courier.watch(self)
        return []

    @property
    def holds(self) -> bool:
        """Whether there is anything that is not known to be in the store, or may still grow."""
        return bool(self.segments or self.unspooled)

    @property
    def is_losing(self) -> bool:
        """Whether events are lost, or will be, unless the store takes some soon."""
        return self._shut or bool(self.unspooled)

    @property
    def paths(self) -> list[Path]:
        """The segments that this process writes."""
        return list(self.segments)

    def is_finished(self, path: Path) -> bool:
        """Whether nobody in this process can write to that segment any more."""
        reference = self.segments.get(path)
        return reference is not None and reference() is None

    def forked(self) -> None:
        """This is a child now: the parent's segments are the parent's, and what it has yet to send."""
        super().forked()
        self.segments: dict[Path, weakref.ref[io.FileIO]] = {}
        self.unspooled = Unspooled()

    def _next_folder(self, folder: Path, cause: str, *, counts: bool) -> bool:
        """There is none: the spool takes nothing."""
        if not self._refusal:
            self._tell(self._on_divert, f"{folder}: {cause}")
            self.fault(f"the spool on this host took nothing ({cause}); events went to the store directly")
        self._refusal = cause
        return False

    def _directly(self, line: bytes, *, essential: bool) -> bool:
        """Into the store, whose answer is waited for: until then the event is in this process's memory only."""
        if not essential and not self.unspooled.has_room():
            self._lose(f"{self._refusal}, and the store could not be written")
            return False
        self.unspooled.add(line)
        self._courier.watch(self)
        return self._courier.deliver(self, len(line))

    def _lose(self, cause: str) -> None:
        if not self.dropped:
            self._tell(self._on_loss, cause)
        self.lose(cause)

    def _open(self, *, counts: bool) -> io.FileIO | None:
        self._spool.begin()
        return super()._open(counts=counts)

    def _publish(self, file: io.FileIO, path: Path) -> None:
        """Note the segment before anybody writes to it: it is finished once the file that was made with it is gone."""
        self.segments[path] = weakref.ref(file)
        super()._publish(file, path)
        self._courier.watch(self)  # after the segment is noted: see `Uploader`
        self._room, self._opened = self._size, time.monotonic()

    def _roll(self) -> None:
        self._spool.grew(self._size)
        quick = time.monotonic() - self._opened < 1.0
        largest = max(SEGMENT, min(_LARGE, self._spool.limit // 8))
        self._size = min(self._size * 2, largest) if quick else max(self._size // 2, SEGMENT)
        self._file, self._room = None, self._size

    def _admitted(self) -> bool:
        """Whether the spool takes another event; waits a moment for room while the store is up."""
        now = time.monotonic()
        if now < self._shut_until:
            self.lose(self._full)
            return False
        self._courier.ease(_PRESSURE, _PATIENCE)
        if not self._spool.has_room():
            self._courier.ease(0, _PATIENCE)
        if self._spool.has_room():
            self._shut = False
            return True
        self._shut, self._shut_until = True, time.monotonic() + _PATIENCE
        self._lose(self._full)
        return False

    @property
    def _full(self) -> str:
        return f"the spool holds its limit of {self._spool.limit >> 20:,} MiB"
