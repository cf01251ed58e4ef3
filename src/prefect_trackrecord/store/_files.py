"""One file of a folder: read whole, written whole and durable, told by its etag."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO

_BINARY = getattr(os, "O_BINARY", 0)
_CHUNK = 1 << 20
_TRIES = 100
NOT_THERE = (FileNotFoundError, NotADirectoryError)


def etag_of(stat: os.stat_result) -> str:
    """Inode, time of change and size."""
    return f"{stat.st_ino}-{stat.st_mtime_ns}-{stat.st_size}"


def stat_of(path: str) -> os.stat_result | None:
    """The file's stat, or None where there is none."""
    try:
        return os.stat(path)
    except NOT_THERE:
        return None


def read(fd: int, size: int) -> bytes:
    """`size` bytes, fewer where the file has shrunk."""
    data = os.read(fd, size)
    if len(data) == size:
        return data
    parts = [data]
    missing = size - len(data)
    while missing > 0 and (part := os.read(fd, missing)):  # one read(2) returns at most 2 GiB
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def holds(path: str, source: BinaryIO) -> bool:
    """Whether the file at `path` has the same content as `source`."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size != source.seek(0, os.SEEK_END):
            return False
        source.seek(0)
        while piece := file.read(_CHUNK):
            if piece != source.read(len(piece)):
                return False
    return True


def swap(path: str, data: bytes | BinaryIO, old: os.stat_result | None) -> str:
    """Put `data` in the place of the document whose stat is `old`. The caller holds its lock."""
    stamp = time.time_ns() if old is None else max(time.time_ns(), old.st_mtime_ns + 1)
    temporary, etag = write_beside(path, data, stamp)
    try:
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(os.path.dirname(path))
    return etag


def write_beside(path: str, data: bytes | BinaryIO, stamp: int) -> tuple[str, str]:
    """Write `data`, or what a file holds, to a hidden file in the folder of `path`, durable.

    A file that has no name, on the same disk, is given one instead of being copied.

    Returns:
        That file's path and its etag.
    """
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f".tmp-{os.getpid()}-{os.urandom(6).hex()}")
    if not isinstance(data, bytes) and (fd := _named(data, temporary)) is not None:
        return temporary, _settled(fd, temporary, (), stamp)
    fd = _open_new(temporary)
    return temporary, _settled(fd, temporary, _pieces(data), stamp)


def _settled(fd: int, path: str, pieces: Iterable[memoryview], stamp: int) -> str:
    """Write the pieces to an open file and close it, durable; where that fails, the file is removed."""
    try:
        try:
            for view in pieces:
                while view:
                    view = view[os.write(fd, view) :]  # noqa: PLW2901 - a write may take less than it is given
            os.utime(path, ns=(stamp, stamp))
            os.fsync(fd)
            return etag_of(os.fstat(fd))
        finally:
            os.close(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _named(file: BinaryIO, path: str) -> int | None:
    """Give a file that was opened without a name the name `path`; a descriptor of it, or None where that can't be."""
    try:
        fd = file.fileno()
        if os.fstat(fd).st_nlink:
            return None
        # with a folder's descriptor Python asks for the link to be followed; an absolute path needs none
        os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)
        return os.dup(fd)
    except (OSError, NotImplementedError):  # another disk, or a file that once had a name, or no such system
        return None


def _pieces(data: bytes | BinaryIO) -> Iterator[memoryview]:
    """The bytes, or a file's, without holding all of a file at once."""
    if isinstance(data, bytes):
        yield memoryview(data)
        return
    data.seek(0)
    while piece := data.read(_CHUNK):
        yield memoryview(piece)


def _open_new(path: str) -> int:
    """Open a file that is not there yet; a folder that somebody tidies away before it is in it is made anew."""
    flags, changed = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, set[str]()
    for tries_left in reversed(range(_TRIES)):
        try:
            fd = os.open(path, flags, 0o666)  # less the umask, as any file of the user's
            break
        except FileNotFoundError:
            if not tries_left:
                raise
            changed |= _make_folders(os.path.dirname(path))
    try:
        # not before: an empty folder would be tidied away in the time this takes
        _sync_folders(changed)
    except BaseException:
        os.close(fd)
        os.unlink(path)
        raise
    return fd


def make_folder(path: str) -> None:
    """Make the folder and those above it, each entry durable."""
    if not os.path.isdir(path):
        _sync_folders(_make_folders(path))


def _make_folders(path: str) -> set[str]:
    """Make the folder and those above it; those with a new entry, which is not durable yet."""
    changed, parent = set[str](), os.path.dirname(path)
    for tries_left in reversed(range(_TRIES)):
        try:
            os.mkdir(path)
        except FileExistsError:
            break
        except FileNotFoundError:
            if not tries_left or parent == path:
                raise
            changed |= _make_folders(parent)
        else:
            changed.add(parent)
            break
    return changed


def _sync_folders(paths: Iterable[str]) -> None:
    for path in paths:
        with contextlib.suppress(*NOT_THERE):  # tidied away
            sync_folder(path)


def sync_folder(path: str) -> None:
    """Make the entries of a folder durable."""
    if os.name == "nt":  # pragma: no cover - Windows can't open folders
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
