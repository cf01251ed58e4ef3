"""Deadlines around calls to a store, and the memory that it is down, so that it costs a flow little."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from prefect_trackrecord.errors import StoreUnavailableError
from prefect_trackrecord.store._budget import is_pressing

T = TypeVar("T")

_FIRST_PAUSE = 15.0
_LONGEST_PAUSE = 120.0
_PRESSING_PAUSE = 2.0


class Health:
    """Whether a store answers, and how long the next call to it may take.

    The first call has `first` seconds, those made while it waits have what it has left, and every call after one
    that was answered has `later`. After a failure the store counts as down: calls fail at once for 15 s, doubled at
    each failure in a row; then one more is tried, with half of `first`. So a store that is down costs a flow `first`
    once, and that mostly in the background, where the run is announced. Who is `pressing` tries after two seconds.
    """

    def __init__(self, first: float, later: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._first, self._later, self._clock = first, later, clock
        self._failures = 0
        self._down_until = self._failed_at = 0.0
        self._cause = ""
        self._tried: float | None = None  # since when an answer has been waited for
        self.proven = False

    @property
    def down(self) -> bool:
        """Whether calls fail at once."""
        return bool(self._failures) and self._clock() < self._down_until

    def seconds(self) -> float:
        """How long the next call may take.

        Raises:
            StoreUnavailableError: the store is down, as seen a moment ago.
        """
        if self.down and not (is_pressing() and self._clock() >= self._failed_at + _PRESSING_PAUSE):
            raise StoreUnavailableError(self._cause)
        if self.proven:
            return self._later
        whole = self._first / 2 if self._failures else self._first
        now = self._clock()
        tried = self._tried
        if tried is None or now - tried >= whole:  # the one who waited has given up, without a word
            self._tried, tried = now, now
        return max(whole - (now - tried), 0.1)

    def succeeded(self) -> None:
        """The store answered, be it with an error."""
        self.proven, self._failures, self._tried = True, 0, None

    def undecided(self) -> None:
        """A call ended in a way that says nothing of the store; the next one has its time to itself."""
        self._tried = None

    def failed(self, cause: str) -> None:
        """The store did not answer."""
        pause = min(_FIRST_PAUSE * 2.0**self._failures, _LONGEST_PAUSE)
        self._cause, self._failed_at = cause, self._clock()
        self._down_until = self._failed_at + pause
        self._failures = min(self._failures + 1, 10)
        self.proven, self._tried = False, None


def in_thread(work: Callable[[], T], seconds: float) -> T:
    """Run `work` in a daemon thread; the thread is left behind when it takes longer.

    Where there is no thread to be had, as while the interpreter ends, it runs here, for as long as it takes.

    Raises:
        TimeoutError: it took longer than `seconds`.
    """
    future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        future.set_running_or_notify_cancel()  # from here on a result that comes too late harms nobody
        try:
            future.set_result(work())
        except BaseException as exc:  # noqa: BLE001 - handed to the caller
            future.set_exception(exc)

    try:
        threading.Thread(target=run, name="trackrecord-store", daemon=True).start()
    except RuntimeError:
        return work()
    return wait_for(future, seconds)


def on_loop(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Run a coroutine on the driver's event loop, in another thread; it is cancelled when it takes longer.

    Raises:
        TimeoutError: it took longer than `seconds`.
    """
    return wait_for(submit(loop, work), seconds)


def submit(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Start a coroutine on the driver's event loop."""
    try:
        return asyncio.run_coroutine_threadsafe(work, loop)
    except BaseException:
        work.close()
        raise


def straight(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    work.close()
    raise RuntimeError("a serial driver must not wait")


def wait_for(future: concurrent.futures.Future[T], seconds: float) -> T:
    """The future's result; it is cancelled when it takes longer.

    Raises:
        TimeoutError: it took longer than `seconds`.
    """
    try:
        return future.result(seconds)
    except concurrent.futures.TimeoutError:
        if future.done():  # the work's own timeout, not ours
            raise
        raise TimeoutError(f"no answer within {round(seconds, 0 if seconds > 1 else 1):g} s") from None
    finally:
        future.cancel()
