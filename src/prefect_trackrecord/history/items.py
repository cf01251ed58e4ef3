"""Files of a flow from run to run: which came through that failed before, which fail newly, which fail again.

This reads rows, so it is bounded: per flow the newest telling run and the `MAX_RUNS` newest earlier runs
that had failures. Only where a file is in none of these that came after it failed, runs without failures are
read as well, until all files are found: `MAX_RUNS` that were started again for failed files, and the `MAX_QUIET`
newest others, with no more than `MAX_ROWS` files in all. No run with more than `MAX_ROWS` files is read.
What is beyond is not compared, and `complete` says so.

A file is the same one in two runs if path, task, type and agent are equal. Where the later run has not that
path, it is the only file of the same name there, if the earlier run did not have that one too: pipelines
often get the mended file in another folder (a new date, a copy).

By the latest run of its flow that had it and did not skip it, a file that failed in an earlier run is

* **fixed** if it succeeded there,
* **again** if it failed there as well, and that is the newest run of the flow,
* **unseen** if no run had it since;

and **new** if it failed in the newest run and in no earlier one that was compared.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from prefect_trackrecord.documents.models import FileProcessingLog, FileStatus, RunMetadata
from prefect_trackrecord.errors import DamagedDocumentError, StoreError
from prefect_trackrecord.history.groups import newest_by_flow
from prefect_trackrecord.history.numbers import file_counts, flow_key

MAX_RUNS = 20
MAX_QUIET = 5
MAX_ROWS = 20_000

Rows = Callable[[RunMetadata], Iterable[FileProcessingLog]]
Identity = tuple[str, str | None, str | None, str | None]


class ItemState(str, Enum):
    """How a file stands against earlier runs of its flow."""

    NEW = "new"
    AGAIN = "again"
    FIXED = "fixed"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class ItemChange:
    """One file that failed in the newest run of its flow, or before it.

    Attributes:
        fingerprint, error_type, error_message: of its latest failure.
        earlier: fingerprints of its failures before the newest run.
        since: start of the earliest compared run in which it failed.
        run_id: the run that decides: in which it came through; else the newest of the flow.
        at: start of that run.
        failed_run_id: the latest run in which it failed.
        failed_at: start of that one.
    """

    flow: str
    path: str
    state: ItemState
    fingerprint: str | None
    error_type: str | None
    error_message: str | None
    since: datetime
    run_id: str
    at: datetime
    failed_run_id: str
    failed_at: datetime
    earlier: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ItemChanges:
    """All compared files; `complete` is False where a bound cut the comparison short."""

    changes: tuple[ItemChange, ...] = ()
    complete: bool = True

    def of(self, state: ItemState) -> list[ItemChange]:
        """Those in this state."""
        return [c for c in self.changes if c.state is state]

    @property
    def came_through(self) -> frozenset[tuple[str, str]]:
        """(flow, fingerprint) of the errors that are fixed, as `groups.compare` wants it.

        One of the files came through after the last of them failed, and none of those that had the error failed
        again, by whatever error: a file that fails now by another one has not shown that the first is gone.
        """
        again = {(c.flow, mark) for c in self.of(ItemState.AGAIN) for mark in c.earlier}
        failed: dict[tuple[str, str], datetime] = {}
        for change in self.changes:
            for mark in change.earlier:
                key = (change.flow, mark)
                failed[key] = max(failed.get(key, change.failed_at), change.failed_at)
        fixed = {(c.flow, m) for c in self.of(ItemState.FIXED) for m in c.earlier if c.at > failed[c.flow, m]}
        return frozenset(fixed - again)


def item_changes(
    runs: Sequence[RunMetadata],
    previous: Sequence[RunMetadata],
    rows: Rows,
    *,
    max_runs: int = MAX_RUNS,
    max_rows: int = MAX_ROWS,
) -> ItemChanges:
    """Compare the newest run of each flow in `runs` with its earlier runs, those of `previous` included.

    Args:
        runs: the runs of the window.
        previous: the runs of the previous equal period.
        rows: gives a run's rows; its `StoreError`s and `DamagedDocumentError`s leave that run out.
        max_runs: earlier runs read per flow.
        max_rows: runs with more files are not read.
    """
    by_flow: dict[str, list[RunMetadata]] = {}
    for run in (*previous, *runs):
        by_flow.setdefault(flow_key(run), []).append(run)
    changes: list[ItemChange] = []
    complete = True
    for flow, newest in sorted(newest_by_flow(runs).items()):
        before = [run for run in by_flow[flow] if run.started_at < newest.started_at]
        before.sort(key=lambda run: run.started_at, reverse=True)
        earlier = [run for run in before if file_counts(run)["failed"]]
        if not before or (not earlier and not file_counts(newest)["failed"]):
            continue
        read = [_read(run, rows, max_rows) for run in (newest, *earlier[:max_runs])]
        complete = complete and len(earlier) <= max_runs and None not in read
        if read[0] is not None:
            older = [(run, found) for run, found in zip(earlier, read[1:], strict=False) if found is not None]
            found = _Files(flow, newest, read[0], older)
            complete = found.look_between(before, rows, max_runs, max_rows) and complete
            changes += found.known.values()
    return ItemChanges(tuple(changes), complete)


def _read(run: RunMetadata, rows: Rows, max_rows: int) -> list[FileProcessingLog] | None:
    if file_counts(run).total > max_rows:
        return None
    try:
        return list(rows(run))
    except (StoreError, DamagedDocumentError):
        return None


class _Files:
    """The files of one flow that failed, each with how it stands."""

    def __init__(
        self,
        flow: str,
        newest: RunMetadata,
        now: list[FileProcessingLog],
        earlier: list[tuple[RunMetadata, list[FileProcessingLog]]],
    ) -> None:
        self.known: dict[Identity, ItemChange] = {}
        self._flow, self._newest = flow, newest
        self._unseen: dict[Identity, tuple[FileProcessingLog, set[Identity]]] = {}
        self._also: dict[Identity, Identity] = {}  # names of known files in earlier runs
        self._later = [(newest, _Rows(now))]
        for run, found in earlier:  # newest first: the latest failure names the error, older ones only the start
            paths = {_identity(row) for row in found}
            for row in found:
                if row.status is FileStatus.FAILED:
                    self._add(run, row, paths)
            self._later.append((run, _Rows(found)))
        for row in now:
            if row.status is FileStatus.FAILED and _identity(row) not in self.known:
                self.known[_identity(row)] = self._change(row, ItemState.NEW, newest, newest)

    def _add(self, run: RunMetadata, row: FileProcessingLog, paths: set[Identity]) -> None:
        own = _identity(row)
        key = self._also.get(own, own)
        by, match = (None, None) if key in self.known else self._match(row, paths)
        if match is not None:
            key = self._also.get(_identity(match), _identity(match))
        self._also[own] = key
        if (known := self.known.get(key)) is not None:
            self.known[key] = replace(known, since=run.started_at, earlier=known.earlier | _marks(row))
            return
        again = match is not None and match.status is FileStatus.FAILED
        state = ItemState.UNSEEN if match is None else ItemState.AGAIN if again else ItemState.FIXED
        shown = match if match is not None and again else row
        change = self._change(shown, state, by or self._newest, self._newest if again else run)
        self.known[key] = replace(change, since=run.started_at, earlier=_marks(row))
        if match is None:
            self._unseen[key] = (row, paths)

    def _match(
        self, row: FileProcessingLog, paths: set[Identity]
    ) -> tuple[RunMetadata, FileProcessingLog] | tuple[None, None]:
        """The same file in the latest run read so far that had it and did not skip it."""
        for run, rows in self._later:
            found = rows.same(row, paths)
            if found is not None and found.status is not FileStatus.SKIPPED:
                return run, found
        return None, None

    def look_between(self, before: Sequence[RunMetadata], rows: Rows, max_runs: int, max_rows: int) -> bool:
        """Look for files that no run had since in the runs that had no failures; False where some were not read."""
        chain = {change.failed_run_id for change in self.known.values()}
        quiet = [run for run in before if not file_counts(run)["failed"] and file_counts(run).total]
        for run in reversed(quiet):
            if run.retry_of in chain:
                chain.add(run.run_id)
        quiet.sort(key=lambda run: run.retry_of not in chain)
        reads = {True: max_runs, False: min(MAX_QUIET, max_runs)}
        whole, left = True, max_rows
        for run in quiet:
            waiting = {key for key in self._unseen if self.known[key].failed_at < run.started_at}
            if not waiting:
                continue
            again = run.retry_of in chain
            found = _read(run, rows, left) if reads[again] else None
            if found is None:
                whole = False
                continue
            reads[again] -= 1
            left -= len(found)
            by = _Rows(found)
            for key in waiting:
                match = by.same(*self._unseen[key])
                if match is not None and match.status is FileStatus.SUCCESS:
                    del self._unseen[key]
                    self.known[key] = replace(
                        self.known[key], state=ItemState.FIXED, run_id=run.run_id, at=run.started_at
                    )
        return whole

    def _change(self, row: FileProcessingLog, state: ItemState, by: RunMetadata, failed: RunMetadata) -> ItemChange:
        return ItemChange(
            flow=self._flow,
            path=row.file_path,
            state=state,
            fingerprint=row.error_fingerprint,
            error_type=row.error_type,
            error_message=row.error_message,
            since=failed.started_at,
            run_id=by.run_id,
            at=by.started_at,
            failed_run_id=failed.run_id,
            failed_at=failed.started_at,
        )


def _marks(row: FileProcessingLog) -> frozenset[str]:
    return frozenset({row.error_fingerprint} if row.error_fingerprint else ())


class _Rows:
    """The rows of one run by identity and by name; put in order when the first is asked for."""

    def __init__(self, rows: list[FileProcessingLog]) -> None:
        self._rows = rows

    @functools.cached_property
    def _by_identity(self) -> dict[Identity, FileProcessingLog]:
        return {_identity(row): row for row in self._rows}

    @functools.cached_property
    def _by_name(self) -> dict[Identity, list[FileProcessingLog]]:
        found: dict[Identity, list[FileProcessingLog]] = {}
        for row in self._rows:
            found.setdefault(_name(row), []).append(row)
        return found

    def same(self, row: FileProcessingLog, earlier: set[Identity]) -> FileProcessingLog | None:
        """The row of the same file (see the module's docstring), or None."""
        found = self._by_identity.get(_identity(row))
        if found is not None:
            return found
        named = self._by_name.get(_name(row), [])
        if len(named) == 1 and _identity(named[0]) not in earlier:
            return named[0]
        return None


def _identity(row: FileProcessingLog) -> Identity:
    return (row.file_path, row.task_name, row.file_type, row.agent_id)


def _name(row: FileProcessingLog) -> Identity:
    name = row.file_path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    return (name, row.task_name, row.file_type, row.agent_id)
