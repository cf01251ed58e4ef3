"""Many objects or folders read at once, in groups on the driver's loop: one hand-over between threads serves many."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import itertools
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sized
from typing import Any, Generic, TypeVar

from prefect_trackrecord.errors import StoreError
from prefect_trackrecord.store._deadline import submit
from prefect_trackrecord.store._driver import Driver
from prefect_trackrecord.store._session import Session

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Driver, Item], Coroutine[Any, Any, Result]]

_FIRST_GROUP = 32
_HELD = 16 << 20
"""Groups grow as long as two of them hold no more bytes than this."""


def read_many(
    session: Callable[[], Session], items: Iterable[Item], quick: Work[Item, Result], sure: Callable[[Item], Result]
) -> Iterator[tuple[Item, Result | Exception]]:
    """What `quick` makes of each item, in their order, a bounded number at a time; else `sure`, or its error.

    Args:
        session: gives this process's session.
        items: what to read; taken as they are needed.
        quick: the driver's way for many. Whatever it raises, the item is read again the sure way.
        sure: the store's way for one, with the session's own patience.
    """
    source = iter(items)
    size = _FIRST_GROUP
    waiting: collections.deque[_Group[Item, Result]] = collections.deque()
    try:
        while True:
            while len(waiting) < 2 and (some := list(itertools.islice(source, size))):
                waiting.append(_Group(session, some, quick, sure))
            if not waiting:
                return
            group = waiting.popleft()
            yield from group
            size = group.next_size()
    finally:
        for group in waiting:
            group.cancel()


class _Group(Generic[Item, Result]):
    """Items that are on their way together."""

    def __init__(
        self,
        session: Callable[[], Session],
        items: list[Item],
        quick: Work[Item, Result],
        sure: Callable[[Item], Result],
    ) -> None:
        self._session, self._items, self._quick, self._sure = session, items, quick, sure
        self._results: list[Result | Exception | None] = [_LEFT] * len(items)
        self._moved = time.monotonic()
        self._in_flight = _FIRST_GROUP
        self._future: concurrent.futures.Future[None] | None = None
        try:
            driver = session().ready()
        except StoreError:
            return  # `sure` will say what is wrong
        if not driver.serial:
            self._in_flight = driver.in_flight
            self._future = submit(driver.fs.loop, self._all(driver))

    async def _all(self, driver: Driver) -> None:
        numbered = iter(enumerate(self._items))

        async def work() -> None:
            for n, item in numbered:
                try:
                    self._results[n] = await self._quick(driver, item)
                except Exception:  # noqa: BLE001 - the sure way finds out what it means
                    self._results[n] = _LEFT
                self._moved = time.monotonic()

        await asyncio.gather(*(work() for _ in range(min(self._in_flight, len(self._items)))))

    def __iter__(self) -> Iterator[tuple[Item, Result | Exception]]:
        self._wait()
        for n, item in enumerate(self._items):
            found = self._results[n]
            if found is _LEFT:
                try:
                    found = self._sure(item)
                except (StoreError, ValueError) as exc:
                    found = exc
            yield item, found  # type: ignore[misc]

    def _wait(self) -> None:
        """Until all are there, or nothing has come for as long as one call may take."""
        while self._future is not None:
            try:
                left = self._moved + self._session().patience() - time.monotonic()
                self._future.result(max(left, 0.05))
                return
            except concurrent.futures.TimeoutError:
                if not self._future.done() and self._moved + self._session().patience() > time.monotonic():
                    continue
            except (StoreError, concurrent.futures.CancelledError):
                pass
            self._future.cancel()
            return

    def next_size(self) -> int:
        """How many the next group may have, by the size of these."""
        mean = sum(_size(found) for found in self._results) // len(self._results)
        most = min(_HELD // max(mean, 1), 4 * self._in_flight)
        return max(_FIRST_GROUP, min(4 * len(self._items), most))

    def cancel(self) -> None:
        """Nobody wants them any more."""
        if self._future is not None:
            self._future.cancel()


class _Left(Exception):  # noqa: N818 - stands for what is not read yet
    pass


_LEFT = _Left()


def _size(found: object) -> int:
    data = getattr(found, "data", None)
    return len(data) if isinstance(data, Sized) else 0
