"""What a child made by fork gets anew, locks above all: it has none of the threads that may hold its parent's."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

Lock = AbstractContextManager[Any]


class Forked(Protocol):
    """What a child made by fork takes over from its parent, and must not use as it is."""

    def forked(self) -> None:
        """This is a child now."""


_alive: weakref.WeakSet[Forked] = weakref.WeakSet()


def tell_of_forks(one: Forked) -> None:
    """Call its `forked` in each child, as long as it lives."""
    _alive.add(one)


class ProcessLock:
    """A lock of one process, to be held by `with lock():`; a child holds none of its parent's.

    Args:
        make: makes one; `threading.RLock` for one that its holder may take again, as a signal handler does.
    """

    def __init__(self, make: Callable[[], Lock] = threading.Lock) -> None:
        self._make = make
        self.forked()
        tell_of_forks(self)

    def forked(self) -> None:
        """This is a child now."""
        self._current = self._make()

    def __call__(self) -> Lock:
        """The lock."""
        return self._current


def _forked() -> None:
    for one in list(_alive):
        one.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
