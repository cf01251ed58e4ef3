"""`trackrecord files failed`: what failed in the runs of some days, of the newest first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from prefect_trackrecord.cli.output import complain_of_damage, dump, is_terminal, note, table
from prefect_trackrecord.cli.place import storage_of
from prefect_trackrecord.cli.progress import progress, waiting
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import FileProcessingLog, FileStatus, RunMetadata
from prefect_trackrecord.errors import DamagedDocumentError, UsageError
from prefect_trackrecord.pages.words import plural

DAYS = 7
SHORT_ID = 8
MAX_MESSAGE = 200


def failed_files(
    storage: str | None, first: str | None, last: str | None, command: str | None, limit: int, as_json: bool
) -> int:
    """Print them; 1 where a document could not be read."""
    if limit < 0:
        raise UsageError(f"--limit {limit}: a number of files, or 0 for all")
    place = storage_of(storage)
    if first is None and last is None:
        first = f"{(datetime.now(timezone.utc) - timedelta(days=DAYS - 1)).date()}"
    with waiting(f"reading {place.url}"):
        runs = place.list_runs(first, last, command)
    damaged = list(place.damaged)
    total = sum(run.failed_count for run in runs)
    shown = list(_rows(place.archive, [run for run in reversed(runs) if run.failed_count], limit, damaged))
    if as_json:
        dump([{"command": run.command, **row.model_dump(mode="json")} for run, row in shown])
    elif shown or not is_terminal():
        table(("run", "command", "file", "error", "message"), [_cells(*one) for one in shown])
    complain_of_damage(damaged)
    if len(shown) < total:
        note(f"{len(shown):,} of {plural(total, 'failed file')} shown; --limit 0 shows all")
    if not total:
        note(f"no failed file in {plural(len(runs), 'run')} in {place.url}")
    return 1 if damaged else 0


def _rows(
    archive: Archive, runs: list[RunMetadata], limit: int, damaged: list[DamagedDocumentError]
) -> Iterator[tuple[RunMetadata, FileProcessingLog]]:
    left = limit or None
    with progress("runs") as bar:
        for n, run in enumerate(runs):
            if bar is not None:
                bar(n, len(runs))
            try:
                rows = archive.files(run)
            except DamagedDocumentError as exc:
                damaged.append(exc)
                continue
            for row in rows:
                if row.status is FileStatus.FAILED:
                    yield run, row
                    left = left - 1 if left is not None else None
                    if left == 0:
                        return


def _cells(run: RunMetadata, row: FileProcessingLog) -> tuple[str | None, ...]:
    message = " ".join((row.error_message or "").split())
    name = run.run_id[:SHORT_ID] if is_terminal() else run.run_id
    cut = message[:MAX_MESSAGE] + ("..." if len(message) > MAX_MESSAGE else "")
    return (name, run.command, row.file_path, row.error_type, cut)
