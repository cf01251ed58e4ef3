"""One record across runs: its story in order, each part with the run it happened in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.journal.naming import mask_name
from prefect_trackrecord.record import document
from prefect_trackrecord.record.entries import RecordEntry
from prefect_trackrecord.record.folder import JOURNAL, inside
from prefect_trackrecord.record.loading import is_run, stories
from prefect_trackrecord.record.page_model import run_link
from prefect_trackrecord.record.places import Located, Place, spool_of
from prefect_trackrecord.record.tracing import tracing
from prefect_trackrecord.settings import current
from prefect_trackrecord.store.base import Store


@dataclass(frozen=True)
class RecordHistory:
    """What one run says about a record.

    Attributes:
        process: the name under which the run's records are kept.
        run_id: the run.
        where: the run's folder, or its place in the store.
        run_url: the run in Prefect's UI; None where there is no UI, or the run is none of Prefect's.
        entry: the record's story in that run.
    """

    process: str
    run_id: str
    where: str
    run_url: str | None
    entry: RecordEntry


def record_history(
    record_id: str, folder_path: str | os.PathLike[str] | None = None, record_type: str | None = None
) -> list[RecordHistory]:
    """A record's story across all runs below a folder, earliest first.

    Args:
        record_id: the record's id.
        folder_path: as for `configure_records_tracing` (for tracked flows: the store's `records` folder); the
            one in use where left out.
        record_type: leave out other types that have the same id.

    Raises:
        UsageError: no folder was given, and none is in use.
        StoreError: the store can't be read now.
    """
    return histories(record_id, runs_of(_place(folder_path)), record_type)


def histories(record_id: str, runs: Iterable[Located], record_type: str | None = None) -> list[RecordHistory]:
    """A record's story across these runs, earliest first.

    Raises:
        StoreError: the store can't be read now.
    """
    found = []
    # as they are kept, and as a program without masks has kept them
    names = {mask_name(record_id), record_id}
    kinds = {mask_name(record_type), record_type} if record_type else None
    for located in runs:
        if not any(_mentions(located, name) for name in names):
            continue
        link = run_link(current().ui_url, located.run_id)
        where = f"{located.store.url}/{located.prefix}" if located.store else str(located.path)
        found += [
            RecordHistory(located.process, located.run_id, where, link, entry)
            for entry in stories(located)
            if entry.record_id in names and (not kinds or entry.record_type in kinds)
        ]
    return sorted(found, key=lambda h: (h.entry.created_at or "", h.process, h.run_id))


def _place(folder_path: str | os.PathLike[str] | None) -> Place:
    if folder_path is not None:
        return Place.of(folder_path)
    if tracing.place is not None:
        return tracing.place
    output = tracing.output()
    if output is None:
        raise UsageError("say which folder: record_history(id, folder_path=...)")
    return Place(output.folder.path.parent.parent, None)


def runs_of(place: Place) -> Iterator[Located]:
    """Every run below a place that has records.

    Raises:
        StoreError: the store can't be read now.
    """
    if place.store is not None:
        yield from _stored_runs(place.store)
        return
    base = place.folder
    assert base is not None
    if is_run(base):
        yield Located(base, spool_of(str(base)), base.parent.name, base.name)
    for process in _folders(base):
        for run in _folders(process):
            if is_run(run):
                yield Located(run, spool_of(str(run)), process.name, run.name)


def _stored_runs(store: Store) -> Iterator[Located]:
    for process in store.folders(""):
        for run in store.folders(process):
            spool = spool_of(store.url) / process / run
            yield Located(spool, None, process, run, store, f"{process}/{run}")


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(Path(e.path) for e in os.scandir(path) if e.is_dir() and not e.name.startswith("."))
    except OSError:
        return []


def _mentions(located: Located, record_id: str) -> bool:
    """Whether a run's files hold the id at all: reading them is cheap, understanding them is not."""
    if located.store is not None:
        return True
    needles = [json.dumps(record_id, ensure_ascii=flag).encode("utf-8", "replace") for flag in (False, True)]
    for file in _files(located):
        try:
            data = file.read_bytes()
        except OSError:
            continue
        if any(needle in data for needle in needles):
            return True
    return False


def _files(located: Located) -> Iterator[Path]:
    yield located.path / document.NAME
    for home in (located.path, located.spool):
        if home is not None:
            yield from inside(home / JOURNAL)
