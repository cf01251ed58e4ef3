"""The files below a folder of this machine: listed, or read one after the other; a hundred thousand for one report."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from prefect_trackrecord.store._files import NOT_THERE, etag_of
from prefect_trackrecord.store._keys import is_plain
from prefect_trackrecord.store.base import Entry

T = TypeVar("T")
SUFFIX = ".json"
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_ENOUGH = 1 << 16
"""What one read asks for: a document is rarely as large, and a look at its size would cost as much as a read.

A file gives less than what is asked for at its end only; were it otherwise, the JSON so cut would not be taken."""


class Folder(NamedTuple):
    """One folder of a tree: where it is, what the keys of its files begin with, and the files' entries."""

    path: str
    prefix: str
    files: list[os.DirEntry[str]]


def scan(path: str) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """The files and the folders in a folder, without what is hidden or no plain key; none where it is not there.

    Raises:
        OSError: it can't be listed.
    """
    try:
        with os.scandir(path) as entries:
            found = list(entries)
    except NOT_THERE:
        return [], []
    if not is_plain("/".join([entry.name for entry in found])):
        found = [entry for entry in found if is_plain(entry.name)]
    files = [entry for entry in found if _is(entry.is_file)]
    return files, [entry for entry in found if _is(entry.is_dir)] if len(files) < len(found) else []


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except NOT_THERE:  # a link whose target is gone
        return False
    except OSError as exc:
        if exc.errno == errno.ELOOP:  # one that leads to itself
            return False
        raise


def folders(path: str, prefix: str) -> Iterator[Folder]:
    """A folder and those below it, with the files in each.

    Raises:
        OSError: see `scan`.
    """
    return _folders(path, prefix, (os.path.realpath(path),))


def _folders(path: str, prefix: str, above: tuple[str, ...]) -> Iterator[Folder]:
    """`above` are the real folders on the way, so that links can't loop."""
    files, below = scan(path)
    yield Folder(path, prefix, files)
    for entry in below:
        real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
        if real not in above:
            yield from _folders(entry.path, f"{prefix}{entry.name}/", (*above, real))


def entries_of(path: str, prefix: str) -> Iterator[Entry]:
    """Each file with its size and etag."""
    for folder in folders(path, prefix):
        for entry in folder.files:
            try:
                stat = entry.stat()
            except NOT_THERE:  # removed between the listing and the look at it
                continue
            yield Entry(folder.prefix + entry.name, stat.st_size, etag_of(stat))


def keys_of(path: str, prefix: str) -> list[str]:
    """The keys that `entries_of` gives, sorted; no file is looked at."""
    return sorted(folder.prefix + entry.name for folder in folders(path, prefix) for entry in folder.files)


def documents_of(
    path: str, prefix: str, wanted: Callable[[str], bool], make: Callable[[bytes], T]
) -> Iterator[tuple[list[str], list[T | Exception]]]:
    """What is made of each document in the wanted folders, or what is wrong with it, folder by folder.

    A file that is gone meanwhile is left out.

    Args:
        path, prefix: see `folders`.
        wanted: of a folder's keys, without the slash at the end.
        make: makes something of the bytes, or raises a ValueError.
    """
    for folder in folders(path, prefix):
        if wanted(folder.prefix[:-1]):
            names = [entry.name for entry in folder.files if entry.name.endswith(SUFFIX)]
            if names:
                with _within(folder.path) as place:
                    found, values = _read(folder.path, place, names, make)
                yield [folder.prefix + name for name in found], values


@contextlib.contextmanager
def _within(path: str) -> Iterator[int | None]:
    """The folder opened, so that its files are found without walking its path again; None where that can't be."""
    try:
        fd = os.open(path, os.O_RDONLY) if os.open in os.supports_dir_fd else None
    except OSError:  # its files will say what is wrong
        fd = None
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def _read(
    path: str, place: int | None, names: list[str], make: Callable[[bytes], T]
) -> tuple[list[str], list[T | Exception]]:
    open_, read, close = os.open, os.read, os.close
    start = "" if place is not None else f"{path}{os.sep}"
    values: list[T | Exception] = []
    gone: set[int] = set()
    for name in names:
        try:
            fd = open_(start + name, _FLAGS, dir_fd=place)
            try:
                data = read(fd, _ENOUGH)
                if len(data) == _ENOUGH:
                    data = _rest(fd, data)
            finally:
                close(fd)
            values.append(make(data))
        except (*NOT_THERE, IsADirectoryError):
            gone.add(len(values) + len(gone))
        except OSError as exc:
            exc.filename = os.path.join(path, name)
            values.append(exc)
        except ValueError as exc:
            values.append(exc)
    return [name for n, name in enumerate(names) if n not in gone] if gone else names, values


def _rest(fd: int, data: bytes) -> bytes:
    parts = [data]
    while part := os.read(fd, len(parts[-1]) * 2):
        parts.append(part)
    return b"".join(parts)
