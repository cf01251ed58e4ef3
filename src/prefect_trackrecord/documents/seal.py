"""Seals a run: makes its documents from its journal, safely against a second sealer and a late writer.

A seal record `journal/<run_id>/seal-<generation>.json`, created exclusively, says which segments (name and size)
a generation is made of and how the run ended. Who loses that race finishes the winner's record. New or grown segments
make the next generation, a superset. Documents are written by compare-and-swap, the metadata last, after checking that
the generation is still the newest; so a sealer that was stopped in the middle can neither undo a newer generation
nor leave metadata that speaks of rows which are not there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import orjson

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.fold import Documents, Fold, is_recovered
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.errors import ConflictError, DamagedDocumentError, KeyExistsError, StoreError
from prefect_trackrecord.journal.reader import SegmentReader, whole
from prefect_trackrecord.journal.writer import SUFFIX
from prefect_trackrecord.store.base import Store

MAX_ROUNDS = 50


@dataclass(frozen=True)
class SealRecord:
    """What one generation is made of.

    Attributes:
        generation: 1 for the first.
        day: `YYYY/MM/DD` of the run's start; never changes, or documents would move.
        segments: size by name; the bytes up to that size are this generation's.
        ended: the run's end, as the event's fields; None for a run whose documents are to say that it still runs.
    """

    generation: int
    day: str
    segments: dict[str, int]
    ended: dict[str, Any] | None = None
    format: int = field(default=1)

    def dump(self) -> bytes:
        """As JSON."""
        return orjson.dumps(self.__dict__)

    @classmethod
    def load(cls, key: str, data: bytes) -> SealRecord:
        """From JSON.

        Raises:
            DamagedDocumentError: it is none.
        """
        try:
            body = orjson.loads(data)
            return cls(
                generation=int(body["generation"]),
                day=str(body["day"]),
                segments={str(k): int(v) for k, v in body["segments"].items()},
                ended=body.get("ended"),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise DamagedDocumentError(key, f"no seal record: {exc}") from None


def seal(store: Store, run_id: str, *, now: datetime, ended: ev.RunEnded | None = None) -> RunMetadata | None:
    """Make the documents of a run from its journal in the store.

    Args:
        store: holds the journal and takes the documents.
        run_id: the run.
        now: the moment of an end that the journal does not hold.
        ended: how the run ended, for a journal that has no end itself (recovery); the journal's own goes first.

    Returns:
        The metadata as written; None for a run that has no journal.

    Raises:
        StoreError: the store can't do it now; calling again later is safe.
    """
    for _ in range(MAX_ROUNDS):
        found = _Journal.list(store, run_id)
        if not found.segments:
            return None
        try:
            record, docs = found.decide(store, run_id, now, ended)
            if _write(store, run_id, record, docs):
                return docs.run
        except (KeyExistsError, ConflictError):
            continue
    raise StoreError(f"run {run_id} could not be sealed: others kept changing it for {MAX_ROUNDS} rounds")


def newest_record(store: Store, run_id: str) -> SealRecord | None:
    """The newest seal record of a run; None for a run that was never sealed."""
    found = _Journal.list(store, run_id)
    return found.newest(store, run_id)


def read_fold(store: Store, run_id: str, segments: dict[str, int] | None = None) -> tuple[Fold, dict[str, int]]:
    """The events of a run's segments, folded, and the size that was read of each.

    Args:
        store: where the journal is.
        run_id: the run.
        segments: size by name, to read just that much; all of all segments where left out.

    Raises:
        StoreError: a segment that the list names can't be read.
    """
    prefix = layout.journal_prefix(run_id)
    names = sorted(segments if segments is not None else _Journal.list(store, run_id).segments)
    fold = Fold(run_id)
    sizes: dict[str, int] = {}
    for key, blob in store.get_many(f"{prefix}/{name}" for name in names):
        name = key.rsplit("/", 1)[-1]
        if isinstance(blob, Exception):
            raise blob
        if blob is None:
            raise StoreError(f"segment {key} is gone")
        data = whole(blob.data if segments is None else blob.data[: segments[name]])
        reader = SegmentReader(data)
        fold.add_all(reader)
        fold.damaged(name, reader.damaged)
        sizes[name] = len(data)
    return fold, sizes


@dataclass(frozen=True)
class _Journal:
    """What a listing of a run's journal shows."""

    segments: dict[str, int]
    generation: int

    @classmethod
    def list(cls, store: Store, run_id: str) -> _Journal:
        segments: dict[str, int] = {}
        generation = 0
        for entry in store.list(layout.journal_prefix(run_id)):
            name = entry.key.rsplit("/", 1)[-1]
            if name.endswith(SUFFIX):
                segments[name] = entry.size
            elif name.startswith("seal-") and name[5:11].isdigit():
                generation = max(generation, int(name[5:11]))
        return cls(segments, generation)

    def newest(self, store: Store, run_id: str) -> SealRecord | None:
        if not self.generation:
            return None
        key = layout.seal_key(run_id, self.generation)
        blob = store.get(key)
        if blob is None:
            raise StoreError(f"{key} is gone")
        return SealRecord.load(key, blob.data)

    def decide(
        self, store: Store, run_id: str, now: datetime, ended: ev.RunEnded | None
    ) -> tuple[SealRecord, Documents]:
        """The record to carry out and its documents; made here where the newest does not cover the segments."""
        before = self.newest(store, run_id)
        if before is not None and all(size <= before.segments.get(n, 0) for n, size in self.segments.items()):
            return before, _documents(before, read_fold(store, run_id, before.segments)[0])
        fold, sizes = read_fold(store, run_id, self.segments)
        if before is not None and sizes == before.segments:  # grew by a torn line only
            return before, _documents(before, fold)
        record = SealRecord(
            generation=self.generation + 1,
            day=before.day if before else layout.day_of(fold.first_start() or now),
            segments=sizes,
            ended=_fields_of(_settle(before, fold, ended)),
        )
        docs = _documents(record, fold)  # before the record is there: what can't be made must not count as sealed
        store.create(layout.seal_key(run_id, record.generation), record.dump())
        return record, docs


def _settle(before: SealRecord | None, fold: Fold, ended: ev.RunEnded | None) -> ev.RunEnded | None:
    """Which end counts: that of a later attempt, else the first seal's, else the journal's, else the caller's.

    A run's own later end in the same attempt (completed, then failed by its timeout) replaces its own earlier one; what
    a recovery sealed stays.
    """
    attempt = fold.attempt()
    own = fold.end()
    ending = own or ended
    if ending is not None and ending.run_count is None:
        ending = replace(ending, run_count=attempt)
    first = _ended_of(before) if before else None
    if first is None or attempt > (first.run_count or 1):
        return ending
    if own is None or is_recovered(own) or is_recovered(first):
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


def _write(store: Store, run_id: str, record: SealRecord, docs: Documents) -> bool:
    """Write the documents, logs first; False where a newer generation has come meanwhile."""
    planned = [
        (layout.files_key(run_id, record.day), docs.files, dump_rows),
        (layout.emails_key(run_id, record.day), docs.emails, dump_rows),
    ]
    bodies = [(key, dump(rows)) for key, rows, dump in planned if rows]
    bodies.append((layout.run_key(run_id, record.day), dump_model(docs.run)))
    # etags first, then the question who is newest, then conditional writes: a sealer that is stalled
    # anywhere in between fails its condition
    old = [store.get(key) for key, _ in bodies]
    if _Journal.list(store, run_id).generation != record.generation:
        return False
    for (key, body), blob in zip(bodies, old, strict=True):
        if blob is None or blob.data != body:
            store.replace(key, body, blob.etag if blob else None)
    return True


def dump_rows(rows: list[dict[str, Any]]) -> bytes:
    """A list document: a JSON array, one row a line, so that people and line tools can read it."""
    return b"[\n" + b",\n".join(orjson.dumps(row, option=orjson.OPT_NON_STR_KEYS) for row in rows) + b"\n]\n"


def dump_model(run: RunMetadata) -> bytes:
    """A run's document: indented JSON."""
    return orjson.dumps(run.model_dump(mode="json"), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def utc_now() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(timezone.utc)
