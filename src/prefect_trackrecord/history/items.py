"""Files of a flow from run to run: which came through that failed before, which fail newly, which fail again.

This reads rows, so it is bounded: per flow the newest telling run and the `MAX_RUNS` newest earlier runs
that had failures, and no run with more than `MAX_ROWS` files. What is beyond is not compared, and `complete`
says so.

A file is the same one in two runs if path, task, type and agent are equal. Where the later run has not that
path, it is the only file of the same name there, if the earlier run did not have that one too: pipelines
often get the mended file in another folder (a new date, a copy).

By the newest run of its flow, a file that failed in an earlier run is

* **fixed** if it succeeded there,
* **again** if it failed there as well,
* **unseen** if it was not there, or skipped;

and **new** if it failed there and in no earlier run that was compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from prefect_trackrecord.documents.models import FileProcessingLog, FileStatus, RunMetadata
from prefect_trackrecord.errors import DamagedDocumentError, StoreError
from prefect_trackrecord.history.groups import newest_by_flow
from prefect_trackrecord.history.numbers import file_counts, flow_key

MAX_RUNS = 20
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
        run_id: the newest run of the flow, which decides.
        failed_run_id: the latest run in which it failed.
    """

    flow: str
    path: str
    state: ItemState
    fingerprint: str | None
    error_type: str | None
    error_message: str | None
    since: datetime
    run_id: str
    failed_run_id: str
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

        One of the files came through, and none of those that had the error failed again, by whatever error: a file
        that fails now by another one has not shown that the first is gone.
        """
        again = {(c.flow, mark) for c in self.of(ItemState.AGAIN) for mark in c.earlier}
        return frozenset((c.flow, mark) for c in self.of(ItemState.FIXED) for mark in c.earlier) - again


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
    changes: list[ItemChange] = []
    complete = True
    for flow, newest in sorted(newest_by_flow(runs).items()):
        failed = [
            run
            for run in (*previous, *runs)
            if flow_key(run) == flow and run.started_at < newest.started_at and file_counts(run)["failed"]
        ]
        earlier = sorted(failed, key=lambda run: run.started_at, reverse=True)
        ran_before = any(flow_key(run) == flow and run.started_at < newest.started_at for run in (*previous, *runs))
        if not ran_before or (not earlier and not file_counts(newest)["failed"]):
            continue
        read = [_read(run, rows, max_rows) for run in (newest, *earlier[:max_runs])]
        complete = complete and len(earlier) <= max_runs and None not in read
        if read[0] is not None:
            older = [(run, found) for run, found in zip(earlier, read[1:], strict=False) if found is not None]
            changes += _changes(flow, newest, read[0], older)
    return ItemChanges(tuple(changes), complete)


def _read(run: RunMetadata, rows: Rows, max_rows: int) -> list[FileProcessingLog] | None:
    if file_counts(run).total > max_rows:
        return None
    try:
        return list(rows(run))
    except (StoreError, DamagedDocumentError):
        return None


def _changes(
    flow: str,
    newest: RunMetadata,
    now: list[FileProcessingLog],
    earlier: list[tuple[RunMetadata, list[FileProcessingLog]]],
) -> list[ItemChange]:
    latest = _Rows(now)
    known: dict[Identity, ItemChange] = {}
    for run, found in earlier:  # newest first: the latest failure names the error, older ones only the start
        paths = {_identity(row) for row in found}
        for row in found:
            if row.status is not FileStatus.FAILED:
                continue
            match = latest.same(row, paths)
            key = _identity(match) if match is not None else _identity(row)
            if key in known:
                known[key] = replace(known[key], since=run.started_at, earlier=known[key].earlier | _marks(row))
                continue
            state = _state(match)
            shown = match if match is not None and state is ItemState.AGAIN else row
            change = _change(flow, shown, state, run.started_at, newest, run)
            known[key] = replace(change, earlier=_marks(row))
    for row in now:
        if row.status is FileStatus.FAILED and _identity(row) not in known:
            known[_identity(row)] = _change(flow, row, ItemState.NEW, newest.started_at, newest, newest)
    return list(known.values())


def _marks(row: FileProcessingLog) -> frozenset[str]:
    return frozenset({row.error_fingerprint} if row.error_fingerprint else ())


def _state(match: FileProcessingLog | None) -> ItemState:
    if match is None or match.status is FileStatus.SKIPPED:
        return ItemState.UNSEEN
    return ItemState.FIXED if match.status is FileStatus.SUCCESS else ItemState.AGAIN


def _change(
    flow: str,
    row: FileProcessingLog,
    state: ItemState,
    since: datetime,
    newest: RunMetadata,
    failed: RunMetadata,
) -> ItemChange:
    return ItemChange(
        flow=flow,
        path=row.file_path,
        state=state,
        fingerprint=row.error_fingerprint,
        error_type=row.error_type,
        error_message=row.error_message,
        since=since,
        run_id=newest.run_id,
        failed_run_id=newest.run_id if state is ItemState.AGAIN else failed.run_id,
    )


class _Rows:
    """The rows of one run by identity and by name."""

    def __init__(self, rows: list[FileProcessingLog]) -> None:
        self._by_identity = {_identity(row): row for row in rows}
        self._by_name: dict[Identity, list[FileProcessingLog]] = {}
        for row in rows:
            self._by_name.setdefault(_name(row), []).append(row)

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
