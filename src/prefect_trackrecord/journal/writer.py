"""Writes events: one file per process and run, one write(2) per event, nothing held back in memory.

There is no lock: `O_APPEND` makes each write whole, the file object is only ever dropped (never closed under a
thread that still writes), and a line torn by a full disk is told apart by the reader. So a signal handler may write
too.

A full disk takes no word of what was lost on it. So each segment in the first folder begins with room for one line,
blank so far, which is overwritten in place: that needs no space where a file's blocks stay its own (not on btrfs or
ZFS).
"""

from __future__ import annotations

import contextlib
import io
import os
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from prefect_trackrecord.events import Event, TrackingFailed, encode
from prefect_trackrecord.journal import segments

_IDLE = 180.0


OnTrouble = Callable[[str], None] | None
_alive: weakref.WeakSet[JournalWriter] = weakref.WeakSet()


class JournalWriter:
    """Appends one run's events from this process.

    Args:
        folders: where to write, first choice first; the next one is taken when a write fails. Folders are made
            when the first event comes.
        on_divert: told once why the first folder was left.
        on_loss: told once why no folder takes anything.
        keeps_room: whether a segment in the first folder begins with room to tell of losses. One in another is
            uploaded as it grows, and what is changed in it later would not be seen.

    Attributes:
        dropped: events that no folder took, counted by cause.
        faults: what else went wrong on the events' way to the store, counted by cause.
        diverted: why the first folder was left, or None.
        used: when an event was last written, by the monotonic clock.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        on_divert: OnTrouble = None,
        on_loss: OnTrouble = None,
        *,
        keeps_room: bool = True,
    ) -> None:
        self._folders, self._keeps_room = tuple(folders), keeps_room
        self._on_divert, self._on_loss = on_divert, on_loss
        self._choice = 0
        self.diverted: str | None = None
        self.used = time.monotonic()
        self.forked()
        _alive.add(self)

    def forked(self) -> None:
        """This is a child now: its segments are its own, and what its parent has lost is the parent's to tell."""
        self._writing: list[None] = []
        self._file: io.FileIO | None = None
        self.path: Path | None = None
        self._paths: list[Path] = []
        self.dropped: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._news: deque[tuple[str, int, bool]] = deque()
        self._unheld: Counter[str] = Counter()
        self._losses_at: tuple[Path, int] | None = None

    @property
    def paths(self) -> list[Path]:
        """The segments that this process writes."""
        return list(self._paths)

    def append(self, event: Event) -> bool:
        """Write one event; True once the kernel has it. Never raises.

        After True the event survives this process. False means that no folder took it; it is counted in
        `dropped`.
        """
        try:
            return self.write(encode(event))
        except Exception as exc:  # noqa: BLE001 - tracking never breaks what it tracks
            self.lose(f"an event could not be written: {type(exc).__name__}: {exc}")
            return False

    def write(self, line: bytes) -> bool:
        """Write one encoded event, with its newline. Returns as `append`; never raises `OSError`."""
        return self._written(line)

    def _written(self, line: bytes, *, counts: bool = True) -> bool:
        """As `write`; what is lost `counts`, or else is told to the caller alone."""
        self.used = time.monotonic()
        self._writing.append(None)  # before the file is looked at: `close` waits for those who may hold it
        try:
            file = self._file
            if file is None:
                file = self._open(counts=counts)
                if file is None:
                    return False
            if file.write(line) == len(line):
                return True
            cause = "no space left on device"
            file.write(b"\n")  # ends the torn line, should there be room for that
        except (OSError, ValueError) as exc:
            cause = _cause(exc)
        finally:
            self._writing.pop()
        self._file = None
        folder = self._folders[self._choice] if file is None else _path_of(file).parent
        return self._next_folder(folder, cause, counts=counts) and self._written(line, counts=counts)

    def lose(self, cause: str, count: int = 1) -> None:
        """So many events are lost."""
        self._note(self.dropped, cause, count, lost=True)

    def fault(self, cause: str) -> None:
        """Something else went wrong on the events' way to the store."""
        self._note(self.faults, cause[:300], 1, lost=False)

    def _note(self, counts: Counter[str], cause: str, count: int, *, lost: bool) -> None:
        counts.setdefault(cause, 0)  # a Counter's own zero is Python code, in which threads may change
        counts[cause] += count
        self._news.append((cause, count, lost))

    @property
    def has_news(self) -> bool:
        """Whether something was lost or went wrong that the journal does not hold yet."""
        return bool(self._news)

    def untold(self) -> list[TrackingFailed]:
        """What was lost and what went wrong, so far as nobody has told it yet; it is for the caller to tell."""
        found: dict[tuple[str, bool], int] = {}
        with contextlib.suppress(IndexError):
            while True:
                cause, count, lost = self._news.popleft()
                found[cause, lost] = found.get((cause, lost), 0) + count
        now = datetime.now(timezone.utc)
        return [
            TrackingFailed(at=now, cause=_lost(cause) if lost else cause, count=count, lost=count if lost else 0)
            for (cause, lost), count in found.items()
        ]

    def tell(self) -> list[TrackingFailed]:
        """Write what is `untold` into the journal; returns what it did not take."""
        left = []
        for event in self.untold():
            if self._written(encode(event), counts=False):
                self.held([event])
            else:
                left.append(event)
        return left

    def held(self, told: Iterable[TrackingFailed]) -> None:
        """These losses are told elsewhere: no segment's room needs to hold them."""
        if not self._unheld:
            return
        for event in told:
            if event.lost and event.cause in self._unheld:
                self._unheld[event.cause] -= event.lost
        self._note_losses()

    def _note_losses(self) -> None:
        """Write into a segment's room how many events are lost that no line tells of. Never raises."""
        if self._losses_at is None:
            return
        path, offset = self._losses_at
        with contextlib.suppress(OSError), open(path, "r+b", buffering=0) as file:
            written = -1
            while written != (now := self._unheld_total()):  # another thread may have lost more, and written less
                file.seek(offset)
                file.write(segments.room_for(" / ".join(sorted(c for c, n in list(self._unheld.items()) if n)), now))
                written = now

    def _unheld_total(self) -> int:
        return sum(list(self._unheld.values()))

    def is_idle(self) -> bool:
        """Whether nothing has been written for some minutes."""
        return time.monotonic() - self.used > _IDLE

    def close(self) -> list[Path]:
        """Let go of the file; a later event opens a new one.

        Returns:
            The segments to which nobody writes any more, so that they may be moved away; none while a thread does.
        """
        paths, self._file = self.paths, None
        deadline = time.monotonic() + 0.2
        while self._writing and time.monotonic() < deadline:
            time.sleep(0.001)
        # who was writing may have opened one of them since, and others may go on in it: so it is looked for what is
        # open now, while nobody writes
        before, now_open, after = bool(self._writing), self._open_path(), bool(self._writing)
        free = [] if before or after else [path for path in paths if path != now_open]
        self._paths = [path for path in self._paths if path not in free]
        return free

    def _open_path(self) -> Path | None:
        file = self._file
        return None if file is None else _path_of(file)

    def _next_folder(self, folder: Path, cause: str, *, counts: bool) -> bool:
        """Go on to the one after `folder`; False where there is none, and one event dropped, if that `counts`."""
        at = self._folders.index(folder)
        if self._choice > at:
            return True  # another thread has gone on already
        if at + 1 >= len(self._folders):
            if not counts:
                return False
            if not self.dropped:
                self._tell(self._on_loss, f"{folder}: {cause}")
            self.lose(cause)
            self._unheld.setdefault(_lost(cause), 0)
            self._unheld[_lost(cause)] += 1
            self._note_losses()
            return False
        self.diverted = f"{folder}: {cause}"
        self._choice = at + 1  # and no step from where it is: others may be here, too
        self._tell(self._on_divert, self.diverted)
        return True

    @staticmethod
    def _tell(whom: OnTrouble, trouble: str) -> None:
        if whom is not None:
            whom(trouble)

    def _tell_in(self, file: io.FileIO, event: TrackingFailed) -> None:
        """Write a word of what was lost; one that is not written is told again."""
        line, told = encode(event), 0
        try:
            told = file.write(line)
        finally:
            if told == len(line):
                self.held([event])
            else:
                self.again([event])

    def again(self, untold: Iterable[TrackingFailed]) -> None:
        """Nobody took these words; they are still to be told."""
        for event in untold:
            cause = event.cause.removeprefix(_lost("")) if event.lost else event.cause
            self._news.append((cause, event.count, bool(event.lost)))

    def _publish(self, file: io.FileIO, path: Path) -> None:
        """Let all threads write to this segment."""
        self._paths.append(path)
        self._file, self.path = file, path

    def _open(self, *, counts: bool) -> io.FileIO | None:
        """A new segment, its first line written; None where no folder takes one."""
        while True:
            folder = self._folders[self._choice]
            has_room = self._keeps_room and folder == self._folders[0]
            try:
                first, room = segments.first_line(), segments.room_for("", 0) if has_room else b""
                # several threads may be here at once, each with a file of its own, of which the last one stays
                file, path = segments.new_segment(folder, first + room)
                self._publish(file, path)
                if has_room and not self._unheld_total():  # else it is still to be said that they are told of elsewhere
                    self._losses_at = path, len(first)
                for event in self.untold() if self._news else ():
                    self._tell_in(file, event)
            except OSError as exc:
                if not self._next_folder(folder, _cause(exc), counts=counts):
                    return None
            else:
                return file


def _lost(cause: str) -> str:
    return f"events lost: {cause}"


def _path_of(file: io.FileIO) -> Path:
    return Path(str(file.name))


def _cause(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror.lower()
    return f"{type(exc).__name__}: {exc}"


def _forked() -> None:
    for writer in list(_alive):
        writer.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
