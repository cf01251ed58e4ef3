"""`trackrecord runs list` and `runs show`: read the history, and track nothing themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect_trackrecord.cli.output import (
    complain_of_damage,
    dump,
    how_long,
    is_terminal,
    most,
    note,
    say,
    table,
    when,
)
from prefect_trackrecord.cli.place import must_be_there, storage_of
from prefect_trackrecord.cli.progress import waiting
from prefect_trackrecord.documents import layout, task_counts
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import EmailResult, FileProcessingLog, FileStatus, RunMetadata
from prefect_trackrecord.errors import DamagedDocumentError, RunNotFoundError, UsageError
from prefect_trackrecord.pages.words import plural
from prefect_trackrecord.tracking.failed import NEVER_BEGAN, fixed_by, is_undone

SHORT_ID = 8
MAX_FAILED = 20
MAX_ERROR = 200
COLUMNS = ("run", "started", "command", "status", "files", "failed", "skipped", "took")
SHORT_COLUMNS = ("run", "started (UTC)", "command", "status", "files", "failed", "took")


def list_runs(
    storage: str | None,
    first: str | None,
    last: str | None,
    command: str | None,
    status: str | None,
    limit: int | None,
    as_json: bool,
) -> int:
    """Print the runs of a window, newest first; 1 where a document could not be read."""
    limit = most(limit, "runs", as_json)
    place = storage_of(storage)
    with waiting(f"reading {place.url}"):
        found = place.list_runs(first, last, command, status)
    if not found:
        must_be_there(place, storage)
    found.reverse()
    shown = found[:limit] if limit else found
    if as_json:
        dump([run.model_dump(mode="json") for run in shown])
    elif shown or not is_terminal():
        short = is_terminal()
        table(SHORT_COLUMNS if short else COLUMNS, [_cells(run, short) for run in shown])
    complain_of_damage(place.damaged)
    if len(shown) < len(found):
        note(f"{len(shown):,} of {plural(len(found), 'run')} shown; --limit 0 shows all")
    if not found:
        note(f"no such runs in {place.url}")
    return 1 if place.damaged else 0


def _cells(run: RunMetadata, short: bool) -> tuple[Any, ...]:
    name = f"{run.command} {run.subcommand}" if run.subcommand else run.command
    status, took = run.status.value, how_long(run.duration_ms)
    if short:
        started = when(run.started_at)[:16]
        return (run.run_id[:SHORT_ID], started, name, status, run.total_files, run.failed_count, took)
    counts = (run.total_files, run.failed_count, run.skipped_count)
    return (run.run_id, when(run.started_at), name, status, *counts, took)


def show_run(storage: str | None, run_id: str, failed: bool, as_json: bool) -> int:
    """Print one run with its files and emails."""
    place = storage_of(storage)
    archive = place.archive
    run = find_run(archive, run_id)
    damaged: list[DamagedDocumentError] = []
    with waiting("reading its files and emails"):
        files: list[FileProcessingLog] = _rows(archive.files, run, damaged)
        emails: list[EmailResult] = _rows(archive.emails, run, damaged)
        fixed = fixed_by([run], archive)[run.run_id]
    bad = [row for row in files if is_undone(row)]
    if as_json:
        shown = bad if failed else files
        rows = {"files": [_json(row) | _fixed(row, fixed) for row in shown], "emails": [_json(row) for row in emails]}
        dump({"run": _json(run), **rows})
    elif failed:
        _print_failed(bad, fixed)
    else:
        _print(archive, run, bad, emails, fixed)
    complain_of_damage(damaged)
    return 1 if damaged else 0


def _rows(read: Any, run: RunMetadata, damaged: list[DamagedDocumentError]) -> list[Any]:
    try:
        rows: list[Any] = read(run)
    except DamagedDocumentError as exc:
        damaged.append(exc)
        return []
    return rows


def _json(model: RunMetadata | FileProcessingLog | EmailResult) -> dict[str, Any]:
    return model.model_dump(mode="json")


def find_run(archive: Archive, prefix: str) -> RunMetadata:
    """The run whose id begins so.

    Raises:
        RunNotFoundError: there is none.
        UsageError: there are several, or nothing was given.
    """
    if not prefix:
        raise UsageError("a run's id, or its beginning, must not be empty")
    with waiting("looking for the run"):
        try:
            return archive.run(prefix)
        except RunNotFoundError:
            names = {e.key.rsplit("/", 1)[-1].removesuffix(".json") for e in archive.store.list(layout.RUNS)}
            names.update(archive.store.folders(layout.JOURNAL))  # runs of which there is no document yet
            found = sorted(name for name in names if name.startswith(prefix))
            if not found:
                raise
    if len(found) > 1:
        some = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise UsageError(f"{len(found)} runs begin with {prefix}: {some}; give more of the id")
    return archive.run(found[0])


def _fixed(row: FileProcessingLog, fixed: Mapping[str, str]) -> dict[str, str | None]:
    return {"fixed_by": fixed.get(row.file_path)} if is_undone(row) else {}


def _print_failed(rows: Sequence[FileProcessingLog], fixed: Mapping[str, str]) -> None:
    """With the runs that brought them through since, where there are any."""
    names = ("file", "error", "message", *(("fixed by",) if fixed else ()))
    table(names, [(*_failure(row), fixed.get(row.file_path))[: len(names)] for row in rows])


def _failure(row: FileProcessingLog) -> tuple[Any, ...]:
    if row.status is not FileStatus.FAILED:
        return (row.file_path, NEVER_BEGAN, row.reason)
    message = " ".join((row.error_message or "").split())
    return (row.file_path, row.error_type, message[:MAX_ERROR] + ("..." if len(message) > MAX_ERROR else ""))


def _print(
    archive: Archive,
    run: RunMetadata,
    bad: Sequence[FileProcessingLog],
    emails: Sequence[EmailResult],
    fixed: Mapping[str, str],
) -> None:
    for name, value in _lines(run):
        if value not in (None, "", "0"):
            say(f"{name:<12} {value}")
    for name, parts in (("tracking", run.tracking_errors), ("numbers", run.metrics)):
        for key, number in parts.items():
            say(f"{name:<12} {key}: {number:g}")
    day = layout.day_of(run.started_at)
    for name, key in (
        ("run", layout.run_key(run.run_id, day)),
        ("files", layout.files_key(run.run_id, day)),
        ("emails", layout.emails_key(run.run_id, day)),
    ):
        if archive.store.get(key) is not None:
            say(f"{'document':<12} {name}: {archive.store.url}/{key}")
    if bad:
        done = sum(row.file_path in fixed for row in bad)
        what = "files that failed or never began" if run.never_began else "failed files"
        say(f"\n{what} ({len(bad):,}{f', {done:,} fixed since' if done else ''})")
        _print_failed(bad[:MAX_FAILED], fixed)
        if len(bad) > MAX_FAILED:
            say(f"... and {len(bad) - MAX_FAILED:,} more: trackrecord runs show {run.run_id[:SHORT_ID]} --failed")
    unsent = [e for e in emails if e.status != "sent"]
    if unsent:
        say(f"\nemails that were not sent ({len(unsent):,})")
        rows = [(e.email or e.agent_name or e.agent_id, e.status, e.reason) for e in unsent]
        table(("to", "status", "reason"), rows)


def _lines(run: RunMetadata) -> list[tuple[str, str | None]]:
    files = f"{run.total_files:,}: {run.success_count:,} success, {run.failed_count:,} failed, "
    never = f", {run.never_began:,} of which never began" if run.never_began else ""
    emails = (run.emails_sent, run.emails_failed, run.emails_skipped)
    return [
        ("run", run.run_id),
        ("command", f"{run.command} {run.subcommand or ''}".strip()),
        ("flow run", run.flow_run_name),
        ("status", run.status.value),
        ("error", run.error_message and ": ".join(filter(None, (run.error_type, run.error_message)))),
        ("reason", None if run.error_message and run.error_message in (run.reason or "") else run.reason),
        ("started", when(run.started_at)),
        ("ended", when(run.completed_at)),
        ("took", how_long(run.duration_ms)),
        ("config", run.config_path),
        ("target date", run.target_date),
        ("inside run", run.parent_run_id),
        ("retry of", run.retry_of),
        ("attempts", str(run.run_count) if run.run_count > 1 else None),
        ("files", f"{files}{run.skipped_count:,} skipped{never}" if run.total_files else None),
        ("emails", "{:,} sent, {:,} failed, {:,} skipped".format(*emails) if any(emails) else None),
        ("tasks", task_counts.in_words(run)),
        ("host", run.host and f"{run.host}, process {run.pid}"),
    ]
