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
    """Have it written when the transaction of the task whose function returns here is rolled back.

    The task's own hooks are run before; where one of them raises, Prefect takes it for not rolled back.
    """
    transaction = get_transaction()
    if transaction is None:
        return
    transaction.on_rollback_hooks.append(_Hook(write))


class _Hook:
    """Called with the transaction that is rolled back."""

    log_on_run = False
    """Prefect's word for hooks that are not the user's: they get no lines in the log."""

    def __init__(self, write: Callable[[Outcome], Any]) -> None:
        self.__name__ = "trackrecord"
        self._write = write

    def __call__(self, _transaction: Any) -> None:
        failed = FileStatus.FAILED.value
        self._write(Outcome({"status": failed, "error_type": NAME, "error_message": MESSAGE}))
