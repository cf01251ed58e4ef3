"""Runs of a window out of an archive, with what could not be read; old documents made whole from rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Protocol

from prefect_trackrecord.documents.fingerprint import error_fingerprint, place_of
from prefect_trackrecord.documents.models import (
    EmailResult,
    FileProcessingLog,
    FileStatus,
    RunMetadata,
    RunStatus,
)
from prefect_trackrecord.documents.rollup import roll_up
from prefect_trackrecord.documents.window import Bound, WindowResult
from prefect_trackrecord.errors import DamagedDocumentError, StoreError
from prefect_trackrecord.history.items import MAX_ROWS, Rows
from prefect_trackrecord.history.numbers import file_counts

MAX_OLD_RUNS = 500
"""Runs without a roll-up whose rows are read; those beyond count, but their errors stay ungrouped."""


class Reads(Protocol):
    """What reading needs of an archive."""

    def runs(
        self,
        start: Bound = None,
        end: Bound = None,
        command: str | None = None,
        status: RunStatus | None = None,
    ) -> WindowResult:
        """Runs of a window and the damaged documents."""

    def files(self, run: RunMetadata) -> list[FileProcessingLog]:
        """The rows of a run."""

    def emails(self, run: RunMetadata) -> list[EmailResult]:
        """The email results of a run."""


@dataclass(frozen=True)
class History:
    """What was found: runs by their start, oldest first, and the documents that could not be read."""

    runs: tuple[RunMetadata, ...] = ()
    damaged: tuple[DamagedDocumentError, ...] = ()

    def __iter__(self) -> Iterator[RunMetadata]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)


def runs(
    archive: Reads,
    start: Bound = None,
    end: Bound = None,
    command: str | None = None,
    status: RunStatus | None = None,
) -> History:
    """The runs that started in a window, and what could not be read of it.

    A date, or an end at midnight, means the whole day, both ends included; other ends are exclusive; naive
    times are UTC.
    """
    return _ordered(archive.runs(start, end, command, status))


def _ordered(found: WindowResult) -> History:
    return History(tuple(sorted(found.runs, key=lambda run: (run.started_at, run.run_id))), tuple(found.damaged))


def runs_between(
    archive: Reads,
    begin: datetime,
    until: datetime,
    command: str | None = None,
    status: RunStatus | None = None,
) -> History:
    """The runs that started at `begin` or later and before `until`, to the instant.

    Adjoining windows so share no run and lose none, also where `until` is a midnight, which `runs` would
    take for a whole day. An archive that has `facts` is asked for those: the runs are for sums and lists.
    """
    first, last = (moment.astimezone(timezone.utc).date() for moment in (begin, until))
    read = getattr(archive, "facts", archive.runs)
    found = _ordered(read(first, last, command, status))
    return History(tuple(run for run in found if begin <= run.started_at < until), found.damaged)


def rows_of(archive: Reads) -> Rows:
    """A reader of runs' rows, each failed one with its fingerprint (the seed's own documents have none)."""

    def rows(run: RunMetadata) -> Iterable[FileProcessingLog]:
        return [_with_fingerprint(row) for row in archive.files(run)]

    return rows


def whole(archive: Reads, history: History, *, max_runs: int = MAX_OLD_RUNS) -> History:
    """`history` with what old documents lack: a roll-up from their rows, email results from their own file.

    A run whose rows can't be read keeps its counts; the damaged document is added to the list.
    """
    done: list[RunMetadata] = []
    damaged = list(history.damaged)
    left = max_runs
    for run in history:
        changes: dict[str, object] = {}
        needs_rows = run.rollup is None and file_counts(run)["failed"] > 0
        needs_emails = not run.email_results and (run.emails_failed or run.emails_skipped)
        if left > 0 and (needs_rows or needs_emails):
            left -= 1
            try:
                if needs_rows and file_counts(run).total <= MAX_ROWS:
                    rows = [row.model_dump(mode="json") for row in rows_of(archive)(run)]
                    changes["rollup"] = roll_up(rows) if rows else None
                if needs_emails:
                    changes["email_results"] = archive.emails(run)
            except DamagedDocumentError as exc:
                damaged.append(exc)
            except StoreError as exc:
                damaged.append(DamagedDocumentError(f"rows of run {run.run_id}", str(exc)))
        done.append(run.model_copy(update=changes) if changes else run)
    return History(tuple(done), tuple(damaged))


def _with_fingerprint(row: FileProcessingLog) -> FileProcessingLog:
    if row.status is not FileStatus.FAILED or row.error_fingerprint:
        return row
    place = place_of(row.traceback)
    return row.model_copy(update={"error_fingerprint": error_fingerprint(row.error_type, row.error_message, place)})
