"""How a run's task runs stand, summed by what the names of their states mean. Pure."""

from __future__ import annotations

from typing import NamedTuple

from prefect_trackrecord.documents.models import RunMetadata, RunStatus

FAILED = frozenset({"Failed", "Crashed", "Cancelled", "TimedOut", "NotReady"})
CACHED = frozenset({"Cached", "Skipped"})
OPEN = frozenset(
    {"Running", "Retrying", "Cancelling", "Paused", "Suspended", "Resuming", "Unknown"}
    | {"Scheduled", "Late", "AwaitingRetry", "AwaitingConcurrencySlot"}
    | {"Pending", "Submitting", "InfrastructurePending"}
)
"""States that are no end: in a run that has ended, of task runs that were killed, never began, or went on alone."""


class TaskSums(NamedTuple):
    """Task runs of a run; `open` are those that have not ended."""

    succeeded: int
    failed: int
    cached: int
    open: int

    @property
    def all(self) -> int:
        """All of them."""
        return sum(self)


def task_sums(run: RunMetadata) -> TaskSums:
    """How the run's task runs stand. A state's name that nobody knows is that of an end, good unless it is told bad."""
    counts = run.task_counts
    told = {task.state for task in run.failed_tasks} - OPEN - CACHED
    failed = sum(number for name, number in counts.items() if name in FAILED | told)
    cached = sum(counts.get(name, 0) for name in CACHED)
    open_ = sum(counts.get(name, 0) for name in OPEN)
    return TaskSums(sum(counts.values()) - failed - cached - open_, failed, cached, open_)


def in_words(run: RunMetadata) -> str:
    """The task runs by state, `12 Completed, 1 Failed`; of a run that has ended the open ones as what they are."""
    ended = run.status is not RunStatus.RUNNING
    return ", ".join(
        f"{number:,} not ended ({state})" if ended and state in OPEN else f"{number:,} {state}"
        for state, number in run.task_counts.items()
    )
