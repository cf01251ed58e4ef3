"""Locks that a child made by fork gets anew: it has none of the threads that may hold its parent's."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

Lock = AbstractContextManager[Any]


def process_lock(make: Callable[[], Lock] = threading.Lock) -> Callable[[], Lock]:
    """What gives the one lock of this process, to be held by `with lock():`.

    Args:
        make: makes one; `threading.RLock` for one that its holder may take again.
    """
    current = make()

    def renew() -> None:
        nonlocal current
        current = make()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew)
    return lambda: current
