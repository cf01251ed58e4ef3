"""Which files of a run failed, and which of them still are, to do them again."""

from __future__ import annotations

from pathlib import Path

from prefect_trackrecord.documents.models import FileProcessingLog, FileStatus, RunMetadata
from prefect_trackrecord.tracking.storage import TrackingStorage, resolve_storage


def failed_files(run_id: str, storage: TrackingStorage | str | Path | None = None) -> list[FileProcessingLog]:
    """The files of a run that failed, by path, each with its error; of a run that goes on those so far.

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


def still_failed(run: RunMetadata, storage: TrackingStorage) -> list[FileProcessingLog]:
    """The failed files of a run that no run since has brought through that was started again for them."""
    failed = _failed(storage.archive.files(run))
    if not failed:
        return []
    mended: set[str] = set()
    wanted = {run.run_id}
    for later in storage.list_runs(run.started_at.date()):
        if later.retry_of in wanted:
            wanted.add(later.run_id)
            mended.update(r.file_path for r in storage.archive.files(later) if r.status is not FileStatus.FAILED)
    return [row for row in failed if row.file_path not in mended]


def _failed(rows: list[FileProcessingLog]) -> list[FileProcessingLog]:
    return sorted((row for row in rows if row.status is FileStatus.FAILED), key=lambda row: row.file_path)
