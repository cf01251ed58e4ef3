"""Removing what is old: a run's documents, journal and records, once the run began before a day and has ended.

Reports and the ledger of deliveries stay: they are small, and the ledger keeps mails from being sent twice.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.index import INDEX
from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.errors import DamagedDocumentError
from prefect_trackrecord.store.base import Entry

_AT_ONCE = 16


@dataclass(frozen=True)
class OldRun:
    """A run that may go; `keys` are its objects, its own document last, `size` their bytes."""

    run: RunMetadata
    keys: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class Old:
    """The runs that may go, oldest first, and the documents of that time that stay since they can't be trusted."""

    runs: list[OldRun]
    left: list[DamagedDocumentError]


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
    documents: dict[str, list[str]] = {}
    for key in store.keys([layout.RUNS]) if old else ():
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
    return Old(list(_with_keys(archive, trusted)), [left[key] for key in sorted(left)])


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
        day = layout.day_of(run.started_at)
        # The run's own document goes last: were it first, and this stopped, nobody would find the others again.
        own = (layout.files_key(run.run_id, day), layout.emails_key(run.run_id, day), layout.run_key(run.run_id, day))
        entries += [documents[key] for key in own if key in documents]
        if own[-1] in documents:  # else somebody else has just removed it, and what there was besides
            yield OldRun(run, tuple(entry.key for entry in entries), _size(entries))


_TOPS = (layout.FILES, layout.EMAILS, layout.RUNS)


def remove(archive: Archive, old: OldRun) -> None:
    """Remove a run's objects. What is gone already is no error, so it may be done again after it was stopped.

    Raises:
        StoreError: one can't be removed; the run's own document is then still there.
    """
    *others, own = old.keys
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="trackrecord-prune") as pool:
        list(pool.map(archive.store.delete, others))
    archive.store.delete(own)


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


def _size(entries: list[Entry]) -> int:
    return sum(entry.size for entry in entries)
