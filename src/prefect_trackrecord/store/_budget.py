"""How this thread may deal with stores: how much longer in all, and whether one that is down is tried again soon."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from contextvars import ContextVar

_end: ContextVar[float | None] = ContextVar("trackrecord_budget", default=None)
_pressing: ContextVar[bool] = ContextVar("trackrecord_pressing", default=False)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Calls to stores inside of this block, in this thread, end within `seconds`; an outer block's end counts too.

    A call for which no time is left raises `StoreUnavailableError`. A folder of this machine is not held to it.
    """
    end = time.monotonic() + seconds
    outer = _end.get()
    token = _end.set(end if outer is None else min(end, outer))
    try:
        yield
    finally:
        _end.reset(token)


def seconds_left() -> float:
    """What is left; infinite outside of any block."""
    end = _end.get()
    return math.inf if end is None else end - time.monotonic()


@contextlib.contextmanager
def pressing() -> Iterator[None]:
    """Calls inside of this block, in this thread, try a store that counts as down sooner: events are lost meanwhile."""
    token = _pressing.set(True)
    try:
        yield
    finally:
        _pressing.reset(token)


def is_pressing() -> bool:
    """Whether this thread is in such a block."""
    return _pressing.get()
