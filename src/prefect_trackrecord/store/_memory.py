"""A store in this process's memory: the files of fsspec's global memory filesystem.

The filesystem is handed in, as `_fsspec` alone may import it. Files are read from its dictionary and not
through `open`, which gives every reader the same buffer with one position. Writes of this package take one
lock per process; other users of the filesystem see each file whole, but know nothing of the lock.
"""

from __future__ import annotations

import builtins
import itertools
import threading
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prefect_trackrecord.errors import ConflictError, KeyExistsError, StoreError, StoreUnavailableError
from prefect_trackrecord.forking import ProcessLock
from prefect_trackrecord.store._keys import below, check_key, check_prefix, is_plain
from prefect_trackrecord.store.base import Blob, Entry

_lock = ProcessLock(threading.RLock)
_numbers = itertools.count(1)
_serials: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


class MemoryStore:
    """Files under `root` of a `fsspec.implementations.memory.MemoryFileSystem`."""

    def __init__(self, fs: Any, root: str) -> None:
        self.fs = fs
        self._root = root.strip("/")

    def __repr__(self) -> str:
        return f"MemoryStore({self.url!r})"

    @property
    def url(self) -> str:
        """`memory://` and the root."""
        return f"memory://{self._root}"

    @property
    def local_root(self) -> Path | None:
        """None: it is no folder."""
        return None

    @property
    def indexed(self) -> bool:
        """No: nothing is faster."""
        return False

    def get(self, key: str) -> Blob | None:
        """The object, or None where there is none."""
        file = self.fs.store.get(self._path(key))
        return None if file is None else _blob(file)

    def put(self, key: str, data: bytes) -> str:
        """Write the object whole; the last writer wins."""
        with _lock():
            return self._write(key, data)

    def create(self, key: str, data: bytes) -> str:
        """Write the object if there is none; equal content counts as ours."""
        with _lock():
            there = self.get(key)
            if there is None:
                return self._write(key, data)
        if there.data != data:
            raise KeyExistsError(f"{key} is there already, with other content")
        return there.etag

    def replace(self, key: str, data: bytes, etag: str | None) -> str:
        """Write the object if its etag is still `etag` (None: if there is none)."""
        with _lock():
            there = self.get(key)
            if (None if there is None else there.etag) == etag:
                return self._write(key, data)
        if there is None or there.data != data:
            raise ConflictError(f"{key} was changed by somebody else")
        return there.etag

    def folders(self, prefix: str) -> list[str]:
        """The names directly under `prefix` that hold objects deeper down, sorted."""
        start = self._start(check_prefix(prefix))
        rests = (path[len(start) :] for path in tuple(self.fs.store) if path.startswith(start))
        return sorted({rest.partition("/")[0] for rest in rests if "/" in rest and is_plain(rest)})

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | Exception | None]]:
        """Read one object after the other."""
        for key in keys:
            try:
                yield key, self.get(key)
            except (StoreError, ValueError) as exc:
                yield key, exc

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""
        with _lock():
            self.fs.store.pop(self._path(key), None)

    def list(self, prefix: str) -> list[Entry]:
        """All objects below `prefix`, sorted by key."""
        start = self._start(check_prefix(prefix))
        cut = len(self._start(""))
        files = ((path[cut:], file) for path, file in tuple(self.fs.store.items()) if path.startswith(start))
        return sorted(
            (Entry(key, file.size, _etag(file, file.size)) for key, file in files if is_plain(key)),
            key=lambda entry: entry.key,
        )

    def list_many(self, prefixes: Iterable[str]) -> Iterator[tuple[str, builtins.list[Entry]]]:
        """One list after the other."""
        return ((prefix, self.list(prefix)) for prefix in prefixes)

    def keys(self, prefixes: Iterable[str]) -> builtins.list[str]:
        """The keys below the prefixes."""
        return [entry.key for prefix in prefixes for entry in self.list(prefix)]

    def _start(self, prefix: str) -> str:
        return f"/{below(self._root)}{below(prefix)}"

    def _path(self, key: str) -> str:
        return self._start("") + check_key(key)

    def _write(self, key: str, data: bytes) -> str:
        path = self._path(key)
        try:
            self.fs.pipe_file(path, data)
        except OSError as exc:
            raise StoreUnavailableError(
                f"memory:/{path} could not be written: {type(exc).__name__}: a folder has this name, "
                f"or a file has the name of one of its folders"
            ) from exc
        return _etag(self.fs.store[path], len(data))


def _blob(file: Any) -> Blob:
    data = bytes(file.getvalue())
    return Blob(data, _etag(file, len(data)))


def _etag(file: Any, size: int) -> str:
    """A number per file object, as every write makes a new one, and the size, as appending does not."""
    with _lock():
        serial = _serials.get(file)
        if serial is None:
            serial = _serials[file] = next(_numbers)
    return f"{serial}-{size}"
