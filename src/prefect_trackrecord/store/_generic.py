"""Any other fsspec filesystem (sftp, smb, hdfs, webdav...), through the methods that all of them have.

What such a filesystem can't do is not made up for:

- `put` is as atomic as its `pipe_file`; a reader may see a part of a document that is being written;
- conditions are looked at just before the write. Threads of one process are kept apart by a lock, writers
  in different processes are not: use one writer, or a bucket;
- an etag is the filesystem's own where it has one, else size and time of change, as fine as that time is.
"""

from __future__ import annotations

import inspect
from typing import Any

from prefect_trackrecord.store._driver import Bulk, Page, Refused
from prefect_trackrecord.store._keys import below, plain_etag
from prefect_trackrecord.store.base import Blob, Entry

_ETAGS = ("ETag", "etag", "e_tag", "generation", "md5", "checksum")
_TIMES = ("mtime", "modified", "last_modified", "LastModified", "updated", "modify", "last_write_time", "created")
_LOOKS = 5
_NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class GenericDriver(Bulk):
    """Files below `root` of any filesystem."""

    conditional = False

    def __init__(self, fs: Any, root: str) -> None:
        self.fs = fs
        self.serial = not getattr(fs, "async_impl", False)
        self._root = root.rstrip("/")

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    async def _do(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if self.serial:
            return getattr(self.fs, name)(*args, **kwargs)
        answer = getattr(self.fs, f"_{name}")(*args, **kwargs)
        return await answer if inspect.isawaitable(answer) else answer

    def _forget(self) -> None:
        """Listings are cached in the filesystem; other writers are not seen in the cache."""
        if hasattr(self.fs, "invalidate_cache"):
            self.fs.invalidate_cache()

    async def _etag(self, key: str) -> str | None:
        self._forget()
        try:
            info = await self._do("info", self._path(key))
        except _NOT_THERE:
            return None
        return None if info.get("type") == "directory" else _etag_of(info)

    async def get(self, key: str) -> Blob | None:
        """Look, read, and look again, until nothing changed in between."""
        before = await self._etag(key)
        for _ in range(_LOOKS):
            if before is None:
                return None
            try:
                data = bytes(await self._do("cat_file", self._path(key)))
            except _NOT_THERE:
                return None
            after = await self._etag(key)
            if after == before:
                return Blob(data, after)
            before = after
        raise OSError(f"{key} changed faster than it could be read")

    async def put(self, key: str, data: bytes, *, etag: str | None = None, absent: bool = False) -> str:
        """Look at the condition, then write."""
        if etag is not None and await self._etag(key) != etag:
            raise Refused
        try:
            await self._write(key, data, absent=absent)
        except FileNotFoundError:
            await self._do("makedirs", self._path(key).rpartition("/")[0], exist_ok=True)
            await self._write(key, data, absent=absent)
        written = await self._etag(key)
        if written is None:
            raise OSError(f"{key} is not there after it was written")
        return written

    async def _write(self, key: str, data: bytes, *, absent: bool) -> None:
        if not absent:
            await self._do("pipe_file", self._path(key), data)
            return
        if await self._etag(key) is not None:
            raise Refused
        try:
            await self._do("pipe_file", self._path(key), data, mode="create")
        except FileExistsError as exc:
            raise Refused from exc
        except (TypeError, ValueError, NotImplementedError):  # it knows no exclusive mode
            await self._do("pipe_file", self._path(key), data)

    async def page(self, prefix: str, token: str | None, *, deep: bool) -> Page:
        """Everything at once; folders are told from the files below them."""
        self._forget()
        top = self._path(prefix) if prefix else self._root
        try:
            found: dict[str, Any] = await self._do("find", top, detail=True)
        except _NOT_THERE:
            return Page()
        start = below(prefix)
        # Filesystems differ in how much of a path they give back, but not in its end.
        marker = self._root.strip("/") + "/" if self._root.strip("/") else ""
        entries = []
        for path, info in found.items():
            plain = path.strip("/")
            key = plain[len(marker) :] if plain.startswith(marker) else plain
            if info.get("type") == "file" and key.startswith(start):
                entries.append(Entry(key, int(info.get("size") or 0), _etag_of(info)))
        if deep:
            return Page(entries)
        rests = (entry.key[len(start) :] for entry in entries)
        return Page(folders=sorted({rest.partition("/")[0] for rest in rests if "/" in rest}))

    async def delete(self, key: str) -> None:
        """Remove the file, if it is there."""
        if await self._etag(key) is None:
            return
        try:
            await self._do("rm_file", self._path(key))
        except _NOT_THERE:
            return


def _etag_of(info: dict[str, Any]) -> str:
    for name in _ETAGS:
        if info.get(name):
            return plain_etag(info[name])
    moment = next((info[name] for name in _TIMES if info.get(name) is not None), "")
    # One driver gives a time as number in a listing and as a datetime elsewhere.
    stamp = moment.timestamp() if hasattr(moment, "timestamp") else moment
    return f"{stamp}-{info.get('size')}"
