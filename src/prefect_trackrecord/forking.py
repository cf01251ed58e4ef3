"""Locks that a child made by fork gets anew: it has none of the threads that may hold its parent's."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

Lock = AbstractContextManager[Any]
_alive: weakref.WeakSet[ProcessLock] = weakref.WeakSet()


class ProcessLock:
    """A lock of one process, to be held by `with lock():`; a child holds none of its parent's.

    Args:
        make: makes one; `threading.RLock` for one that its holder may take again, as a signal handler does.
    """

    def __init__(self, make: Callable[[], Lock] = threading.Lock) -> None:
        self._make = make
        self.renew()
        _alive.add(self)

    def renew(self) -> None:
        """This is a child now."""
        self._current = self._make()

    def __call__(self) -> Lock:
        """The lock."""
        return self._current


def _forked() -> None:
    for lock in list(_alive):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
