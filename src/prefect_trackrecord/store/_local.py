"""A store in a local folder: plain os calls, atomic and durable writes, and locks that die with their holder.

What holds here, and how:

- a document is written to a temporary file beside it, synced, and renamed over it, so that a reader or a
  power cut finds the old or the new document, never a part;
- exclusive create is a hard link from that temporary file: the kernel lets exactly one through;
- compare-and-swap and plain writes take one of 64 lock files in `<root>/.locks`, chosen by the key;
- an etag is inode, mtime in ns, and size. Kernels stamp files in steps of milliseconds and hand a freed inode
  out again at once, so writes stamp the file themselves, always later than the document they replace.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from prefect_trackrecord.errors import ConflictError, KeyExistsError, StoreError, StoreUnavailableError
from prefect_trackrecord.store import _tree as tree
from prefect_trackrecord.store._files import (
    NOT_THERE,
    etag_of,
    holds,
    make_folder,
    read,
    stat_of,
    swap,
    sync_folder,
    write_beside,
)
from prefect_trackrecord.store._keys import below, check_key, check_prefix
from prefect_trackrecord.store._locks import file_lock
from prefect_trackrecord.store.base import Blob, Entry

T = TypeVar("T")
_LOCKS = 64
_LOCK = ".lock"
_BINARY = getattr(os, "O_BINARY", 0)
_WAYS_OUT = {
    errno.ENOSPC: "free some space there, or keep the history on another disk",
    errno.EDQUOT: "free some of the quota, or keep the history elsewhere",
    errno.EROFS: "mount it for writing, or keep the history elsewhere",
    errno.EACCES: "give this user the rights to the folder, or keep the history elsewhere",
    errno.EPERM: "give this user the rights to the folder, or keep the history elsewhere",
    errno.ENOTDIR: "a part of the path is a file; keep the history elsewhere, or move that file away",
    errno.EMFILE: "this process has too many files open; raise its limit (ulimit -n)",
    errno.ENAMETOOLONG: "use shorter names",
}


class LocalStore:
    """A folder on this machine.

    Args:
        root: the folder; made at the first write. `~` is expanded and the path made absolute.
        lock_seconds: how long a write waits for another process that writes the same document.
    """

    def __init__(self, root: str | Path, *, lock_seconds: float = 30.0) -> None:
        self._root = os.path.abspath(os.path.expanduser(os.fspath(root)))
        self._lock_seconds = lock_seconds

    def __repr__(self) -> str:
        return f"LocalStore({self._root!r})"

    @property
    def url(self) -> str:
        """The folder's absolute path."""
        return self._root

    @property
    def local_root(self) -> Path:
        """The folder."""
        return Path(self._root)

    @property
    def indexed(self) -> bool:
        """No: an index would cost more than it spares."""
        return False

    def get(self, key: str) -> Blob | None:
        """The object with the etag of just these bytes, also while somebody appends to it."""
        path = self._path(key)
        try:
            fd = os.open(path, os.O_RDONLY | _BINARY)
            try:
                stat = os.fstat(fd)
                data = read(fd, stat.st_size)
            finally:
                os.close(fd)
        except (*NOT_THERE, IsADirectoryError):
            return None
        except OSError as exc:
            raise _unavailable("read", path, exc) from exc
        return Blob(data, etag_of(stat))

    def put(self, key: str, data: bytes) -> str:
        """Write the object whole and durable; the last writer wins."""
        with self._writing(key) as path, self._locked(key):
            return swap(path, data, stat_of(path))

    def create(self, key: str, data: bytes) -> str:
        """Write the object if there is none; equal content counts as ours."""
        taken = KeyExistsError(f"{key} is there already, with other content")
        with self._writing(key) as path:
            if stat_of(path) is not None:  # spares the loser its write
                return self._same_or_raise(key, data, taken)
            temporary, etag = write_beside(path, data, time.time_ns())
            try:
                try:
                    os.link(temporary, path)
                except FileExistsError:
                    return self._same_or_raise(key, data, taken)
                except OSError as exc:
                    if exc.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                        raise
                    return self._create_without_links(key, path, data, taken)
            finally:
                os.unlink(temporary)
            sync_folder(os.path.dirname(path))
            return etag

    def replace(self, key: str, data: bytes, etag: str | None) -> str:
        """Write the object if its etag is still `etag` (None: if there is none)."""
        if etag is None:
            try:
                return self.create(key, data)
            except KeyExistsError as exc:
                raise ConflictError(str(exc)) from None
        with self._writing(key) as path, self._locked(key):
            stat = stat_of(path)
            if stat is not None and etag_of(stat) == etag:
                return swap(path, data, stat)
            return self._same_or_raise(key, data, ConflictError(f"{key} was changed by somebody else"))

    def etag(self, key: str) -> str | None:
        """The object's etag without reading it; None where there is none."""
        stat = stat_of(self._path(key))
        return None if stat is None else etag_of(stat)

    def replace_file(self, key: str, source: BinaryIO, etag: str | None) -> str:
        """As `replace`, with the content of a file, which may be larger than memory, and which it may take over.

        Raises:
            ConflictError: the object changed meanwhile (and does not hold the same already).
        """
        with self._writing(key) as path, self._locked(key):
            stat = stat_of(path)
            if stat is not None and holds(path, source):
                return etag_of(stat)
            changed = ConflictError(f"{key} was changed by somebody else")
            if stat is not None and etag_of(stat) == etag:
                return swap(path, source, stat)
            if stat is not None or etag is not None:
                raise changed
            temporary, made = write_beside(path, source, time.time_ns())
            try:
                os.link(temporary, path)  # `create` takes no lock
            except FileExistsError:
                raise changed from None
            finally:
                os.unlink(temporary)
            sync_folder(os.path.dirname(path))
            return made

    def folders(self, prefix: str) -> list[str]:
        """The folders directly below `prefix` that hold an object somewhere, sorted."""
        top = self._top(prefix)
        with _listing(top):
            return sorted(e.name for e in tree.scan(top)[1] if any(f.files for f in tree.folders(e.path, "")))

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | Exception | None]]:
        """Read one object after the other: on a local disk threads only cost."""
        start, flags = f"{self._root}{os.sep}", os.O_RDONLY | _BINARY
        for key in keys:
            # `get`, written out: it is called a hundred thousand times for a report
            try:
                fd = os.open(start + check_key(key), flags)
                try:
                    stat = os.fstat(fd)
                    blob = Blob(read(fd, stat.st_size), etag_of(stat))
                finally:
                    os.close(fd)
            except (*NOT_THERE, IsADirectoryError):
                yield key, None
            except OSError as exc:
                yield key, _unavailable("read", start + key, exc)
            except ValueError as exc:
                yield key, exc
            else:
                yield key, blob

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""
        path = self._path(key)
        if stat_of(path) is None:
            return
        with self._writing(key, new_folder=False), self._locked(key):
            try:
                os.unlink(path)
            except NOT_THERE:
                return
            with contextlib.suppress(*NOT_THERE):  # somebody else has tidied it away
                sync_folder(os.path.dirname(path))

    def tidy(self, folder: str, keep: int = 1) -> None:
        """Remove a folder that is empty, and those above it that then are, but for the uppermost `keep` of them.

        Who writes there at the same time makes them anew (see `make_folder` and `write_beside`). A lock that is left in
        one alone is that of a writer of what was removed, and goes with it.
        """
        parts = check_prefix(folder).split("/")
        while len(parts) > keep:
            path = os.path.join(self._root, *parts)
            try:
                if os.listdir(path) == [_LOCK]:
                    os.unlink(os.path.join(path, _LOCK))
                os.rmdir(path)
            except OSError:  # something is in it, or came into it
                return
            parts.pop()

    def list(self, prefix: str) -> list[Entry]:
        """All objects below `prefix`, sorted by key; hidden files are left out."""
        top = self._top(prefix)
        with _listing(top):
            return sorted(tree.entries_of(top, below(check_prefix(prefix))))

    def list_many(self, prefixes: Iterable[str]) -> Iterator[tuple[str, builtins.list[Entry]]]:
        """One list after the other."""
        return ((prefix, self.list(prefix)) for prefix in prefixes)

    def keys(self, prefixes: Iterable[str]) -> builtins.list[str]:
        """The keys below the prefixes, sorted within each; no file is looked at."""
        found: builtins.list[str] = []
        for prefix in prefixes:
            top = self._top(prefix)
            with _listing(top):
                found += tree.keys_of(top, below(check_prefix(prefix)))
        return found

    def documents(
        self, prefixes: Iterable[str], wanted: Callable[[str], bool], make: Callable[[bytes], T]
    ) -> Iterator[tuple[builtins.list[str], builtins.list[T | Exception]]]:
        """What is made of each document below the prefixes, or what is wrong with it: listed and read in one go."""
        for prefix in prefixes:
            top = self._top(prefix)
            with _listing(top):
                for keys, found in tree.documents_of(top, below(check_prefix(prefix)), wanted, make):
                    yield (
                        keys,
                        [_unavailable("read", x.filename or top, x) if isinstance(x, OSError) else x for x in found],
                    )

    # What the methods above share.

    def _top(self, prefix: str) -> str:
        prefix = check_prefix(prefix)
        return os.path.join(self._root, *prefix.split("/")) if prefix else self._root

    def _path(self, key: str) -> str:
        return os.path.join(self._root, *check_key(key).split("/"))

    @contextlib.contextmanager
    def _writing(self, key: str, *, new_folder: bool = True) -> Iterator[str]:
        path = self._path(key)
        try:
            if new_folder:
                make_folder(os.path.dirname(path))
            yield path
        except OSError as exc:
            raise _unavailable("written", path, exc) from exc

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        folder = os.path.join(self._root, ".locks")
        make_folder(folder)
        name = f"{zlib.crc32(key.encode()) % _LOCKS:02d}.lock"
        with file_lock(os.path.join(folder, name), seconds=self._lock_seconds):
            yield

    def _create_without_links(self, key: str, path: str, data: bytes, taken: KeyExistsError) -> str:
        """For filesystems without hard links: the lock parts writers of this package from one another."""
        with self._locked(key):
            if stat_of(path) is None:
                return swap(path, data, None)
        return self._same_or_raise(key, data, taken)

    def _same_or_raise(self, key: str, data: bytes, error: StoreError) -> str:
        there = self.get(key)
        if there is None or there.data != data:
            raise error
        return there.etag


@contextlib.contextmanager
def _listing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise _unavailable("listed", exc.filename or path, exc) from exc


def _unavailable(what: str, path: str, exc: OSError) -> StoreUnavailableError:
    cause = os.strerror(exc.errno) if exc.errno else str(exc)
    way_out = _WAYS_OUT.get(exc.errno or 0)
    return StoreUnavailableError(
        f"{path} could not be {what}: {cause}" + (f". The way out: {way_out}" if way_out else "")
    )
