"""Many objects or folders read at once by as many threads, for calls that let go of the interpreter while they wait.

Threads take what is next from one queue. What is made of an object is made where it was read: were that left to the one
thread that asks for it, hundreds of others would wait for the interpreter behind it.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from prefect_trackrecord.errors import StoreError

Item = TypeVar("Item")
Result = TypeVar("Result")

_FIRST_GROUP = 32
_HELD = 16 << 20
"""Groups grow as long as two of them were read from no more bytes than this."""


def read_in_crowd(
    items: Iterable[Item],
    quick: Callable[[Item], tuple[Result, int]],
    sure: Callable[[Item], Result],
    *,
    at_once: int,
    patience: Callable[[], float],
) -> Iterator[tuple[Item, Result | Exception]]:
    """What `quick` makes of each item, in their order, a bounded number at a time; else `sure`, or its error.

    Args:
        items: what to read; taken as they are needed.
        quick: called in threads: the result, and of how many bytes. Whatever it raises, the item is read the sure way.
        sure: called in the caller's thread.
        at_once: how many threads.
        patience: how long one call may take, as things stand; a StoreError says that nothing more is to be waited for.
    """
    source = iter(items)
    size = _FIRST_GROUP
    crowd = _Crowd(quick, at_once)
    waiting: collections.deque[_Group[Item, Result]] = collections.deque()
    try:
        while True:
            while len(waiting) < 2 and (some := list(itertools.islice(source, size))):
                waiting.append(_Group(some))
                crowd.take(waiting[-1])
            if not waiting:
                return
            group = waiting.popleft()
            group.wait(patience)
            yield from group.found(sure)
            size = group.next_size(at_once)
    finally:
        crowd.leave()


class _Left(Exception):  # noqa: N818 - stands for what is not read yet
    pass


_LEFT = _Left()


class _Group(Generic[Item, Result]):
    """Items that are on their way together; threads add to `read`, one number of bytes for each that is done."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.results: list[Result | _Left] = [_LEFT] * len(items)
        self.read: list[int] = []
        self.whole = threading.Event()

    def done(self, size: int) -> None:
        """One more."""
        self.read.append(size)
        if len(self.read) == len(self.items):
            self.whole.set()

    def wait(self, patience: Callable[[], float]) -> None:
        """Until all are there, or none has come for as long as one call may take."""
        seen = -1
        limit = 0.0
        try:
            while not self.whole.wait(0.0 if seen < 0 else 0.5):
                if len(self.read) > seen:
                    seen, limit = len(self.read), time.monotonic() + patience()
                elif time.monotonic() > limit:
                    return
        except StoreError:
            return

    def found(self, sure: Callable[[Item], Result]) -> Iterator[tuple[Item, Result | Exception]]:
        """Each item with what it gave."""
        for item, result in zip(self.items, self.results, strict=True):
            if not isinstance(result, _Left):
                yield item, result
                continue
            try:
                yield item, sure(item)
            except (StoreError, ValueError) as exc:
                yield item, exc

    def next_size(self, at_once: int) -> int:
        """How many the next group may have, by the bytes of these."""
        mean = sum(self.read) // len(self.items)
        return max(_FIRST_GROUP, min(4 * len(self.items), _HELD // max(mean, 1), 4 * at_once))


class _Crowd(Generic[Item, Result]):
    """The threads, started as they are needed."""

    def __init__(self, quick: Callable[[Item], tuple[Result, int]], at_once: int) -> None:
        self._quick, self._at_once = quick, at_once
        self._queue: queue.SimpleQueue[tuple[_Group[Item, Result], int] | None] = queue.SimpleQueue()
        self._taken = self._started = 0
        self._left = False

    def take(self, group: _Group[Item, Result]) -> None:
        """Read these next."""
        for n in range(len(group.items)):
            self._queue.put((group, n))
        self._taken += len(group.items)
        while self._started < min(self._at_once, self._taken):
            try:
                threading.Thread(target=self._work, name="trackrecord-read", daemon=True).start()
            except RuntimeError:  # the system gives no more: those that there are do it
                self._at_once = self._started
                break
            self._started += 1
        if not self._started:
            group.whole.set()

    def leave(self) -> None:
        """Nobody wants the rest any more; each thread ends after the call that it is in."""
        self._left = True
        for _ in range(self._started):
            self._queue.put(None)

    def _work(self) -> None:
        quick = self._quick
        while (task := self._queue.get()) is not None and not self._left:
            group, n = task
            size = 0
            with contextlib.suppress(Exception):  # the sure way finds out what it means
                group.results[n], size = quick(group.items[n])
            group.done(size)
