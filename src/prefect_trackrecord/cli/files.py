"""`trackrecord files failed`: what failed, or never began, in the runs of some days, of the newest first."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any

from prefect_trackrecord.cli.output import complain_of_damage, dump, is_terminal, most, note, say, say_exactly, table
from prefect_trackrecord.cli.place import must_be_there, storage_of
from prefect_trackrecord.cli.progress import progress, waiting
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import FileProcessingLog, FileStatus, RunMetadata
from prefect_trackrecord.errors import DamagedDocumentError, UsageError
from prefect_trackrecord.journal.masking import MASK
from prefect_trackrecord.journal.printable import printable
from prefect_trackrecord.pages.words import plural
from prefect_trackrecord.tracking.failed import NEVER_BEGAN, fixed_by, is_undone

DAYS = 7
SHORT_ID = 8
MAX_MESSAGE = 200


def failed_files(
    storage: str | None,
    first: str | None,
    last: str | None,
    command: str | None,
    still: bool,
    limit: int | None,
    paths: bool,
    null: bool,
    as_json: bool,
) -> int:
    """Print them; 1 where a document could not be read, or a path is asked for that nobody knows any more."""
    if paths and as_json:
        raise UsageError("give --json, or --paths, not both")
    limit = most(limit, "files", as_json or paths)
    place = storage_of(storage)
    if first is None and last is None:
        first = f"{(datetime.now(timezone.utc) - timedelta(days=DAYS - 1)).date()}"
    with waiting(f"reading {place.url}"):
        runs = place.list_runs(first, last, command)
    if not runs:
        must_be_there(place, storage)
    damaged = list(place.damaged)
    total = sum(run.failed_count + run.never_began for run in runs)
    with waiting("looking for runs that did them again"):
        fixed = fixed_by(runs, place.archive)
    wanted = [run for run in reversed(runs) if run.failed_count or run.never_began]
    every = _rows(place.archive, wanted, fixed if still else {}, damaged)
    masked: set[str] = set()
    shown = list(islice(_once(every, masked) if paths else every, limit or None))
    by = [fixed[run.run_id].get(row.file_path) for run, row in shown]
    if paths:
        for _, row in shown:
            say_exactly(row.file_path) if null else say(printable(row.file_path))
    elif as_json:
        dump([{"command": run.command, **_json(row, of)} for (run, row), of in zip(shown, by, strict=True)])
    elif shown or not is_terminal():
        names = ("run", "command", "file", "error", "message", "fixed by")
        rows = [_cells(run, row, of) for (run, row), of in zip(shown, by, strict=True)]
        table(names, rows) if any(by) or not is_terminal() else table(names[:-1], [row[:-1] for row in rows])
    complain_of_damage(damaged)
    if limit and len(shown) == limit < total:
        note(f"{len(shown):,} of {plural(total, 'failed file')} shown; --limit 0 shows all")
    if masked:
        them = f"{plural(len(masked), 'path')} in which the history masks a secret"
        note(f"left out: {them}; `trackrecord retry RUN` hands over the true ones")
    elif not shown:
        none = "no file is failed still" if still and total else "no failed file"
        note(f"{none} in {plural(len(runs), 'run')} in {place.url}")
    return 1 if damaged or masked else 0


def _json(row: FileProcessingLog, fixed: str | None) -> dict[str, Any]:
    return {**row.model_dump(mode="json"), "fixed_by": fixed}


def _rows(
    archive: Archive,
    runs: list[RunMetadata],
    without: Mapping[str, Container[str]],
    damaged: list[DamagedDocumentError],
) -> Iterator[tuple[RunMetadata, FileProcessingLog]]:
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
                if is_undone(row) and row.file_path not in without.get(run.run_id, ()):
                    yield run, row


def _once(
    rows: Iterable[tuple[RunMetadata, FileProcessingLog]], masked: set[str]
) -> Iterator[tuple[RunMetadata, FileProcessingLog]]:
    """Each path once, where it failed last; those in which something is masked name no file, and go to `masked`."""
    seen: set[str] = set()
    for run, row in rows:
        if MASK in row.file_path:
            masked.add(row.file_path)
        elif row.file_path not in seen:
            seen.add(row.file_path)
            yield run, row


def _cells(run: RunMetadata, row: FileProcessingLog, fixed: str | None) -> tuple[str | None, ...]:
    message = " ".join((row.error_message or "").split())
    name, by = (found and (found[:SHORT_ID] if is_terminal() else found) for found in (run.run_id, fixed))
    cut = message[:MAX_MESSAGE] + ("..." if len(message) > MAX_MESSAGE else "")
    if row.status is not FileStatus.FAILED:
        return (name, run.command, row.file_path, NEVER_BEGAN, row.reason, by)
    return (name, run.command, row.file_path, row.error_type, cut, by)
