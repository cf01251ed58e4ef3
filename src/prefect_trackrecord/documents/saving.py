"""Saves a document of a run directly, so that a later seal keeps what it holds.

What was saved goes to the run's journal first, as a segment of its own; the document is made from the journal.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.run_journal import SAVED, RunJournal, newest_record
from prefect_trackrecord.documents.seal import seal
from prefect_trackrecord.documents.writing import dump_model, dump_rows
from prefect_trackrecord.errors import ConflictError, StoreError
from prefect_trackrecord.store.base import Store

ROUNDS = 20


def save(store: Store, run_id: str, document: str, value: Any, at: datetime) -> None:
    """Save one document of a run.

    Args:
        store: where to.
        run_id: the run.
        document: `run`, `files` or `emails`.
        value: the RunMetadata as JSON types, or the list of rows.
        at: now.

    Raises:
        StoreError: it could not be written.
    """
    day = known_day(store, run_id)
    event = ev.DocumentSaved(at=at, document=document, value=value)
    name = f"{SAVED}{at:%Y%m%dT%H%M%S%f}-{os.urandom(4).hex()}.ndjson"
    store.put(f"{layout.journal_prefix(run_id)}/{name}", ev.encode(event))
    if newest_record(store, run_id) is not None:
        seal(store, run_id, now=at)
        return
    for _ in range(ROUNDS):
        fold = RunJournal.read(store, run_id).fold().fold
        docs = fold.documents(None)
        day = day or layout.day_of(fold.first_start() or at)
        if document == "run":
            key, body = layout.run_key(run_id, day), dump_model(docs.run)
        elif document == "files":
            key, body = layout.files_key(run_id, day), docs.files.body()
        else:
            key, body = layout.emails_key(run_id, day), dump_rows(docs.emails)
        old = store.get(key)
        try:
            store.replace(key, body, old.etag if old else None)
            return
        except ConflictError:
            continue
    raise StoreError(f"run {run_id}: its {document} could not be saved, others kept changing it")


def known_day(store: Store, run_id: str) -> str | None:
    """The day, `YYYY/MM/DD`, under which a run's documents lie already; None for a run that has none.

    Raises:
        StoreError: the store can't be read.
    """
    journal = RunJournal.read(store, run_id)
    record = journal.newest()
    if record is not None:
        return record.day
    fold, sizes, *_ = journal.fold()
    if sizes and fold.started and (start := fold.first_start()):
        return layout.day_of(start)
    name = f"/{layout.safe_part(run_id)}.json"
    for entry in store.list(layout.RUNS):
        if entry.key.endswith(name) and (found := layout.date_of_key(entry.key)):
            return f"{found:%Y/%m/%d}"
    return None
