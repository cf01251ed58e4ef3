"""Events -> documents, pure: the same events always give the same documents.

Last state wins, first start stays. Each outcome of a file is kept: a later one of the same file takes the earlier
ones in as attempts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents.models import SCHEMA_VERSION, RunMetadata, RunStatus
from prefect_trackrecord.documents.outcomes import Outcomes
from prefect_trackrecord.documents.rollup import roll_up
from prefect_trackrecord.documents.rows import email_rows, file_rows, lenient
from prefect_trackrecord.documents.silent import Silent, outcomes_of, without_outcome

RECOVERED = "recovered"
"""How the reason of an end begins that somebody else gave a run which could not give it itself."""
GUESSED = f"{RECOVERED}: no sign of life"
"""How it begins where only silence spoke for the end: the run's own end, should one come after all, replaces it."""

_COUNTED = {"success": "success_count", "failed": "failed_count", "skipped": "skipped_count"}
_FIRST_STAYS = frozenset({"started_at", "parameters", "command", "parent_run_id"})


@dataclass
class Documents:
    """What a run's journal says, as the documents hold it. `files` and `emails` are rows ready for JSON.

    Attributes:
        run: its metadata.
        files: its file rows; made anew by each iteration where they are too many for memory.
        emails: its email rows.
        large: whether the file rows are too many to hold them all at once.
    """

    run: RunMetadata
    files: Iterable[dict[str, Any]]
    emails: list[dict[str, Any]]
    large: bool = False


@dataclass(frozen=True)
class _LazyRows:
    """File rows that are made as they are read."""

    fold: Fold
    ended: bool

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.fold.rows(ended=self.ended)


@dataclass
class Fold:
    """Collects events in any order of segments; `documents` gives the result.

    Attributes:
        run_id: the run whose events these are.
        first_at, last_at: when the earliest and the latest event happened.
        started: whether the run's own start is among the events.
        tracked: whether anything but directly saved documents is among them.
        task_keys: the keys of the tracked tasks whose files are among them.
    """

    run_id: str
    first_at: datetime | None = None
    last_at: datetime | None = None
    started: bool = False
    tracked: bool = False
    _starts: list[ev.RunStarted] = field(default_factory=list)
    _updates: list[ev.RunUpdated] = field(default_factory=list)
    _ends: list[ev.RunEnded] = field(default_factory=list)
    task_keys: set[str] = field(default_factory=set)
    _files: Outcomes = field(default_factory=Outcomes)
    _silent: Silent = field(default_factory=Silent)
    _emails: list[ev.EmailTracked] = field(default_factory=list)
    _metrics: dict[tuple[str | None, str], ev.MetricTracked] = field(default_factory=dict)
    _failures: Counter[str] = field(default_factory=Counter)
    _lost: int = 0
    _saved: dict[str, list[ev.DocumentSaved]] = field(default_factory=dict)

    def add(self, event: ev.Event) -> None:
        """Take one event in."""
        if isinstance(event, ev.WriterOpened):
            return
        self.first_at = min(self.first_at or event.at, event.at)
        self.last_at = max(self.last_at or event.at, event.at)
        if isinstance(event, ev.DocumentSaved):
            self._saved.setdefault(event.document, []).append(event)
            return
        self.tracked = True
        if isinstance(event, ev.FileTracked | ev.FileStarted | ev.FileInferred):
            self._add_file(event)
        elif isinstance(event, ev.EmailTracked):
            self._emails.append(event)
        elif isinstance(event, ev.MetricTracked):
            before = self._metrics.get((event.file, event.name))
            if before is None or before.at <= event.at:
                self._metrics[event.file, event.name] = event
        elif isinstance(event, ev.RunStarted):
            self.started = True
            self._starts.append(event)
        elif isinstance(event, ev.RunUpdated):
            self._updates.append(event)
        elif isinstance(event, ev.RunEnded):
            self._ends.append(event)
        elif isinstance(event, ev.TrackingFailed):
            self._failures[event.cause] += event.count
            self._lost += event.lost

    def _add_file(self, event: ev.FileTracked | ev.FileStarted | ev.FileInferred) -> None:
        if event.item is not None:
            self.task_keys.add(event.item.partition("\0")[0])
        if isinstance(event, ev.FileTracked):
            self._silent.told(event)
            self._files.add(event)
        elif isinstance(event, ev.FileStarted):
            self._silent.began(event)
        else:
            self._silent.inferred(event)

    def add_all(self, stream: Iterable[ev.Event]) -> None:
        """Take many events in."""
        for event in stream:
            self.add(event)

    def damaged(self, segment: str, lines: int) -> None:
        """Note lines of a segment that could not be read."""
        if lines:
            self._failures[f"{lines} damaged lines in {segment}"] += 1

    def first_start(self) -> datetime | None:
        """When the run began: its own first start, else a saved document's, else its earliest event."""
        if self._starts:
            return min(s.at for s in self._starts)
        for saved in self._saved.get("run", ()):
            return RunMetadata.model_validate(saved.value).started_at
        return self.first_at

    def last_start(self) -> tuple[int, datetime] | None:
        """Number and time of the last attempt that began; None for a run without a start of its own."""
        return max(((_count(s), s.at) for s in self._starts), default=None)

    def attempt(self) -> int:
        """The number of the last attempt that began."""
        return max((_count(s) for s in self._starts), default=1)

    def end(self) -> ev.RunEnded | None:
        """The end that counts: that of the last attempt, there the last one; the run's own before a recovered one.

        An end of an earlier attempt counts no longer once a later attempt has begun.
        """
        attempt = self.attempt()
        ends = [e for e in self._ends if (e.run_count or attempt) >= attempt]
        return max(ends, key=lambda e: (e.run_count or 0, not is_recovered(e), e.at), default=None)

    def documents(self, ended: ev.RunEnded | None, *, generation: int = 0) -> Documents:
        """The documents, for a run that ended so (None: it still runs)."""
        lazy = _LazyRows(self, ended is not None)
        large = self._files.spilled
        files: Iterable[dict[str, Any]] = lazy if large else list(lazy)
        emails, odd_emails = email_rows(self.run_id, self._emails, self._saved.get("emails", ()))
        run = self._run_fields()
        rollup = roll_up(files)
        if rollup.files:
            run["total_files"] = sum(rollup.files.values())
            run.update({name: rollup.files.get(status, 0) for status, name in _COUNTED.items()})
            run["rollup"] = rollup
        if emails:
            sums = Counter(row["status"] for row in emails)
            run.update({f"emails_{s}": sums[s] for s in ("sent", "failed", "skipped")})
            run["email_results"] = emails
        run.update(generation=generation, schema_version=SCHEMA_VERSION)
        if ended is not None:
            run.update(_ending(run, ended))
        saved = run.pop("tracking_errors", None)
        made, odd = lenient(RunMetadata, run, {"run_id": self.run_id, "started_at": self.first_at})
        errors = self._failures + Counter(saved if isinstance(saved, dict) else {}) + odd + odd_emails
        lost = max(made.events_lost, self._lost)
        made = made.model_copy(update={"tracking_errors": dict(errors), "events_lost": lost})
        return Documents(run=made, files=files, emails=emails, large=large)

    def rows(self, *, ended: bool) -> Iterator[dict[str, Any]]:
        """The file rows; of a run that has ended also those of files whose own process told no outcome."""
        silent = self._silent.outcomes(self._files) if ended else {}
        return file_rows(self.run_id, self._files, silent, self._saved.get("files", ()), self._metrics.values())

    def without_outcome(self, task_runs: Iterable[str]) -> set[str]:
        """Those of these task runs of which no outcome was tracked."""
        return without_outcome(self._files, task_runs)

    def task_runs(self) -> set[str]:
        """The task runs of which an outcome was tracked."""
        return {str(outcome.row.get("task_run_id")) for _, group in self._files.groups() for outcome in group}

    def outcomes_of(self, task_runs: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The rows that these task runs tracked."""
        return outcomes_of(self._files, task_runs)

    def has_begun(self, task_run: str) -> bool:
        """Whether a task run has told that it began, and no outcome."""
        return self._silent.has_begun(task_run)

    def _run_fields(self) -> dict[str, Any]:
        saved = self._saved.get("run")
        run: dict[str, Any] = dict(saved[-1].value) if saved else {}
        run["run_id"] = self.run_id
        own: dict[str, Any] = {}
        for start in sorted(self._starts, key=lambda s: (_count(s), s.at)):
            known = {n: v for n, v in start.run.items() if v is not None and not (n in _FIRST_STAYS and own.get(n))}
            own.update(known)
        run.update(own)
        for update in sorted(self._updates, key=lambda u: u.at):
            run.update({name: value for name, value in update.run.items() if value is not None})
        run.setdefault("started_at", self.first_at)
        if self._starts:
            run["started_at"] = min(s.at for s in self._starts)
            run["attempts"] = self._attempts()
        metrics = {name: m.value for (file, name), m in self._metrics.items() if file is None}
        if metrics:
            run["metrics"] = {**(run.get("metrics") or {}), **metrics}
        return run

    def _attempts(self) -> list[dict[str, Any]]:
        """The run's attempts, where there was more than one: each with its start, its end and its error."""
        starts: dict[int, datetime] = {}
        for start in self._starts:
            number = _count(start)
            starts[number] = min(starts.get(number, start.at), start.at)
        if len(starts) < 2:
            return []
        ends = {e.run_count or max(starts): e for e in sorted(self._ends, key=lambda e: e.at)}
        return [
            {
                "number": number,
                "started_at": begun,
                "ended_at": ends[number].at if number in ends else None,
                "status": (ends[number].status or ends[number].state) if number in ends else None,
                "error_type": ends[number].error_type if number in ends else None,
                "error_message": ends[number].error_message if number in ends else None,
            }
            for number, begun in sorted(starts.items())
        ]


def is_recovered(ended: ev.RunEnded) -> bool:
    """Whether somebody else ended the run in its place."""
    return (ended.reason or "").startswith(RECOVERED)


def is_guessed(ended: ev.RunEnded) -> bool:
    """Whether only a run's silence spoke for its end."""
    return (ended.reason or "").startswith(GUESSED)


def _count(start: ev.RunStarted) -> int:
    return int(start.run.get("run_count") or 1)


def _ending(run: dict[str, Any], ended: ev.RunEnded) -> dict[str, Any]:
    """The fields of a run that an end gives it."""
    started = run["started_at"]
    begun = datetime.fromisoformat(started.replace("Z", "+00:00")) if isinstance(started, str) else started
    fields: dict[str, Any] = {
        "status": ended.status or status_by_items(run),
        "completed_at": ended.at,
        "duration_ms": max(0, round((ended.at - begun).total_seconds() * 1000)),
        "error_message": ended.error_message,
        "error_type": ended.error_type,
        "traceback": ended.traceback,
        "reason": ended.reason,
        "state": ended.state,
    }
    return {name: value for name, value in fields.items() if value is not None or name not in run}


def status_by_items(run: dict[str, Any]) -> str:
    """The status of a run that completed: by its files and emails.

    None failed: success. Files were processed and all of them failed: failed. Else: partial success.
    """
    failed = run.get("failed_count") or 0
    if not failed and not (run.get("emails_failed") or 0):
        return RunStatus.SUCCESS.value
    if failed and failed == (run.get("total_files") or 0):
        return RunStatus.FAILED.value
    return RunStatus.PARTIAL_SUCCESS.value
