"""One process's dealings with one store: its driver, how calls run, and what their errors become."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from prefect_trackrecord.errors import StoreError, StoreUnavailableError
from prefect_trackrecord.store._budget import seconds_left
from prefect_trackrecord.store._deadline import Health, in_thread, on_loop, straight
from prefect_trackrecord.store._driver import Driver, Refused
from prefect_trackrecord.store._faults import Kind, in_words, kind_of

T = TypeVar("T")
_PROBE = "trackrecord-probe"
_PAUSES = (0.05, 0.2, 0.5, 1.0)
"""Seconds before each next try of a call that a busy service refused; the jitter goes up to half as much again."""
_WAYS_OUT = {
    Kind.NO_BUCKET: "create it first, or correct the URL",
    Kind.DENIED: "give credentials as storage options, in the block trackrecord-storage, or in the environment",
    Kind.SKEWED: "set this machine's clock, best by NTP",
    Kind.UNSUPPORTED: "use a service that has them (S3 has, and MinIO), or a local folder",
}


class BusyError(StoreUnavailableError):
    """The service answered, and asked for patience."""


class Session:
    """The driver is made at the first call, and anew after the store did not answer."""

    def __init__(
        self,
        url: str,
        connect: Callable[[], Driver],
        first: float,
        later: float,
        *,
        secrets: Mapping[str, Any],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url, self._connect, self._secrets, self._clock, self._sleep = url, connect, secrets, clock, sleep
        self._health = Health(first, later, clock)
        self._making = threading.Lock()
        self._one_at_a_time = threading.Lock()
        self._driver: Driver | None = None

    def call(self, make: Callable[[Driver], Coroutine[Any, Any, T]], *, large: bool = False, more: float = 0.0) -> T:
        """Run what `make` makes of the driver, within the deadline of the moment.

        What is `large` may well take longer than the first call is given; so a small one goes ahead of it. It may take
        `more` seconds than others.

        Raises:
            Refused: the condition of a write did not hold.
            StoreUnavailableError: everything else; what a busy service refused has been tried five times by then, as
                far as the deadline allowed.
        """
        if large:
            self._prove()
        seconds, whole = self._seconds(more)
        end = self._clock() + seconds
        for pause in (*_PAUSES, None):
            driver = self._ready(max(end - self._clock(), 0.1), whole=whole)
            try:
                result = self._run(driver, make(driver), max(end - self._clock(), 0.1))
            except (Refused, StoreError):
                self._health.succeeded()
                raise
            except Exception as exc:
                if pause is not None and self._worth_another(exc):
                    pause *= random.uniform(1, 1.5)  # noqa: PLW2901, S311 - many processes must not come back at once
                    if self._clock() + 2 * pause < end:
                        self._sleep(pause)
                        continue
                raise self._fault(exc, whole=whole) from exc
            self._health.succeeded()
            return result
        raise AssertionError("the last try raises or returns")

    def _worth_another(self, exc: Exception) -> bool:
        """Whether the same call may well be answered in a moment. Each of ours may be made twice."""
        kind = kind_of(exc)
        return kind is Kind.BUSY or (kind is Kind.DOWN and self._health.proven and not _timed_out(exc))

    def _seconds(self, more: float = 0.0) -> tuple[float, bool]:
        """How long a call may take, and whether that is all that a store is given to answer."""
        seconds, left = self._health.seconds() + more, seconds_left()
        if left <= 0:
            raise StoreUnavailableError(f"{self._url}: the time that a run's end may take is over")
        return min(seconds, left), seconds <= left

    def ready(self) -> Driver:
        """The driver, after the store has answered once.

        Raises:
            StoreUnavailableError: it does not.
        """
        self._prove()
        return self._ready(self._seconds()[0])

    def patience(self) -> float:
        """How long a call may take now.

        Raises:
            StoreUnavailableError: the store is down, or no time is left.
        """
        return self._seconds()[0]

    def _prove(self) -> None:
        """See that the store answers at all, be it with an error."""
        if self._health.proven:
            return
        try:
            self.call(lambda driver: driver.get(_PROBE))
        except StoreUnavailableError:
            if not self._health.proven:
                raise

    def _ready(self, seconds: float, *, whole: bool = True) -> Driver:
        driver = self._driver
        if driver is not None:
            return driver
        if not self._making.acquire(timeout=seconds):
            raise self._fault(TimeoutError(f"no connection within {seconds:.3g} s"), whole=whole)
        try:
            if self._driver is None:
                self._driver = in_thread(self._connect, seconds)
            return self._driver
        except StoreError:
            raise
        except Exception as exc:
            raise self._fault(exc, whole=whole) from exc
        finally:
            self._making.release()

    def _run(self, driver: Driver, work: Coroutine[Any, Any, T], seconds: float) -> T:
        if not driver.serial and driver.conditional:
            return on_loop(driver.fs.loop, work, seconds)
        # The driver looks before it writes, or is not known to be safe for threads.
        end = self._clock() + seconds
        if not self._one_at_a_time.acquire(timeout=seconds):
            work.close()
            raise TimeoutError(f"no turn within {seconds:.3g} s")
        try:
            left = max(end - self._clock(), 0.1)
            if driver.serial:
                return in_thread(lambda: straight(work), left)
            return on_loop(driver.fs.loop, work, left)
        finally:
            self._one_at_a_time.release()

    def _fault(self, exc: Exception, *, whole: bool = True) -> StoreUnavailableError:
        kind, words = kind_of(exc), in_words(exc, self._secrets)
        self._health.undecided()
        if kind is Kind.DOWN and not whole and _timed_out(exc):
            return StoreUnavailableError(f"{self._url} did not answer in the time that a run's end may take: {words}")
        if kind is Kind.DOWN:
            message = f"{self._url} did not answer: {words}"
            self._health.failed(message)
            self._driver = None  # its connections may be stuck
            return StoreUnavailableError(message)
        if kind is Kind.BUSY:
            return BusyError(f"{self._url}: {kind.value} ({words})")
        if kind is not Kind.OTHER:
            self._health.succeeded()
            way_out = _WAYS_OUT.get(kind)
            tail = f" ({words})" + (f". The way out: {way_out}" if way_out else "")
            return StoreUnavailableError(f"{self._url}: {kind.value}{tail}")
        return StoreUnavailableError(f"{self._url} failed: {words}")


def _timed_out(exc: BaseException) -> bool:
    return isinstance(exc, TimeoutError) or "Timeout" in type(exc).__name__
