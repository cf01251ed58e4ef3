"""A run's folder on this machine: its document, and the journals of all who write to it, read as they grow."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from prefect_trackrecord.events import RecordChanged
from prefect_trackrecord.journal.reader import SegmentReader, segment_paths, whole, writer_alive
from prefect_trackrecord.record import document
from prefect_trackrecord.record.state import Entry, RunRecords
from prefect_trackrecord.store._locks import file_lock

JOURNAL = "journal"
IMAGES = "images"
PAGE = "records_report.html"
_ORIGINAL = "original-"
_LOCK_SECONDS = 5.0
_GROUP = 512 * 1024
_PIECES = 512
_BLOCK = 64 << 20


class RunFolder:
    """Reads a run's records from disk and follows the journals that others write.

    Args:
        path: the run's folder.
        spools: folders of this host that hold further segments of this run.

    Attributes:
        offsets: how many bytes of each segment are in the state already, by the segment's name.
        damaged: lines of journals that could not be read.
        homes: the run's folder, then its places in the spool; pictures and segments go to the first that takes them.
    """

    def __init__(self, path: Path, spools: tuple[Path, ...] = ()) -> None:
        self.path = path
        self.offsets: dict[str, int] = {}
        self.damaged = 0
        self.homes = (path, *spools)
        self._journals = tuple(home / JOURNAL for home in self.homes)
        self._stamps: list[int] | None = None
        self._segments: list[Path] = []

    @property
    def journals(self) -> tuple[Path, ...]:
        """Where segments are written, first choice first."""
        return self._journals

    def load(self, state: RunRecords, *, set_aside: bool) -> document.Document:
        """Read the document, then what journals hold beyond it.

        Args:
            state: takes the records.
            set_aside: rename a damaged document, so that it is kept when a new one is written.
        """
        target = self.path / document.NAME
        found = document.Document()
        try:
            data = target.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            data = b""
        except OSError as exc:
            data = b""
            found.damaged = f"it can't be read: {exc.strerror}"
        if data:
            found = document.read(data)
        elif not found.damaged and os.path.exists(target):
            found.damaged = "it is empty"
        if found.damaged:
            # What was salvaged is in the journals too, as far as they reach: only what they lack is added.
            found.beyond = self.follow(state)
            for entry in [*found.entries, *self._earlier()]:
                state.add(entry)
            if set_aside:
                self._set_aside(target)
        else:
            if set_aside and found.foreign:
                self._keep_original(target)
            for entry in found.entries:
                state.put(entry)
            self.offsets.update(found.journal)
            found.beyond = self.follow(state)
        return found

    def follow(self, state: RunRecords, but: Collection[str] = ()) -> int:
        """Take in what others have written since; returns how many events that were.

        Args:
            state: takes the events.
            but: names of segments that this process writes itself.
        """
        events: list[RecordChanged] = []
        for path in self._listed():
            name = path.name
            if name in but:
                continue
            try:
                size = os.stat(path).st_size
                start = self.offsets.get(name, 0)
                if size <= start:
                    continue
                data = _read_from(path, start)
            except OSError:
                continue
            data = whole(data)
            reader = SegmentReader(data)
            events.extend(e for e in reader if isinstance(e, RecordChanged))
            self.damaged += reader.damaged
            self.offsets[name] = start + len(data)
        self.take(state, events)
        return len(events)

    @staticmethod
    def take(state: RunRecords, events: list[RecordChanged]) -> None:
        """Take events of several journals in, in the order in which they happened."""
        for event in sorted(events, key=lambda e: e.at):
            # one whose data is odd must not cost the rest
            with contextlib.suppress(TypeError, ValueError, AttributeError, KeyError):
                state.apply(event)

    def bring_home(self) -> None:
        """Move what had to be kept in the spool to the run's folder, once that can be written. Never raises."""
        for home in self.homes[1:]:
            for path in segment_paths(home / JOURNAL):
                with contextlib.suppress(OSError):
                    if writer_alive(path.read_bytes()) is False:
                        _move(path, self.path / JOURNAL / path.name)
            for path in inside(home / IMAGES):
                with contextlib.suppress(OSError):
                    _move(path, self.path / IMAGES / path.name)

    def _listed(self) -> list[Path]:
        """The segments; listed again only when a folder's own stamp has changed."""
        stamps = []
        for folder in self._journals:
            try:
                stamps.append(os.stat(folder).st_mtime_ns)
            except OSError:
                stamps.append(0)
        if stamps != self._stamps or self._fresh(stamps):
            self._segments = [p for folder in self._journals for p in segment_paths(folder)]
            self._stamps = stamps
        return self._segments

    @staticmethod
    def _fresh(stamps: list[int]) -> bool:
        """Whether a folder changed so lately that its stamp, in steps of milliseconds, may hide a change."""
        import time

        return max(stamps, default=0) > time.time_ns() - 20_000_000

    def _earlier(self) -> Iterator[Entry]:
        """The records of documents that were kept: those of other programs, and damaged ones."""
        originals = [path for path in inside(self.path / JOURNAL) if path.name.startswith(_ORIGINAL)]
        for path in [*originals, *(path for path in inside(self.path) if ".damaged-" in path.name)]:
            with contextlib.suppress(OSError):
                yield from document.read(path.read_bytes()).entries

    def _keep_original(self, target: Path) -> None:
        """Keep a document that no journal can make again, as another program wrote it, with the journals."""
        with contextlib.suppress(OSError):
            os.makedirs(self.path / JOURNAL, exist_ok=True)
            kept = self.path / JOURNAL / f"{_ORIGINAL}{os.stat(target).st_ino}.json"
            if not os.path.exists(kept):
                os.link(target, kept)

    def _set_aside(self, target: Path) -> None:
        """Keep a damaged document beside. It stays in its place too, where it can, until a new one replaces it."""
        for n in range(1, 10_000):
            aside = target.with_name(f"{target.name}.damaged-{n}")
            try:
                os.link(target, aside)
            except FileExistsError:
                continue
            except OSError:  # a filesystem without hard links
                if os.path.exists(aside):
                    continue
                with contextlib.suppress(OSError):
                    os.rename(target, aside)
            return

    # --- writing ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold off others who write this folder's document; at most some seconds, then they are let be."""
        with contextlib.ExitStack() as stack:
            try:
                os.makedirs(self.path / JOURNAL, exist_ok=True)
                stack.enter_context(file_lock(str(self.path / JOURNAL / ".lock"), seconds=_LOCK_SECONDS))
            except (TimeoutError, OSError):  # a filesystem without locks, or a holder that was stopped
                pass
            yield

    def replace(self, name: str, pieces: Iterable[bytes]) -> None:
        """Make a file whole: a reader sees the old or the new one, never a part.

        Pieces in a list are written fast: then a power cut may damage the file until `sync` (what it is made from
        is in the journals). Others are on their way to the disk when this returns.

        Raises:
            OSError: it can't be written; the old one stays.
        """
        os.makedirs(self.path, exist_ok=True)
        size = sum(map(len, pieces)) if isinstance(pieces, list) else 0
        replace_file(self.path / name, lambda fd: write_all(fd, pieces), size)

    def sync(self, name: str) -> None:
        """Bring a file that was written fast to the disk.

        Raises:
            OSError: it can't be.
        """
        fd = os.open(self.path / name, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def inside(folder: Path) -> list[Path]:
    """What a folder holds, by name; nothing of one that is not there, or can't be looked into."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def replace_file(target: Path, write: Callable[[int], None], size: int = 0) -> None:
    """Write a file beside `target` and put it in its place.

    Args:
        target: the file.
        write: writes it, `size` bytes.
        size: where it is known, its blocks are taken first. ext4 then has no reason to write a file out to the disk
            just because it replaces another, which is most of what replacing costs.

    Raises:
        OSError: it can't be written; the old one stays.
    """
    temporary = target.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(6)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        try:
            if size and hasattr(os, "posix_fallocate"):
                with contextlib.suppress(OSError):  # a filesystem that can't; a full disk is told by the writing
                    os.posix_fallocate(fd, 0, size)
            write(fd)
        finally:
            os.close(fd)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write_all(fd: int, pieces: Iterable[bytes]) -> None:
    """Write every byte of every piece, small ones together.

    Raises:
        OSError: the disk is full, or gone.
    """
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _GROUP or len(waiting) >= _PIECES:
            _write(fd, waiting, size)
            waiting, size = [], 0
    if waiting:
        _write(fd, waiting, size)


def _write(fd: int, pieces: list[bytes], size: int) -> None:
    written = os.writev(fd, pieces) if hasattr(os, "writev") else 0
    if written < size:
        view = memoryview(b"".join(pieces))[written:]
        while view:
            view = view[os.write(fd, view) :]


def _read_from(path: Path, start: int) -> bytes:
    with open(path, "rb", buffering=0) as file:
        file.seek(start)
        return file.read()


def _move(source: Path, target: Path) -> None:
    """Copy, then remove: the spool may be on another disk. A reader finds the one or the other, or both alike."""
    os.makedirs(target.parent, exist_ok=True)
    if not target.exists():
        replace_file(target, lambda fd: write_all(fd, [source.read_bytes()]))
    os.unlink(source)
