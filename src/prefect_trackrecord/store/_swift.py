"""A driver that reads, writes and lists through obstore first, and its own way in every doubt."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any, BinaryIO, TypeVar

from prefect_trackrecord.store import _exiting
from prefect_trackrecord.store._driver import Bulk, Driver, Page, Refused
from prefect_trackrecord.store._faults import Kind
from prefect_trackrecord.store._obstore import FastClient, available, meaning
from prefect_trackrecord.store.base import Blob

T = TypeVar("T")
_REST = 60.0
_LARGE = 1 << 20


class _Large(Exception):  # noqa: N818 - an answer, not an error
    """A listing has more than one page."""


class SwiftDriver(Bulk):
    """The same as `sure`, for less.

    An answer is taken from the quick way where it is a plain one: the object, its new etag, a listing of one page,
    or the service's own code for "no such object" and "the condition did not hold". All else is asked of the driver
    itself, which knows what it means: its errors are the only ones. So a write may be made twice, as after any
    answer that was lost; whoever made it on a condition reads back and compares. The driver's own way is also the
    first one, and the only one for a while after the quick one failed where it did not: a certificate or a proxy
    may be known to that one only.

    Args:
        sure: the driver.
        patience: seconds for a quick try; a call's deadline leaves more to the driver's own.
    """

    def __init__(self, sure: Driver, patience: float) -> None:
        self._sure, self._patience = sure, patience
        self.fs, self.serial, self.conditional = sure.fs, sure.serial, sure.conditional
        self.in_flight = sure.in_flight
        self._answered = self._asked = False
        self._quick: FastClient | None = None
        self._rests_until = 0.0

    async def get(self, key: str) -> Blob | None:
        """The object with the etag of these bytes."""

        async def quick(client: FastClient) -> Blob | None:
            try:
                return await client.read(key)
            except Exception as exc:
                if meaning(exc) is Kind.MISSING:
                    return None
                raise

        return await self._one(key, quick, lambda: self._sure.get(key))

    async def put(self, key: str, data: bytes, *, etag: str | None = None, absent: bool = False) -> str:
        """Write it, on a condition where one is given."""

        async def quick(client: FastClient) -> str:
            try:
                return await client.write(key, data, etag=etag, absent=absent)
            except Exception as exc:
                kind = meaning(exc)
                if kind is Kind.REFUSED or (kind is Kind.MISSING and etag is not None):
                    raise Refused from None
                raise

        def sure() -> Coroutine[Any, Any, str]:
            return self._sure.put(key, data, etag=etag, absent=absent)

        return await (sure() if len(data) > _LARGE else self._one(key, quick, sure))

    async def etag(self, key: str) -> str | None:
        """The driver's own."""
        return await self._sure.etag(key)

    async def put_file(self, key: str, file: BinaryIO, *, etag: str | None = None, absent: bool = False) -> str:
        """The driver's own."""
        return await self._sure.put_file(key, file, etag=etag, absent=absent)

    async def page(self, prefix: str, token: str | None, *, deep: bool) -> Page:
        """A first page that is the whole listing comes the quick way."""

        async def quick(client: FastClient) -> Page:
            found = await client.small_list(prefix)
            if found is None:
                raise _Large
            return Page(found)

        def sure() -> Coroutine[Any, Any, Page]:
            return self._sure.page(prefix, token, deep=deep)

        return await (self._one(prefix, quick, sure) if deep and prefix and token is None else sure())

    async def delete(self, key: str) -> None:
        """The driver's own."""
        await self._sure.delete(key)

    async def quick(self) -> FastClient | None:
        """The driver's, made once; None in a child of a process that used it."""
        if not self._asked and available():
            self._asked = True  # others go the sure way while it is made
            with contextlib.suppress(Exception):  # whatever stands in its way, the driver knows its own
                self._quick = await self._sure.quick()
        return self._quick if available() else None

    async def _one(
        self,
        key: str,
        quick: Callable[[FastClient], Coroutine[Any, Any, T]],
        sure: Callable[[], Coroutine[Any, Any, T]],
    ) -> T:
        failed = False
        if self._answered and time.monotonic() >= self._rests_until:
            client = await self.quick()
            if client is not None and client.manages(key):
                try:
                    with _exiting.awaited():
                        return await asyncio.wait_for(quick(client), self._patience)
                except Refused:
                    raise
                except _Large:
                    pass
                except asyncio.CancelledError:  # the time of the call is over
                    self._rests_until = time.monotonic() + _REST
                    raise
                except Exception:  # noqa: BLE001 - the driver itself finds out what it means
                    failed = True
        try:
            result = await sure()
        except Refused:
            self._managed(failed)
            raise
        self._managed(failed)
        return result

    def _managed(self, failed: bool) -> None:
        """The driver's own way has managed it."""
        self._answered = True
        if failed:
            self._rests_until = time.monotonic() + _REST
