"""Files whose task came through and was then rolled back with its transaction: what was done is undone, they failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect.transactions import get_transaction

from prefect_trackrecord._prefect.outcome import Outcome
from prefect_trackrecord.documents.models import FileStatus

NAME = "RolledBack"
"""The state's name in Prefect, which counts it as completed."""
MESSAGE = "the transaction that it was part of was rolled back"


def watch(write: Callable[[Outcome], Any]) -> None:
    """Have it written when the transaction of the task whose function returns here is rolled back, and that undoes it.

    The task's own hooks are run before; where one of them raises, Prefect takes it for not rolled back.
    """
    own = get_transaction()
    if own is None:
        return
    own.on_rollback_hooks.append(_Hook(write, _lineage(own)))


class _Hook:
    """Called with the transaction that is rolled back."""

    log_on_run = False
    """Prefect's word for hooks that are not the user's: they get no lines in the log."""

    def __init__(self, write: Callable[[Outcome], Any], lineage: list[Any]) -> None:
        self.__name__ = "trackrecord"
        self._write = write
        self._lineage = lineage

    def __call__(self, _transaction: Any) -> None:
        if not (_has_explicit(self._lineage) or any(map(_undoes, self._lineage))):
            return
        failed = FileStatus.FAILED.value
        self._write(Outcome({"status": failed, "error_type": NAME, "error_message": MESSAGE}))


def _lineage(own: Any) -> list[Any]:
    """The transaction and those around it, the inner ones first."""
    found = [own]
    # without its token one that was left already takes the active one for its parent, which is its own child
    while getattr(found[-1], "_token", None) is not None and (parent := found[-1].get_parent()) is not None:
        found.append(parent)
    return found


def _has_explicit(lineage: list[Any]) -> bool:
    """Whether somebody asked for one of them by `transaction()`.

    Prefect opens one for each task run, and rolls it back with that of a task around it which fails: by itself that
    undoes nothing. The logger tells them apart: that of a task run's own names the task run, and it is the outermost
    that does.
    """
    ids = [(getattr(one.logger, "extra", None) or {}).get("task_run_id") for one in lineage]
    return None in ids or len(set(ids)) < len(ids)


def _undoes(transaction: Any) -> bool:
    """Whether it has hooks of the user's, who undoes there what was done."""
    return any(getattr(hook, "log_on_run", True) for hook in transaction.on_rollback_hooks)
