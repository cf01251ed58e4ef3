"""A store behind an fsspec URL or filesystem; the only module that imports fsspec.

Every call has a deadline, runs on the driver's event loop or in a thread of its own, and ends in one of our
errors. After a fork the child makes an instance of its own: a driver's sockets and loop can't be shared.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import os
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import fsspec
from fsspec.asyn import reset_lock
from fsspec.registry import known_implementations, registry

from prefect_trackrecord.errors import ConflictError, KeyExistsError, StoreUnavailableError
from prefect_trackrecord.store._bulk import BulkReader
from prefect_trackrecord.store._driver import Driver, Page, Refused
from prefect_trackrecord.store._drivers import again, driver_for, tuned
from prefect_trackrecord.store._identity import identity
from prefect_trackrecord.store._keys import check_key, check_prefix, is_plain
from prefect_trackrecord.store._session import Session
from prefect_trackrecord.store._url import StoreUrl, missing_driver
from prefect_trackrecord.store._view import POSSIBLE
from prefect_trackrecord.store.base import Blob, Entry

T = TypeVar("T")
_LARGE = 1 << 20
_SLOWEST = 1 << 20
"""Bytes a second that a connection is expected to bring at least, where it brings many."""

if hasattr(os, "register_at_fork"):
    # A forked child has no thread for fsspec's event loop; older fsspec do not notice by themselves.
    os.register_at_fork(after_in_child=reset_lock)


def known_protocols() -> set[str]:
    """The names that fsspec knows, those of installed plug-ins included."""
    return {*known_implementations, *fsspec.available_protocols()}


def driver_problem(protocol: str) -> str | None:
    """What is missing to open URLs of `protocol`, in fsspec's words, or None. Imports no large driver."""
    known = known_implementations.get(protocol)
    if protocol in registry or known is None:
        return None
    package = known["class"].partition(".")[0].partition(":")[0]
    try:
        if package == "fsspec":
            fsspec.get_filesystem_class(protocol)
        elif importlib.util.find_spec(package) is None:
            return str(known.get("err") or f"install {package}")
    except (ImportError, ValueError) as exc:
        return str(known.get("err") or exc)
    return None


def memory_filesystem() -> Any:
    """The global memory filesystem."""
    return fsspec.filesystem("memory")


class FsspecStore:
    """A store at an fsspec URL.

    On S3, Azure and Google Cloud Storage all of the contract holds. On others (`_generic`) writes are as atomic
    as the filesystem makes them, and conditions are looked at before the write.

    Args:
        url: where it is.
        options: fsspec's storage options.
        filesystem: an instance to use instead of making one; the path of `url` is one inside it.
        store_deadline: seconds for the first call.
        call_deadline: seconds for later calls (for each page of a listing).
    """

    def __init__(
        self,
        url: StoreUrl,
        options: Mapping[str, Any],
        *,
        filesystem: Any = None,
        store_deadline: float = 3.0,
        call_deadline: float = 30.0,
    ) -> None:
        self._where = url
        self._options = dict(options)
        self._given = filesystem
        self._given_pid = os.getpid()
        self._deadlines = (store_deadline, call_deadline)
        self._sessions: dict[int, Session] = {}
        self._bulk = BulkReader(self._session, self.get, self.list)

    def __repr__(self) -> str:
        return f"FsspecStore({self.url!r})"

    @property
    def url(self) -> str:
        """The canonical URL, without credentials."""
        return self._where.canonical

    @property
    def identity(self) -> str:
        """The URL, and the endpoint or account that makes it another store than the same URL elsewhere."""
        options = self._options or dict(getattr(self._given, "storage_options", None) or {})
        return identity(self._where.protocol, self.url, options)

    @property
    def local_root(self) -> Path | None:
        """None: it is no folder of this machine."""
        return None

    @property
    def indexed(self) -> bool:
        """On the services whose etags are surely new with each new content."""
        return self._where.protocol in ("s3", "s3a", "abfs", "abfss", "az", "gs", "gcs")

    def get(self, key: str) -> Blob | None:
        """The object with the etag of these bytes."""
        check_key(key)
        return self._call(lambda driver: driver.get(key))

    def put(self, key: str, data: bytes) -> str:
        """Write the object whole; the last writer wins."""
        check_key(key)
        return self._call(lambda driver: driver.put(key, data), size=len(data))

    def create(self, key: str, data: bytes) -> str:
        """Write the object if there is none; equal content counts as ours (a PUT that was retried)."""
        check_key(key)
        for _ in range(3):
            try:
                return self._call(lambda driver: driver.put(key, data, absent=True), size=len(data))
            except Refused:
                there = self.get(key)
            if there is not None and there.data == data:
                return there.etag
            if there is not None:
                break
        raise KeyExistsError(f"{key} is there already, with other content")

    def replace(self, key: str, data: bytes, etag: str | None) -> str:
        """Write the object if its etag is still `etag` (None: if there is none)."""
        if etag is None:
            try:
                return self.create(key, data)
            except KeyExistsError as exc:
                raise ConflictError(str(exc)) from None
        check_key(key)
        try:
            return self._call(lambda driver: driver.put(key, data, etag=etag), size=len(data))
        except Refused:
            there = self.get(key)
        if there is None or there.data != data:
            raise ConflictError(f"{key} was changed by somebody else")
        return there.etag

    def etag(self, key: str) -> str | None:
        """The object's etag without reading it; None where there is none."""
        check_key(key)
        return self._call(lambda driver: driver.etag(key))

    def replace_file(self, key: str, source: BinaryIO, etag: str | None) -> str:
        """As `replace`, of what a file holds, which may be more than memory takes.

        Raises:
            ConflictError: the object changed meanwhile; be it by a request of our own whose answer was lost.
        """
        check_key(key)
        source.flush()
        size = source.seek(0, os.SEEK_END)
        if not POSSIBLE:  # pragma: no cover - Windows
            source.seek(0)
            return self.replace(key, source.read(), etag)
        try:
            return self._call(lambda driver: driver.put_file(key, source, etag=etag, absent=etag is None), size=size)
        except Refused:
            raise ConflictError(f"{key} was changed by somebody else") from None

    def folders(self, prefix: str) -> list[str]:
        """The names directly under `prefix` that hold objects deeper down, sorted."""
        return sorted(set(self._pages(prefix, deep=False).folders))

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | Exception | None]]:
        """Read many objects, as many at a time as the driver can, in the order given."""
        return self.make_many(keys, lambda _, blob: blob)

    def make_many(
        self, keys: Iterable[str], make: Callable[[str, Blob], T]
    ) -> Iterator[tuple[str, T | Exception | None]]:
        """As `get_many`, with what `make` makes of key and blob in the blob's place; it may be called in any thread."""
        return self._bulk.make_many(keys, make)

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""
        check_key(key)
        self._call(lambda driver: driver.delete(key))

    def modified(self, key: str) -> datetime | None:
        """When the service says that an object was written; None where it does not say."""
        path = f"{self._where.path.rstrip('/')}/{check_key(key)}"

        async def ask(driver: Driver) -> Any:
            found = await driver.fs._info(path)  # noqa: SLF001 - its public twin blocks the loop
            return found.get("LastModified") or found.get("last_modified") or found.get("mtime")

        try:
            at = self._call(ask)
        except (AttributeError, NotImplementedError):
            return None
        if isinstance(at, str):
            at = datetime.fromisoformat(at.replace("Z", "+00:00"))
        return at if isinstance(at, datetime) else None

    def list(self, prefix: str) -> list[Entry]:
        """All objects below `prefix`, sorted by key."""
        return sorted(self._pages(prefix, deep=True).entries, key=lambda entry: entry.key)

    def list_many(self, prefixes: Iterable[str]) -> Iterator[tuple[str, builtins.list[Entry]]]:
        """Each prefix with all objects below it, several prefixes at a time."""
        return self._bulk.list_many(prefixes)

    def keys(self, prefixes: Iterable[str]) -> builtins.list[str]:
        """The keys below the prefixes, sorted within each."""
        return [entry.key for _, entries in self.list_many(prefixes) for entry in entries]

    # How a call is made.

    def _call(self, make: Callable[[Driver], Coroutine[Any, Any, T]], *, large: bool = False, size: int = 0) -> T:
        return self._session().call(make, large=large or size > _LARGE, more=size / _SLOWEST)

    def _session(self) -> Session:
        """This process's session. A child made by fork has none yet, and takes no lock of its parent's."""
        pid = os.getpid()
        session = self._sessions.get(pid)
        if session is None:
            if self._given is None:
                load_driver(self._where.protocol)  # its import takes long, and says nothing of the store: no deadline
            new = Session(self.url, self._connect, *self._deadlines, secrets=self._options)
            session = self._sessions.setdefault(pid, new)
        return session

    def _pages(self, prefix: str, *, deep: bool) -> Page:
        prefix = check_prefix(prefix)
        entries: list[Entry] = []
        folders: list[str] = []
        token: str | None = None
        while True:
            page = self._page(prefix, token, deep=deep)
            entries += [entry for entry in page.entries if is_plain(entry.key)]
            folders += [name for name in page.folders if is_plain(name)]
            token = page.token
            if token is None:
                return Page(entries, folders)

    def _page(self, prefix: str, token: str | None, *, deep: bool) -> Page:
        return self._call(lambda driver: driver.page(prefix, token, deep=deep), large=True)

    def _connect(self) -> Driver:
        """A filesystem and the driver for it. The session runs this under a deadline of its own."""
        if self._given is not None:
            fs = self._given
            if os.getpid() != self._given_pid or getattr(fs, "asynchronous", False):
                fs = again(fs)
            return driver_for(fs, self._where.path, owned=False, deadline=self._deadlines[1])
        protocol = self._where.protocol
        cls = load_driver(protocol)
        options = {**cls._get_kwargs_from_urls(self._where.connect), **self._options}
        fs = cls(**tuned(protocol, options, *self._deadlines), skip_instance_cache=True)
        return driver_for(fs, cls._strip_protocol(self._where.connect), owned=True, deadline=self._deadlines[1])


def load_driver(protocol: str) -> Any:
    """The filesystem class of a protocol; its import takes a second on a busy machine.

    Raises:
        StoreUnavailableError: it can't be imported, although its package seemed to be there.
    """
    try:
        return fsspec.get_filesystem_class(protocol)
    except (ImportError, AttributeError) as exc:
        raise StoreUnavailableError(missing_driver(protocol, str(exc))) from exc
