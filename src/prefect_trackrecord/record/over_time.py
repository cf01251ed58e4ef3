"""One record across runs: its story in order, each part with the run it happened in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.record import document
from prefect_trackrecord.record.entries import RecordEntry
from prefect_trackrecord.record.folder import JOURNAL
from prefect_trackrecord.record.loading import is_run, stories
from prefect_trackrecord.record.page_model import run_link
from prefect_trackrecord.record.tracing import spool_of, tracing
from prefect_trackrecord.settings import current


@dataclass(frozen=True)
class RecordHistory:
    """What one run says about a record.

    Attributes:
        process: the name under which the run's records are kept.
        run_id: the run.
        folder: the run's folder.
        run_url: the run in Prefect's UI; None where there is no UI, or the run is none of Prefect's.
        entry: the record's story in that run.
    """

    process: str
    run_id: str
    folder: Path
    run_url: str | None
    entry: RecordEntry


def record_history(
    record_id: str, folder_path: str | os.PathLike[str] | None = None, record_type: str | None = None
) -> list[RecordHistory]:
    """A record's story across all runs below a folder, earliest first.

    Args:
        record_id: the record's id.
        folder_path: as for `configure_records_tracing` (for tracked flows: the `records` folder of the store);
            the configured one where left out.
        record_type: leave out other types that have the same id.

    Raises:
        UsageError: no folder was given, and none is configured.
    """
    base = _base(folder_path)
    found = []
    for path in _runs(base):
        if not _mentions(path, record_id):
            continue
        process, run_id = path.parent.name, path.name
        link = run_link(current().ui_url, run_id)
        found += [
            RecordHistory(process, run_id, path, link, entry)
            for entry in stories(path)
            if entry.record_id == record_id and record_type in {None, "", entry.record_type}
        ]
    return sorted(found, key=lambda h: (h.entry.created_at or "", h.process, h.run_id))


def _base(folder_path: str | os.PathLike[str] | None) -> Path:
    if folder_path is not None:
        return Path(os.path.abspath(os.path.expanduser(os.fspath(folder_path))))
    if tracing.place is not None:
        return tracing.place.base
    output = tracing.output()
    if output is None:
        raise UsageError("say which folder: record_history(id, folder_path=...)")
    return output.folder.path.parent.parent


def _runs(base: Path) -> Iterator[Path]:
    if is_run(base):
        yield base
    for process in _folders(base):
        for run in _folders(process):
            if is_run(run):
                yield run


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(Path(e.path) for e in os.scandir(path) if e.is_dir() and not e.name.startswith("."))
    except OSError:
        return []


def _mentions(path: Path, record_id: str) -> bool:
    """Whether a run's files hold the id at all: reading them is cheap, understanding them is not."""
    needle = orjson.dumps(record_id)
    ascii_needle = _ascii(record_id)
    for file in _files(path):
        try:
            data = file.read_bytes()
        except OSError:
            continue
        if needle in data or ascii_needle in data:
            return True
    return False


def _files(path: Path) -> Iterator[Path]:
    yield path / document.NAME
    for journal in (path / JOURNAL, spool_of(path) / JOURNAL):
        try:
            yield from sorted(journal.iterdir())
        except OSError:
            continue


def _ascii(text: str) -> bytes:
    import json

    return json.dumps(text).encode()
