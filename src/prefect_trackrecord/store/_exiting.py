"""The end of the interpreter, which no answer of obstore's may meet: it is called off or waited for, and none is asked.

Those that are awaited come from threads of its own. One that comes to Python while the interpreter is taken down is
ended there (before Python 3.14), in the middle of code of Rust's: that ends the process by SIGABRT, or prints a panic,
after all of its work is done. A thread of Python's that waits for obstore is ended quietly.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # loaded by whoever awaits something
    import asyncio

_PATIENCE = 2.0
_GRACE = 0.1
_tasks: set[asyncio.Task[Any]] = set()
_calls: list[None] = []
_state = {"over": False, "used": False}


def is_over() -> bool:
    """Whether the interpreter ends, so that nothing more is to be asked."""
    return _state["over"]


@contextlib.contextmanager
def awaited() -> Iterator[None]:
    """Around what a task awaits of obstore; it is called off at the end."""
    import asyncio

    task = asyncio.current_task()
    assert task is not None
    _tasks.add(task)
    _state["used"] = True
    try:
        yield
    finally:
        _tasks.discard(task)


@contextlib.contextmanager
def called_by_obstore() -> Iterator[None]:
    """Around what one of its threads does here; it is waited for at the end."""
    _calls.append(None)
    try:
        yield
    finally:
        _calls.pop()


@atexit.register
def _end() -> None:
    _state["over"] = True
    called_off: set[asyncio.Task[Any]] = set()
    end = time.monotonic() + _PATIENCE
    while (_tasks or _calls or (_state["used"] and _is_answering())) and time.monotonic() < end:
        for task in set(_tasks) - called_off:
            called_off.add(task)
            with contextlib.suppress(RuntimeError):  # its loop is closed
                task.get_loop().call_soon_threadsafe(task.cancel)
        time.sleep(0.005)
    if called_off:  # nothing shows when a thread has seen that nobody waits for its answer any more
        time.sleep(_GRACE)


def _is_answering() -> bool:
    """Whether a thread is telling a loop the answer for which somebody there has waited, and may have it already."""
    import asyncio

    answers = asyncio.BaseEventLoop.call_soon_threadsafe.__code__
    for frame in sys._current_frames().values():  # noqa: SLF001 - threads of obstore's are in no other list
        at: Any = frame
        while at is not None:
            if at.f_code is answers:
                return True
            at = at.f_back
    return False


def _forked() -> None:
    _tasks.clear()
    _calls.clear()
    _state["used"] = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
