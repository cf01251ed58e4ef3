"""Removing what is old: a run's documents, journal and records, once the run began before a day and has ended.

Reports and the ledger of deliveries stay: they are small, and the ledger keeps mails from being sent twice.

However it is stopped, a run that is listed has its rows: journal and records go first, then the run's own document, its
rows after that. Rows whose run is gone are what a kill in between has left; the next time finds them by their day.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.index import INDEX
from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.errors import DamagedDocumentError
from prefect_trackrecord.journal.segments import SUFFIX
from prefect_trackrecord.store import LocalStore
from prefect_trackrecord.store.base import Entry, Store

_AT_ONCE = 16


@dataclass(frozen=True)
class OldRun:
    """A run that may go; `keys` are its objects in the order in which they go, `size` their bytes."""

    run: RunMetadata
    keys: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class Old:
    """What may go.

    Attributes:
        runs: the runs, oldest first.
        left: the documents of that time that stay since they can't be trusted.
        rest: rows of that time whose run is gone.
    """

    runs: list[OldRun]
    left: list[DamagedDocumentError]
    rest: list[Entry]


def old_runs(archive: Archive, before: date) -> Old:
    """The runs that began before a day (UTC) and have ended; nothing is removed.

    A document says itself whose it is and when that was. One that does not lie where that run's document would, or
    whose run has another one under another day, is left: what it names may be somebody else's.

    Raises:
        StoreError: the store can't be listed.
    """
    store = archive.store
    found = archive.facts(None, before)
    old = [r for r in found.runs if r.started_at.date() < before and r.status is not RunStatus.RUNNING]
    rows = _rows(store, before)
    documents: dict[str, list[str]] = {}
    for key in store.keys([layout.RUNS]) if old or rows else ():
        documents.setdefault(key[key.rfind("/") + 1 :], []).append(key)
    trusted, left = [], {error.key: error for error in found.damaged}
    for run in old:
        own = layout.run_key(run.run_id, layout.day_of(run.started_at))
        names = {own[own.rfind("/") + 1 :], f"{run.run_id}.json"}
        keys = {key for name in names for key in documents.get(name, ())}
        if keys == {own}:
            trusted.append(run)
            continue
        cause = f"another one names run {run.run_id}, too" if own in keys else f"by what it says it would be {own}"
        left.update((key, DamagedDocumentError(key, cause)) for key in keys)
    rest = [] if left else _without_run(store, rows, documents)  # what they name may be any of them
    return Old(list(_with_keys(archive, trusted)), [left[key] for key in sorted(left)], rest)


def _rows(store: Store, before: date) -> list[Entry]:
    """The lists of files and emails of the days before a day."""
    years = [f"{top}/{year}" for top in _ROWS for year in store.folders(top) if year <= f"{before.year:04}"]
    listed = [entry for _, entries in store.list_many(years) for entry in entries]
    return [e for e in listed if (day := layout.date_of_key(e.key)) is not None and day < before and _run_of(e.key)]


def _run_of(key: str) -> str:
    """Whose rows a document of this key holds, as keys name it; empty for what is no such document."""
    ending = _ROWS[key.partition("/")[0]]
    return key[key.rfind("/") + 1 : -len(ending)] if key.endswith(ending) else ""


def _without_run(store: Store, rows: list[Entry], documents: Iterable[str]) -> list[Entry]:
    """The rows of which there is neither the run's document nor its journal.

    A run that is being imported or sealed has its journal before its rows, and these before its document: the journals
    are listed after the rows.
    """
    names = {name.removesuffix(".json") for name in documents}
    names |= {layout.safe_part(name) for name in names}
    found = [entry for entry in rows if _run_of(entry.key) not in names]
    journals = set(store.folders(layout.JOURNAL)) if found else set()
    return [entry for entry in found if _run_of(entry.key) not in journals]


def _with_keys(archive: Archive, old: list[RunMetadata]) -> Iterator[OldRun]:
    store = archive.store
    processes = store.folders(layout.RECORDS) if old else []
    records = {process: set(store.folders(f"{layout.RECORDS}/{process}")) for process in processes}
    prefixes = [f"{top}/{day}" for day in sorted({layout.day_of(r.started_at) for r in old}) for top in _TOPS]
    documents = {entry.key: entry for _, entries in store.list_many(prefixes) for entry in entries}
    journals = store.list_many([layout.journal_prefix(r.run_id) for r in old])
    for run, (_, segments) in zip(old, journals, strict=True):
        part, entries = layout.safe_part(run.run_id), list(segments)
        for process, names in records.items():
            if part in names:
                entries += store.list(f"{layout.RECORDS}/{process}/{part}")
        # What was sealed goes before the seal: segments without one would be sealed anew, with half of the rows.
        entries.sort(key=lambda entry: not entry.key.endswith(SUFFIX))
        day = layout.day_of(run.started_at)
        own = (layout.run_key(run.run_id, day), layout.files_key(run.run_id, day), layout.emails_key(run.run_id, day))
        entries += [documents[key] for key in own if key in documents]
        if own[0] in documents:  # else somebody else has just removed it, and what there was besides
            yield OldRun(run, tuple(entry.key for entry in entries), _size(entries))


_ROWS = {layout.FILES: "_files.json", layout.EMAILS: "_emails.json"}
_TOPS = (*_ROWS, layout.RUNS)


def remove(archive: Archive, old: OldRun) -> None:
    """Remove a run's objects. What is gone already is no error, so it may be done again after it was stopped.

    Raises:
        StoreError: one can't be removed; what is left is found the next time.
    """
    own = layout.run_key(old.run.run_id, layout.day_of(old.run.started_at))
    at = old.keys.index(own)
    segments = [key for key in old.keys[:at] if key.endswith(SUFFIX)]
    for keys in (segments, old.keys[len(segments) : at], [own], old.keys[at + 1 :]):
        _delete(archive, keys)
    _tidy(archive, old.keys)


def remove_rest(archive: Archive, old: Old) -> None:
    """Remove the rows whose run is gone.

    Raises:
        StoreError: one can't be removed.
    """
    keys = [entry.key for entry in old.rest]
    _delete(archive, keys)
    _tidy(archive, keys)


def _delete(archive: Archive, keys: Sequence[str]) -> None:
    """Remove all of these before anything else."""
    if len(keys) < 2:
        for key in keys:
            archive.store.delete(key)
        return
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="trackrecord-prune") as pool:
        list(pool.map(archive.store.delete, keys))


def _tidy(archive: Archive, keys: Iterable[str]) -> None:
    """Remove the folders of these keys that are empty now, where the store has folders.

    The uppermost stays, and a process's of records: who writes records counts on it.
    """
    if not isinstance(archive.store, LocalStore):
        return
    for folder in sorted({key.rpartition("/")[0] for key in keys}, reverse=True):
        archive.store.tidy(folder, 2 if folder.startswith(f"{layout.RECORDS}/") else 1)


def remove_indexes(archive: Archive, days: set[str]) -> None:
    """Remove the indexes of days (`YYYY/MM/DD`) that have no runs any more.

    Raises:
        StoreError: one can't be removed, which harms nobody.
    """
    store = archive.store
    empty = {day for day in days if not store.list(f"{layout.RUNS}/{day}")}
    for key in store.keys([INDEX]) if empty else ():
        if key.removesuffix(".z")[-len("YYYY/MM/DD") :] in empty:
            store.delete(key)
            _tidy(archive, [key])


def _size(entries: Iterable[Entry]) -> int:
    return sum(entry.size for entry in entries)
