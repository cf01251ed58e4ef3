"""Files whose own process told no outcome: it died on the way, or the work never began and others know why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents.models import FileStatus
from prefect_trackrecord.documents.rows import item_of

NO_END = "it began and told no outcome"
WENT_ON = "it went on in a process of its own as the run ended"
"""Why a file is skipped that was not over, and whose process lived: its own outcome is still to come."""


@dataclass
class Silent:
    """Collects beginnings, and what others say, by task run; an outcome that was tracked goes before both."""

    _begun: dict[str, Any] = field(default_factory=dict)
    _writers: dict[str, ev.WriterOpened] = field(default_factory=dict)
    _inferred: dict[str, ev.FileInferred] = field(default_factory=dict)

    def began(self, task_run: str, event: Any, writer: ev.WriterOpened | None = None) -> None:
        """Work on a file began, in whatever form that is told; `writer` is the process that told it."""
        self._begun[task_run] = event
        if writer is not None:
            self._writers[task_run] = writer

    def inferred(self, event: ev.FileInferred) -> None:
        """Others say what became of a file."""
        self._inferred[str(event.row.get("task_run_id"))] = event

    def has_begun(self, task_run: str) -> bool:
        """Whether work on that task run's file began and told no outcome."""
        return task_run in self._begun

    def begun_by(self, task_run: str) -> ev.WriterOpened | None:
        """The process in which that work began, and told no outcome; None where it did not begin."""
        return self._writers.get(task_run)

    def said(self, task_run: str) -> dict[str, Any] | None:
        """The row that others have told of that task run's file."""
        found = self._inferred.get(task_run)
        return None if found is None else found.row

    def told(self, task_runs: Callable[[], Iterable[str]]) -> None:
        """Outcomes of these task runs were tracked; most follow their beginning in the same segment."""
        if self._begun:
            for name in task_runs():
                self._begun.pop(name, None)
                self._writers.pop(name, None)

    def outcomes(
        self, tracked: Callable[[], Iterable[str]], event_of: Callable[[Any], ev.FileStarted]
    ) -> dict[str, list[ev.FileTracked]]:
        """By item, the outcomes of the task runs of which none was tracked.

        Args:
            tracked: the task runs of which one was.
            event_of: makes the event of what `began` was given.
        """
        names = {**self._begun, **self._inferred}
        left = set(names).difference(tracked()) if names else ()
        found: dict[str, list[ev.FileTracked]] = {}
        for name in [n for n in names if n in left]:
            begun = self._begun.get(name)
            outcome = _outcome(None if begun is None else event_of(begun), self._inferred.get(name))
            found.setdefault(item_of(outcome), []).append(outcome)
        return found


def _outcome(begun: ev.FileStarted | None, inferred: ev.FileInferred | None) -> ev.FileTracked:
    if begun is None:
        assert inferred is not None
        return ev.FileTracked(
            inferred.at, inferred.row, inferred.item or str(inferred.row.get("task_run_id")), inferred.turn
        )
    if inferred is not None and inferred.row.get("reason") == WENT_ON:
        row = {**begun.row, "status": FileStatus.SKIPPED.value, "reason": WENT_ON}
        return ev.FileTracked(begun.at, row, begun.item, begun.turn)
    message = NO_END
    if inferred is not None and (why := inferred.row.get("error_message")):
        message = f"{NO_END}; {why}"
    error = {"error_type": "Crashed", "error_message": message}
    attempt = {"started_at": begun.row.get("started_at"), "ended_at": None, "status": "crashed", **error}
    row = {**begun.row, "status": FileStatus.FAILED.value, **error, "attempts": [attempt]}
    return ev.FileTracked(begun.at, row, begun.item, begun.turn)
