"""Which files of a run failed, which of them still are, to do them again, and which run brought the others through.

A file that never began, as its run ended before, is to be done again as one that failed.
Whoever says that a file is fixed asks here: commands, what is tried again, and the summaries in Prefect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import FileProcessingLog, FileStatus, RunMetadata
from prefect_trackrecord.documents.unbegun import has_name, is_unbegun
from prefect_trackrecord.errors import DamagedDocumentError
from prefect_trackrecord.tracking.storage import TrackingStorage, resolve_storage

NEVER_BEGAN = "never began"
"""What stands in the place of an error's type for a file that never began."""


def is_undone(row: FileProcessingLog) -> bool:
    """Whether a row's file is to be done again: it failed, or it never began and its path is known."""
    return row.status is FileStatus.FAILED or (is_unbegun(row.__dict__) and has_name(row))


def failed_files(run_id: str, storage: TrackingStorage | str | Path | None = None) -> list[FileProcessingLog]:
    """The files of a run that failed, by path, each with its error; of a run that goes on those so far.

    Of a run that ended too soon those that never began are among them: they are `skipped`, with that `reason`.

    Args:
        run_id: the run.
        storage: its history; resolved as everywhere where left out.

    Raises:
        RunNotFoundError: there is no such run.
        DamagedDocumentError: its documents can't be read.

    Example:
        ```python
        from prefect_trackrecord import failed_files

        nightly(paths=[row.file_path for row in failed_files("3f2a81c0-...")])
        ```
    """
    archive = resolve_storage(storage).archive
    return _failed(archive.files(archive.run(run_id)))


@dataclass(frozen=True)
class Mended:
    """What came of a run's failed files.

    Attributes:
        failed: the rows of those files.
        by: the paths of those that came through since, each with the run in which.
    """

    failed: Sequence[FileProcessingLog]
    by: Mapping[str, str]

    @property
    def still(self) -> list[FileProcessingLog]:
        """Those that no run since has brought through."""
        return [row for row in self.failed if row.file_path not in self.by]

    def came(self, run_id: str) -> int:
        """How many of them came through in a run."""
        return sum(self.by.get(row.file_path) == run_id for row in self.failed)


def mended(run: RunMetadata, archive: Archive) -> Mended:
    """What came of a run's failed files in the runs that were started again for them."""
    failed = _failed(archive.files(run))
    return Mended(failed, fixed_by([run], archive)[run.run_id] if failed else {})


def fixed_by(runs: Sequence[RunMetadata], archive: Archive) -> dict[str, dict[str, str]]:
    """Of each run's failed files those that came through in a run that was started again for them: path to that run.

    Rows are read of runs that were started again alone. A file that fails in a later one of them is not fixed.
    """
    found: dict[str, dict[str, str]] = {run.run_id: {} for run in runs}
    first = min((run.started_at for run in runs if _has_undone(run)), default=None)
    if first is None:
        return found
    since = archive.facts(first.date()).runs
    parents = {run.run_id: run.retry_of for run in (*since, *runs) if run.retry_of}
    families: dict[str, list[RunMetadata]] = {}
    for run in runs:
        if _has_undone(run):
            families.setdefault(_root(run.run_id, parents), []).append(run)
    for again in sorted((run for run in since if run.retry_of), key=lambda run: run.started_at):
        family = families.get(_root(again.run_id, parents), [])
        tried = [found[run.run_id] for run in family if run.started_at < again.started_at]
        for path, through in _came_through(archive, again).items() if tried else ():
            for of in tried:
                if through:
                    of[path] = again.run_id
                else:
                    of.pop(path, None)
    return found


def _root(run_id: str, parents: Mapping[str, str]) -> str:
    """The first of the runs that were started again for each other's files."""
    for _ in range(len(parents) + 1):  # by hand a tag may lead in a circle
        if run_id not in parents:
            break
        run_id = parents[run_id]
    return run_id


def _came_through(archive: Archive, run: RunMetadata) -> dict[str, bool]:
    """The files that a run tried, each with whether it came through in every task; skipped is not tried, but cached."""
    found: dict[str, bool] = {}
    try:
        rows = archive.files(run)
    except DamagedDocumentError:
        return found
    for row in rows:
        if row.status is not FileStatus.SKIPPED or row.reason == "cached":
            found[row.file_path] = row.status is not FileStatus.FAILED and found.get(row.file_path, True)
    return found


def _failed(rows: list[FileProcessingLog]) -> list[FileProcessingLog]:
    return sorted(filter(is_undone, rows), key=lambda row: row.file_path)


def _has_undone(run: RunMetadata) -> bool:
    return bool(run.failed_count or run.never_began)
