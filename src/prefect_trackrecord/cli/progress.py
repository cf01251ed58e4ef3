"""What shows on standard error that work goes on: a bar where its length is known, else a line after a second."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Gives what is to be told `(done, total)`; None where standard error is no terminal, and nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


AFTER = 1.0
"""Seconds after which a person begins to wonder."""


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say what is waited for, once it takes longer than `AFTER`; nothing where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    shown: list[Any] = []
    lock, over = threading.Lock(), False

    def show() -> None:
        from rich.console import Console

        with lock:
            if not over:
                shown.append(Console(file=sys.stderr).status(f"{what} ..."))
                shown[0].start()

    timer = threading.Timer(AFTER, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            over = True
            for status in shown:
                status.stop()
