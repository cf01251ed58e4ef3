"""Locks in a child that was forked while another thread held them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from prefect_trackrecord.callbacks import CallbackManager, TrackerCallbackHandler, command_callbacks
from prefect_trackrecord.callbacks import command_run as running
from prefect_trackrecord.callbacks.handler import FileEvent
from prefect_trackrecord.delivery.ledger import Ledger
from prefect_trackrecord.forking import ProcessLock
from prefect_trackrecord.store import open_store


def in_a_child(lock: ProcessLock, work: Callable[[], object]) -> int:
    """The exit code of a child that works while its parent's other thread holds the lock; 9 for one that hangs."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock():
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    pid = os.fork()
    if not pid:
        threading.Timer(10, os._exit, (9,)).start()
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    done.set()
    holder.join()
    return code


def test_a_lock_is_renewed() -> None:
    lock = ProcessLock()

    def take() -> None:
        with lock():
            pass

    assert in_a_child(lock, take) == 0


def test_who_forks_while_holding_it_lets_go_of_what_it_held() -> None:
    lock = ProcessLock()
    with lock():
        pid = os.fork()
    if not pid:
        with lock():
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("which", ["batch", "tracker", "command", "ledger"])
def test_the_locks_of(which: str) -> None:
    batch = CallbackManager([]).on_batch_start(2)
    handler = TrackerCallbackHandler(None)
    ledger = Ledger(open_store("memory://forked"), "report", "period")
    lock, work = {
        "batch": (batch._lock, lambda: batch.on_file_end("f", 1)),
        "tracker": (handler._lock, lambda: handler.on_file_start(FileEvent("b", "f", 1))),
        "command": (running._running_lock, command_callbacks),
        "ledger": (ledger._lock, lambda: ledger.claim("a@example.org")),
    }[which]
    assert in_a_child(lock, work) == 0
