"""What a driver does for `FsspecStore`: one service's own way to read, write on a condition, and list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from prefect_trackrecord.store._obstore import FastClient
from prefect_trackrecord.store.base import Blob, Entry


class Refused(Exception):  # noqa: N818 - an answer, not an error: the condition did not hold
    """A conditional write was refused: the object is there, is gone, or has another etag."""


@dataclass(frozen=True)
class Page:
    """One page of a listing; `token` asks for the next one."""

    entries: list[Entry] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    token: str | None = None


class Bulk:
    """What a driver does for many at once, where it has no better way."""

    in_flight = 64

    async def quick(self) -> FastClient | None:
        """None: it has none."""
        return None

    async def etag(self: Driver, key: str) -> str | None:
        """As of what is read."""
        found = await self.get(key)
        return None if found is None else found.etag

    async def put_file(self: Driver, key: str, file: BinaryIO, *, etag: str | None = None, absent: bool = False) -> str:
        """As `put`, of what the file holds, at once."""
        file.seek(0)
        return await self.put(key, file.read(), etag=etag, absent=absent)

    async def entries(self: Driver, prefix: str) -> list[Entry]:
        """As `page`, for all pages."""
        found: list[Entry] = []
        token: str | None = None
        while True:
            page = await self.page(prefix, token, deep=True)
            found += page.entries
            token = page.token
            if token is None:
                return found


class Driver(Protocol):
    """One service. Keys are the store's; the driver puts its root in front of them.

    Its coroutines raise `Refused`, or whatever the service's library raises. Where `serial` is set they
    never wait: the library below is synchronous, not known to be safe for threads, and one call at a time
    is made. Where `conditional` is not set, a condition is looked at before the write, not with it.
    """

    fs: Any
    serial: bool
    conditional: bool
    in_flight: int

    async def get(self, key: str) -> Blob | None:
        """The object with the etag of these bytes."""

    async def put(self, key: str, data: bytes, *, etag: str | None = None, absent: bool = False) -> str:
        """Write it, if its etag is still `etag`, or if it is `absent`, where one of them is given."""

    async def etag(self, key: str) -> str | None:
        """The object's etag, without its bytes where the service can; None where there is none."""

    async def put_file(self, key: str, file: BinaryIO, *, etag: str | None = None, absent: bool = False) -> str:
        """As `put`, of what a file on this machine's disk holds, a part of it in memory at a time."""

    async def page(self, prefix: str, token: str | None, *, deep: bool) -> Page:
        """A page of what starts with `prefix`: all objects (`deep`), or those and folders one level down."""

    async def delete(self, key: str) -> None:
        """Remove it, if it is there."""

    async def quick(self) -> FastClient | None:
        """What reads and lists many in a fraction of the time; what it does not manage is asked of the others again."""

    async def entries(self, prefix: str) -> list[Entry]:
        """All objects that start with `prefix`."""
