"""Completes running trackers as aborted when their process is told to stop, outside of Prefect flows.

One handler serves all trackers of the process. It is installed on the main thread only, with the first tracker, and
taken away with the last, unless somebody has put another in its place meanwhile; the handler that was there before is
called afterwards.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from prefect_trackrecord.documents.models import RunStatus
from prefect_trackrecord.store import _exiting

if TYPE_CHECKING:
    from prefect_trackrecord.tracking.run_tracker import RunTracker

SIGNALS = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None

_watched: dict[int, RunTracker] = {}
_before: dict[int, Handler] = {}
_state = {"pid": os.getpid(), "pending": 0}


def watch(tracker: RunTracker, *, signals: bool = True) -> None:
    """See to it that `tracker` is completed as aborted should the process end before it is.

    Args:
        tracker: a running tracker.
        signals: also when SIGINT or SIGTERM comes; only the main thread can see to that.
    """
    if _state["pid"] != os.getpid():  # a forked child answers for its own trackers only
        _watched.clear()
        _state.update(pid=os.getpid(), pending=0)
    _watched[id(tracker)] = tracker
    if not signals or threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        there = signal.getsignal(number)
        # None: a handler that was not set from Python can't be put back; SIG_IGN: the host wants it ignored
        if there not in (_on_signal, signal.SIG_IGN, None):
            _before[number] = signal.signal(number, _on_signal)


def unwatch(tracker: RunTracker) -> None:
    """The tracker is complete; the last one puts the host's handlers back. A signal that waited is sent again."""
    _watched.pop(id(tracker), None)
    if not _watched:
        _restore()
    if (number := _state["pending"]) and not _is_completing():
        _state["pending"] = 0
        os.kill(os.getpid(), number)


def only_watched() -> RunTracker | None:
    """The running tracker of this process, where there is exactly one."""
    running = list(_watched.values())
    return running[0] if len(running) == 1 else None


def _restore() -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # the handler calls the host's own and takes itself away when it is next called
    for number, handler in list(_before.items()):
        if signal.getsignal(number) is _on_signal:
            signal.signal(number, handler)
        _before.pop(number, None)


def _is_completing() -> bool:
    return any(tracker.completing for tracker in list(_watched.values()))


def _complete_all(why: str) -> None:
    if _state["pid"] != os.getpid():
        return
    for tracker in list(_watched.values()):
        tracker.complete(RunStatus.ABORTED, why)
    _watched.clear()


def _on_signal(number: int, frame: FrameType | None) -> None:
    """Complete what runs, put the host's handlers back, and let them do what they would have done."""
    before = _before.get(number, signal.SIG_DFL)
    if _state["pid"] != os.getpid():  # a child, whose trackers are its parent's; an exception would not end a pool's
        signal.signal(number, before)
        os.kill(os.getpid(), number)
        return
    if _is_completing():
        _state["pending"] = number  # the documents are being written: `unwatch` sends the signal again
        return
    name = signal.Signals(number).name
    _complete_all(f"Command aborted by user (signal {number}, {name})")
    _restore()
    if callable(before):
        before(number, frame)
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        raise SystemExit(128 + number)


assert _exiting  # registered before what follows, and so called after it: runs are sealed while all ways are open


@atexit.register
def _on_exit() -> None:
    _complete_all("the process ended before the run was completed")
