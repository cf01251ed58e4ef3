"""Events -> documents, pure: the same events always give the same documents.

Last state wins, first start stays. Each outcome of a file is kept: a later one of the same file takes the earlier
ones in as attempts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import rows
from prefect_trackrecord.documents.attempts import Attempts, ending
from prefect_trackrecord.documents.batches import Batch
from prefect_trackrecord.documents.given import told, with_unbegun
from prefect_trackrecord.documents.models import SCHEMA_VERSION, RunMetadata, RunStatus, moment_of
from prefect_trackrecord.documents.outcomes import Besides, Outcomes
from prefect_trackrecord.documents.quick import Quick, quick
from prefect_trackrecord.documents.sheet import Sheet
from prefect_trackrecord.documents.silent import Silent
from prefect_trackrecord.journal.reader import Source, lives

_COUNTED = {"success": "success_count", "failed": "failed_count", "skipped": "skipped_count"}


class Documents(NamedTuple):
    """What a run's journal says, as the documents hold it.

    Attributes:
        run: its metadata.
        files: its file rows.
        emails: its email rows, ready for JSON.
    """

    run: RunMetadata
    files: Sheet
    emails: list[dict[str, Any]]


@dataclass(frozen=True)
class Segment:
    """What was read of one.

    Attributes:
        size: bytes of its whole lines.
        writer: who writes it; None where its first line is missing or torn.
    """

    size: int
    writer: ev.WriterOpened | None

    @property
    def alive(self) -> bool | None:
        """Whether its writer runs: True, False, or None where this host can't tell."""
        return lives(self.writer, self.size)


class Fold:
    """Collects events in any order of segments; `documents` gives the result.

    Args:
        run_id: the run whose events these are.
        writing: whether file rows are written as segments are read, for a run that is going to be sealed.
        folder: a folder on the disk that is to have the rows; see `Sheet`.
        quick: reads and writes usual outcomes; None to do without.

    Attributes:
        first_at, last_at: when the earliest and the latest event happened.
        started: whether the run's own start is among the events.
        tracked: whether anything but directly saved documents is among them.
        task_keys: the keys of the tracked tasks whose files are among them, or were to come.
        task_names: the names of tracked tasks by key, so far as the run told them.
    """

    def __init__(
        self, run_id: str, *, writing: bool = False, folder: Path | None = None, quick: Quick | None = quick
    ) -> None:
        self.run_id = run_id
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None
        self.started = self.tracked = False
        self.task_keys: set[str] = set()
        self.task_names: dict[str, set[str]] = {}
        self._quick = quick
        self._files = Outcomes(run_id, quick, writing=writing, folder=folder)
        self._silent = Silent()
        self._writer: ev.WriterOpened | None = None
        self._attempts = Attempts()
        self._updates: list[ev.RunUpdated] = []
        self._given: list[ev.ItemsGiven] = []
        self._emails: list[ev.EmailTracked] = []
        self._metrics: dict[tuple[str | None, str], ev.MetricTracked] = {}
        self._failures: Counter[str] = Counter()
        self._lost = 0
        self._saved: dict[str, list[ev.DocumentSaved]] = {}
        self._takers: dict[type, Callable[[Any], None]] = {
            ev.DocumentSaved: lambda event: self._saved.setdefault(event.document, []).append(event),
            ev.EmailTracked: self._emails.append,
            ev.MetricTracked: self._add_metric,
            ev.RunStarted: self._attempts.starts.append,
            ev.RunUpdated: self._updates.append,
            ev.RunEnded: self._attempts.ends.append,
            ev.TrackingFailed: self._add_failure,
            ev.FileInferred: self._silent.inferred,
            ev.ItemsGiven: self._given.append,
        }

    def read(self, name: str, source: Source, limit: int | None = None) -> Segment:
        """Take a segment in, of whatever size.

        Args:
            name: the segment's.
            source: where it is.
            limit: only so many bytes of it count; all that are there now where left out.
        """
        writer: ev.WriterOpened | None = None
        size = damaged = 0
        for length, batch in self._files.read(source, limit):
            if not size and batch.others and isinstance(batch.others[0], ev.WriterOpened):
                writer = self._writer = batch.others[0]
            size += length
            damaged += batch.damaged
            self._take(batch)
        self._writer = None
        if damaged:
            self._failures[f"{damaged} damaged lines in {name}"] += 1
        return Segment(size, writer)

    def _take(self, batch: Batch) -> None:
        for event in batch.others:
            self._add(event)
        for event in batch.begun:
            task_run = event.row.get("task_run_id") if isinstance(event, ev.FileStarted) else self._task_run(event)
            self._silent.began(str(task_run), event, self._writer)
        if len(batch) or batch.begun:
            self.tracked = True
            self.task_keys |= batch.task_keys()
            self._silent.told(batch.task_runs)
            for at in batch.times():
                self._happened(at)

    def add(self, event: ev.Event) -> None:
        """Take one event in that comes from no segment."""
        if isinstance(event, ev.FileTracked):
            self._take(Batch(odd=[(0, event)]))
            self._files.add(event)
        elif isinstance(event, ev.FileStarted):
            self._take(Batch(begun=[event]))
        else:
            self._add(event)

    def _add(self, event: ev.Event) -> None:
        if isinstance(event, ev.WriterOpened):
            return
        self._happened(event.at)
        self.tracked = self.tracked or not isinstance(event, ev.DocumentSaved)
        self.started = self.started or isinstance(event, ev.RunStarted)
        if isinstance(event, ev.FileInferred) and event.item is not None:
            self.task_keys.add(event.item.partition("\0")[0])
        if isinstance(event, ev.RunUpdated) and event.tasks:
            for key, names in event.tasks.items():
                self.task_keys.add(key)
                known = self.task_names.setdefault(key, set())
                known.update(map(str, names if isinstance(names, list) else ()))
        taker = self._takers.get(type(event))
        if taker is not None:
            taker(event)

    def _happened(self, at: datetime) -> None:
        self.first_at = at if self.first_at is None or at < self.first_at else self.first_at
        self.last_at = at if self.last_at is None or at > self.last_at else self.last_at

    def _add_metric(self, event: ev.MetricTracked) -> None:
        before = self._metrics.get((event.file, event.name))
        if before is None or before.at <= event.at:
            self._metrics[event.file, event.name] = event

    def _add_failure(self, event: ev.TrackingFailed) -> None:
        if event.count:  # else it is the room that a segment keeps for such a word
            self._failures[event.cause] += event.count
            self._lost += event.lost

    def _task_run(self, begun: Any) -> str:
        assert self._quick is not None
        return self._quick.task_run(begun)

    def _event(self, begun: Any) -> ev.FileStarted:
        if isinstance(begun, ev.FileStarted):
            return begun
        assert self._quick is not None
        found: ev.FileStarted = self._quick.event(begun)
        return found

    def first_start(self) -> datetime | None:
        """When the run began: its own first start, else a saved document's, else its earliest event."""
        saved = [saved.value.get("started_at") for saved in self._saved.get("run", ())]
        return self._attempts.first() or next(filter(None, map(moment_of, saved)), self.first_at)

    def last_start(self) -> tuple[int, datetime] | None:
        """Number and time of the last attempt that began; None for a run without a start of its own."""
        return self._attempts.last()

    def attempt(self) -> int:
        """The number of the last attempt that began."""
        return self._attempts.number()

    def end(self) -> ev.RunEnded | None:
        """The end that counts; see `Attempts.end`."""
        return self._attempts.end()

    def number_of(self, ended: ev.RunEnded) -> int:
        """Which attempt an end belongs to; see `Attempts.number_of`."""
        return self._attempts.number_of(ended)

    def documents(self, ended: ev.RunEnded | None, *, generation: int = 0) -> Documents:
        """The documents, for a run that ended so (None: it still runs)."""
        sheet, sums = self._files.document(self._besides(ended))
        emails, odd_emails = rows.email_rows(self.run_id, self._emails, self._saved.get("emails", ()))
        run = self._run_fields(None if ended is None else ended.at)
        rollup = sums.result()
        if rollup.files:
            run["total_files"] = sum(rollup.files.values())
            run.update({name: rollup.files.get(status, 0) for status, name in _COUNTED.items()})
            run.update(rollup=rollup, never_began=sums.never_began)
        if emails:
            counts = Counter(row["status"] for row in emails)
            run.update({f"emails_{s}": counts[s] for s in ("sent", "failed", "skipped")})
            run["email_results"] = emails
        run.update(generation=generation, schema_version=SCHEMA_VERSION)
        if ended is not None:
            run.update(ending(run, run["started_at"], ended, lost=self._lost))
        saved = run.pop("tracking_errors", None)
        made, odd = rows.lenient(RunMetadata, run, {"run_id": self.run_id, "started_at": run["started_at"]})
        errors = self._failures + Counter(saved if isinstance(saved, dict) else {}) + odd + odd_emails
        lost = max(made.events_lost, self._lost)
        made = made.model_copy(update={"tracking_errors": dict(errors), "events_lost": lost})
        return Documents(made, sheet, emails)

    def _besides(self, ended: ev.RunEnded | None) -> Besides:
        """What bears on file rows; of a run that has ended also files whose own process told no outcome."""
        numbers: dict[str, dict[str, float]] = {}
        for (file, name), event in self._metrics.items():
            if file is not None:
                numbers.setdefault(file, {})[name] = event.value
        silent = self._silent.outcomes(self._files.task_runs, self._event) if ended else {}
        if ended is not None and (given := self.given(ended)):
            silent = with_unbegun(given, silent, self._files.paths(), ended.at)
        saved = rows.saved_rows(self.run_id, self._saved.get("files", ()))
        return Besides(silent, numbers, saved, self._attempts.resumed())

    def given(self, ended: ev.RunEnded) -> list[str]:
        """The items that a run was given which did not complete; none where it did, or where they are not known."""
        attempt = ended.run_count or self.attempt()
        if ended.status not in (RunStatus.ABORTED.value, RunStatus.FAILED.value):
            return []
        for event in self._given:
            if event.turn >= attempt:
                return event.paths
        if ended.status != RunStatus.ABORTED.value:
            return []  # it may have come to all that it wanted, and failed then
        run = self._run_fields(ended.at)
        return told(run.get("parameters"), run.get("items_parameter"))

    def without_outcome(self, task_runs: Iterable[str]) -> set[str]:
        """Those of these task runs of which no outcome was tracked."""
        left = set(task_runs)
        return left.difference(self._files.task_runs()) if left else left

    def task_runs(self) -> set[str]:
        """The task runs of which an outcome was tracked."""
        return set(self._files.task_runs())

    def outcomes_of(self, task_runs: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The rows that these task runs tracked."""
        asked = set(task_runs)
        return self._files.rows_of(asked) if asked else {}

    def has_begun(self, task_run: str) -> bool:
        """Whether a task run has told that it began, and no outcome."""
        return self._silent.has_begun(task_run)

    def begun_by(self, task_run: str) -> ev.WriterOpened | None:
        """The process in which a task run began that has told no outcome; None where that is not known."""
        return self._silent.begun_by(task_run)

    def said(self, task_run: str) -> dict[str, Any] | None:
        """The row that others have told of a task run's file."""
        return self._silent.said(task_run)

    def updated(self, name: str) -> Any:
        """What the run was last told of one of its fields; None where nothing."""
        told = [(u.at, u.run[name]) for u in self._updates if u.run.get(name) is not None]
        return max(told, key=lambda one: one[0])[1] if told else None

    def said_of_run(self, name: str) -> Any:
        """What the run's metadata say of one of its fields so far."""
        return self._run_fields(None).get(name)

    def _run_fields(self, at: datetime | None) -> dict[str, Any]:
        saved = self._saved.get("run")
        run: dict[str, Any] = dict(saved[-1].value) if saved else {}
        run["run_id"] = self.run_id
        run.update(self._attempts.fields())
        for update in sorted(self._updates, key=lambda u: u.at):
            run.update({name: value for name, value in update.run.items() if value is not None})
        if (first := self._attempts.first()) is not None:
            before = moment_of(saved[-1].value.get("started_at")) if saved else None
            run["started_at"] = min(first, before) if before else first
            run["attempts"] = self._attempts.told()
        else:
            run["started_at"] = moment_of(run.get("started_at")) or self.first_at or at
        metrics = {name: m.value for (file, name), m in self._metrics.items() if file is None}
        if metrics:
            own = run.get("metrics")
            run["metrics"] = {**(own if isinstance(own, dict) else {}), **metrics}
        return run
