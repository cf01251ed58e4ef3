"""Seals a run: makes its documents from its journal, safely against a second sealer and a late writer.

A seal record `journal/<run_id>/seal-<generation>.json`, created exclusively, says which segments (name and size)
a generation is made of and how the run ended. Who loses that race finishes the winner's record. New or grown segments
make the next generation, a superset. Documents are written by compare-and-swap, the metadata last; so a sealer that was
stopped in the middle can neither undo a newer generation nor leave metadata that speaks of rows which are not there.

A journal may expire sooner than its run's documents, and in parts. Nothing is made anew of documents that are whole;
they are taken into the journal where something comes after that.

What the condition of a write rests on must be older than any newer generation. Who makes a record has looked at the
documents before; who carries out another's looks at them, and then whether the record is still the newest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import orjson
from pydantic import ValidationError

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.attempts import is_guessed, is_recovered
from prefect_trackrecord.documents.fold import Documents, Fold
from prefect_trackrecord.documents.known import Known
from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.documents.run_journal import EXPIRED, SAVED, RunJournal, SealRecord
from prefect_trackrecord.documents.writing import Write, document, dump_model, dump_rows, rows_document
from prefect_trackrecord.errors import ConflictError, KeyExistsError, StoreError
from prefect_trackrecord.store.base import Store

MAX_ROUNDS = 50


def seal(
    store: Store,
    run_id: str,
    *,
    now: datetime,
    ended: ev.RunEnded | None = None,
    known: Known | None = None,
    made: Callable[[int], None] | None = None,
) -> RunMetadata | None:
    """Make the documents of a run from its journal in the store.

    Args:
        store: holds the journal and takes the documents.
        run_id: the run.
        now: the moment of an end that the journal does not hold.
        ended: how the run ended, for a journal that has no end itself (recovery); the journal's own goes first.
        known: what this process knows of the run's objects without asking.
        made: told a generation that this call, and nobody else, has made.

    Returns:
        The metadata as written; None for a run that has no journal.

    Raises:
        StoreError: the store can't do it now; calling again later is safe.
    """
    known = known or Known()
    for _ in range(MAX_ROUNDS):
        journal = RunJournal.read(store, run_id, known=known.segments)
        before = journal.newest()
        gone = before is not None and journal.lacks(before)
        if before is not None and gone and (kept := _kept(journal, before)) is not None:
            run, etag = kept
            if journal.is_covered_by(before) and run.status is not RunStatus.RUNNING:
                _mark(journal, before, etag)
                return run
            _save(journal, before, now)
            continue
        if not journal.segments:
            return None
        try:
            record, docs, ours = _decide(journal, before, now, ended, whole=not gone)
            writes = _writes(journal, record, docs, known.documents)
            if ours:
                store.create(layout.seal_key(run_id, record.generation), record.dump())
                if made is not None:
                    made(record.generation)
            elif not is_newest(store, run_id, record.generation):
                continue
            etags = [write() for write in writes]
            if record.ended is not None:
                _mark(journal, record, etags[-1])
            return docs.run
        except (KeyExistsError, ConflictError):
            known = Known()
    raise StoreError(f"run {run_id} could not be sealed: others kept changing it for {MAX_ROUNDS} rounds")


def _kept(journal: RunJournal, before: SealRecord) -> tuple[RunMetadata, str] | None:
    """The run as its documents tell it, and their etag, where they say more than what is left of its journal."""
    blob = journal.store.get(layout.run_key(journal.run_id, before.day))
    if blob is None or before.ended is None:
        return None
    if any(name.startswith(EXPIRED) and name not in before.segments for name in journal.segments):
        return None  # the journal holds them
    try:
        run = RunMetadata.model_validate_json(blob.data)
    except ValidationError:
        return None
    return None if run.generation < before.generation else (run, blob.etag)


def _save(journal: RunJournal, before: SealRecord, now: datetime) -> None:
    """Take the documents into the journal that has expired: what is told anew is added to what they say."""
    keys = {name: key(journal.run_id, before.day) for name, key in _KEYS.items()}
    found = {name: blob for name, key in keys.items() if (blob := journal.store.get(key)) is not None}
    events = [ev.DocumentSaved(at=now, document=name, value=orjson.loads(blob.data)) for name, blob in found.items()]
    name = f"{EXPIRED}{os.urandom(8).hex()}.ndjson"
    journal.store.create(f"{layout.journal_prefix(journal.run_id)}/{name}", b"".join(map(ev.encode, events)))


_KEYS = {"run": layout.run_key, "files": layout.files_key, "emails": layout.emails_key}


def _decide(
    journal: RunJournal, before: SealRecord | None, now: datetime, ended: ev.RunEnded | None, *, whole: bool
) -> tuple[SealRecord, Documents, bool]:
    """The record to carry out, its documents, and whether it is still to be made: the newest may not cover all."""
    if before is not None and whole and journal.is_covered_by(before) and not _ends_later(before, ended):
        return before, _documents(before, journal.fold(before.segments, writing=True).fold), False
    fold, sizes, *_ = journal.fold(writing=True)
    ending = _fields_of(_settle(before, fold, ended))
    if before is not None and (sizes, ending) == (before.segments, before.ended):  # grew by a torn line only
        return before, _documents(before, fold), False
    record = SealRecord(
        generation=journal.generation + 1,
        day=before.day if before else layout.day_of(fold.first_start() or now),
        segments=sizes,
        ended=ending,
        sealer=os.urandom(8).hex(),
    )
    return record, _documents(record, fold), True  # what can't be made must not count as sealed


def _ends_later(before: SealRecord, ended: ev.RunEnded | None) -> bool:
    """Whether the caller knows the end of a run that was sealed without one."""
    return before.ended is None and ended is not None


def _settle(before: SealRecord | None, fold: Fold, ended: ev.RunEnded | None) -> ev.RunEnded | None:
    """Which end counts: that of a later attempt, else the first seal's, else the journal's, else the caller's.

    A run's own later end in the same attempt (completed, then failed by its timeout) replaces its own earlier one, and
    one that a recovery guessed by silence or by a process that it could not find. What Prefect told a recovery gives
    way only to a later word of Prefect's, which a run's own end has where it names a state: it was no zombie after all.
    """
    attempt = fold.attempt()
    own = fold.end()
    if ended is not None and fold.number_of(ended) < attempt:
        ended = None  # that of an earlier one
    ending = own or ended
    if ending is not None and ending.run_count is None:
        ending = replace(ending, run_count=attempt)
    first = _ended_of(before) if before else None
    if first is None or attempt > (first.run_count or 1):
        return ending
    if own is None or is_recovered(own):
        return first
    if is_recovered(first) and not is_guessed(first) and (own.state is None or own.at < first.at):
        return first
    return ending


def _documents(record: SealRecord, fold: Fold) -> Documents:
    return fold.documents(_ended_of(record), generation=record.generation)


def _fields_of(ended: ev.RunEnded | None) -> dict[str, Any] | None:
    return None if ended is None else {**ended.__dict__, "at": ended.at.isoformat()}


def _ended_of(record: SealRecord) -> ev.RunEnded | None:
    if record.ended is None:
        return None
    fields = dict(record.ended)
    return ev.RunEnded(at=datetime.fromisoformat(fields.pop("at")), **fields)


def _writes(journal: RunJournal, record: SealRecord, docs: Documents, known: Mapping[str, str | None]) -> list[Write]:
    """The writes of the documents, logs first; each on the condition that nobody has changed it since now."""
    store, run_id, day = journal.store, journal.run_id, record.day
    files, emails = layout.files_key(run_id, day), layout.emails_key(run_id, day)
    if not journal.generation and not any(name.startswith(SAVED) for name in journal.segments):
        known = {files: None, emails: None, **known}  # nobody has sealed it: there are none
    writes = []
    if docs.files:
        writes.append(rows_document(store, files, docs.files, known))
    if docs.emails:
        writes.append(document(store, emails, dump_rows(docs.emails), known))
    return [*writes, document(store, layout.run_key(run_id, day), dump_model(docs.run), known)]


def is_newest(store: Store, run_id: str, generation: int) -> bool:
    """Whether nobody has sealed more meanwhile."""
    return RunJournal.read(store, run_id).generation == generation


def _mark(journal: RunJournal, record: SealRecord, run_etag: str) -> None:
    """Let listings tell that this seal was carried out; older marks go. Without it `recover` looks once more."""
    sealed = replace(journal, generation=record.generation)
    name = sealed.mark_of(run_etag)
    prefix = layout.journal_prefix(journal.run_id)
    with suppress(StoreError):
        if name not in journal.marks:
            journal.store.create(f"{prefix}/{name}", b"{}")
        for old in journal.marks - {name}:
            journal.store.delete(f"{prefix}/{old}")


def utc_now() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(timezone.utc)
