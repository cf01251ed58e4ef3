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
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from prefect_trackrecord.events import Event, TrackingFailed, encode
from prefect_trackrecord.forking import tell_of_forks
from prefect_trackrecord.journal import segments
from prefect_trackrecord.journal.losses import Losses, lost_by

_IDLE = 180.0


OnTrouble = Callable[[str], None] | None


class JournalWriter(Losses):
    """Appends one run's events from this process.

    Args:
        folders: where to write, first choice first; the next one is taken when a write fails. Folders are made
            when the first event comes.
        on_divert: told once why the first folder was left.
        on_loss: told once why no folder takes anything.
        keeps_room: whether a segment in the first folder begins with room to tell of losses. One in another is
            uploaded as it grows, and what is changed in it later would not be seen.

    Attributes:
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
        tell_of_forks(self)

    def forked(self) -> None:
        """This is a child now: its segments are its own, and what its parent has lost is the parent's to tell."""
        super().forked()
        self._writing: list[None] = []
        self._file: io.FileIO | None = None
        self.path: Path | None = None
        self._paths: list[Path] = []

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

    def tell(self) -> list[TrackingFailed]:
        """Write what is `untold` into the journal; returns what it did not take."""
        left = []
        for event in self.untold():
            if self._written(encode(event), counts=False):
                self.held([event])
            else:
                left.append(event)
        return left

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
        for path in free:
            with contextlib.suppress(ValueError):  # another thread closes it, too
                self._paths.remove(path)
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
            self._unheld.setdefault(lost_by(cause), 0)
            self._unheld[lost_by(cause)] += 1
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


def _path_of(file: io.FileIO) -> Path:
    return Path(str(file.name))


def _cause(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror.lower()
    return f"{type(exc).__name__}: {exc}"
