"""Files whose own process told no outcome: it died on the way, or the work never began and others know why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents.models import FileStatus
from prefect_trackrecord.documents.outcomes import Outcomes, item_of

NO_END = "it began, and its process told no end"


@dataclass
class Silent:
    """Collects beginnings, and what others say, by task run; an outcome that was tracked goes before both."""

    _begun: dict[str, ev.FileStarted] = field(default_factory=dict)
    _inferred: dict[str, ev.FileInferred] = field(default_factory=dict)

    def began(self, event: ev.FileStarted) -> None:
        """Work on a file began."""
        self._begun[_task_run(event)] = event

    def inferred(self, event: ev.FileInferred) -> None:
        """Others say what became of a file."""
        self._inferred[_task_run(event)] = event

    def has_begun(self, task_run: str) -> bool:
        """Whether work on that task run's file began and told no outcome."""
        return task_run in self._begun

    def told(self, event: ev.FileTracked) -> None:
        """An outcome was tracked; most follow their beginning in the same segment."""
        if self._begun:
            self._begun.pop(_task_run(event), None)

    def outcomes(self, tracked: Outcomes) -> dict[str, list[ev.FileTracked]]:
        """By item, the outcomes of the task runs of which none was tracked."""
        left = without_outcome(tracked, {**self._begun, **self._inferred})
        found: dict[str, list[ev.FileTracked]] = {}
        for name in [n for n in {**self._begun, **self._inferred} if n in left]:
            outcome = _outcome(self._begun.get(name), self._inferred.get(name))
            found.setdefault(item_of(outcome), []).append(outcome)
        return found


def outcomes_of(tracked: Outcomes, task_runs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The rows of the outcomes that these task runs tracked."""
    asked = set(task_runs)
    found: dict[str, dict[str, Any]] = {}
    for _, group in tracked.groups() if asked else ():
        found.update((name, outcome.row) for outcome in group if (name := _task_run(outcome)) in asked)
    return found


def without_outcome(tracked: Outcomes, task_runs: Iterable[str]) -> set[str]:
    """Those of these task runs of which no outcome was tracked."""
    left = set(task_runs)
    for _, group in tracked.groups() if left else ():
        left.difference_update(_task_run(outcome) for outcome in group)
    return left


def _task_run(event: ev.FileTracked | ev.FileStarted | ev.FileInferred) -> str:
    return str(event.row.get("task_run_id"))


def _outcome(begun: ev.FileStarted | None, inferred: ev.FileInferred | None) -> ev.FileTracked:
    if begun is None:
        assert inferred is not None
        return ev.FileTracked(inferred.at, inferred.row, inferred.item or _task_run(inferred), inferred.turn)
    message = NO_END
    if inferred is not None and (why := inferred.row.get("error_message")):
        message = f"{NO_END}: {why}"
    error = {"error_type": "Crashed", "error_message": message}
    attempt = {"started_at": begun.row.get("started_at"), "ended_at": None, "status": "crashed", **error}
    row = {**begun.row, "status": FileStatus.FAILED.value, **error, "attempts": [attempt]}
    return ev.FileTracked(begun.at, row, begun.item, begun.turn)
