"""Requests of Prefect's API that take no longer than they may, of whichever client.

What Prefect's own clients take as a timeout holds for one try. They try six times, with pauses that double, and before
a POST they may fetch a token, which has a timeout of its own: an API that accepts and never answers costs them minutes.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from httpx import ConnectError, HTTPStatusError, ReadTimeout, Response, TimeoutException, TransportError
from prefect.client.orchestration import PrefectClient
from prefect.context import SettingsContext
from prefect.settings import get_current_settings

from prefect_trackrecord.store._deadline import in_thread, on_loop

SECONDS = 2.0
"""What a request may take where nothing is said; no answer in more than half of it says that the API is deaf."""
PAUSE = 30.0
"""So long an API that gave no answer is not asked again: whoever asks next gets the same word at once."""
_TRIES = 5
_BUSY = frozenset({408, 429, 502, 503})
_AGAIN = 0.2


class Requests(Protocol):
    """What can make a request of the API; Prefect's synchronous client is one."""

    def request(self, method: Any, path: Any, **more: Any) -> Response:
        """Make a request and wait for its answer."""


class Bounded:
    """A synchronous client, each of whose requests ends within its `timeout`, whatever happens to it.

    Raises from `request`:
        httpx.ReadTimeout: there was no answer in time, or none a moment ago.
        httpx.HTTPError: as the client itself.
    """

    def __init__(self, client: Requests) -> None:
        self._client = client

    def request(self, method: Any, path: Any, *, timeout: float = SECONDS, **more: Any) -> Response:
        """Make a request and wait for its answer, at most `timeout` seconds in all."""
        _refuse()
        end = time.monotonic() + timeout
        for tries in range(_TRIES):
            left = max(end - time.monotonic(), 0.05)
            asked = _once(functools.partial(self._client.request, method, path, timeout=left, **more))
            try:
                return _answered(functools.partial(in_thread, asked, left), timeout)
            except TimeoutException:
                raise
            except HTTPStatusError as exc:
                if exc.response.status_code not in _BUSY or _is_last(tries, end):
                    raise
            except TransportError as exc:  # a connection that was kept and is closed by now
                if isinstance(exc, ConnectError) or _is_last(tries, end):
                    raise
            time.sleep(_AGAIN)
        raise AssertionError("the last try answers or raises")


class OnLoop:
    """An async flow's own client, used from another thread: one of our own would cost more than all our requests."""

    def __init__(self, own: PrefectClient, loop: asyncio.AbstractEventLoop) -> None:
        self._own, self._loop = own, loop

    def request(self, method: Any, path: Any, *, timeout: float = SECONDS, **more: Any) -> Response:
        """Make a request on the flow's event loop, and wait for it at most `timeout` seconds in all.

        Raises:
            RuntimeError: the loop is closed: the flow did not wait so long.
            httpx.HTTPError: as `Bounded`.
        """
        _refuse()
        asked = self._own.request(method, path, timeout=timeout, **more)
        try:
            return _answered(lambda: on_loop(self._loop, asked, timeout), timeout, self._loop.is_running)
        except ReadTimeout:
            if not self._loop.is_running():
                raise RuntimeError("the flow's event loop has ended") from None
            raise


_deaf: dict[tuple[int, str | None], float] = {}
"""Until when an API counts as deaf, by process and URL."""


def _key() -> tuple[int, str | None]:
    return os.getpid(), get_current_settings().api.url


def _refuse() -> None:
    """Raise where the API gave no answer a moment ago."""
    if _deaf and time.monotonic() < _deaf.get(_key(), 0.0):
        raise ReadTimeout("it gave no answer a moment ago, and is not asked again so soon")


def _answered(
    wait: Callable[[], Response], seconds: float, could_answer: Callable[[], bool] = lambda: True
) -> Response:
    try:
        found = wait()
    except (TimeoutException, TimeoutError, concurrent.futures.TimeoutError) as exc:  # two classes in Python 3.10
        if seconds > SECONDS / 2 and could_answer():  # one that is busy may well take longer than that
            _deaf[_key()] = time.monotonic() + PAUSE
        raise ReadTimeout(f"no answer within {seconds:.3g} s") from exc
    if _deaf:
        _deaf.pop(_key(), None)
    return found


def _is_last(tries: int, end: float) -> bool:
    return tries + 1 >= _TRIES or time.monotonic() + _AGAIN >= end


def _once(ask: Callable[[], Response]) -> Callable[[], Response]:
    """Work for another thread: one try in the settings of this one, so that none goes on that nobody waits for."""

    def work() -> Response:
        with _one_try():
            return ask()

    context = contextvars.copy_context()
    return lambda: context.run(work)


def _one_try() -> AbstractContextManager[Any]:
    now = SettingsContext.get()
    assert now is not None
    client = now.settings.client.model_copy(update={"max_retries": 0})
    return SettingsContext(profile=now.profile, settings=now.settings.model_copy(update={"client": client}))
