"""Seals what a dead process left behind; never a run that is alive. Safe to run at any time, any number of times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.fold import RECOVERED, Fold
from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.documents.seal import newest_record, utc_now
from prefect_trackrecord.errors import StoreError
from prefect_trackrecord.journal.reader import SegmentReader, segment_paths, whole, writer_alive
from prefect_trackrecord.journal.writer import SUFFIX
from prefect_trackrecord.tracking.ending import recover_records
from prefect_trackrecord.tracking.storage import TrackingStorage, resolve_storage

Verdict = ev.RunEnded | Literal["alive"] | None
Ask = Callable[[str], Verdict]
"""Says what became of a Prefect run: how it ended; `alive` for one that waits or will go on; None where only the
process can tell (it is said to be running, or nobody knows)."""


@dataclass(frozen=True)
class RecoveredRun:
    """A run that was looked at and sealed, or could not be.

    Attributes:
        run_id: the run.
        run: its metadata as sealed; None where it could not be.
        error: why it could not be sealed.
    """

    run_id: str
    run: RunMetadata | None
    error: str | None = None


def recover(
    storage: TrackingStorage | str | Path | None = None,
    *,
    ask: Ask | None = None,
    now: Callable[[], datetime] = utc_now,
    progress: Callable[[int, int], None] | None = None,
) -> list[RecoveredRun]:
    """Seal the runs of a store that have no end and no living process, and bring late events into sealed ones.

    A run that no Prefect flow made is judged by whether its processes live; one of another host is left alone. A
    Prefect run is asked for first.

    Args:
        storage: where to look; resolved as everywhere.
        ask: what became of a Prefect run; see `Ask`.
        now: where the time comes from.
        progress: called with (runs looked at, runs in all).

    Returns:
        The runs that were sealed, and those that should have been and could not.

    Raises:
        StoreError: the store can't be listed.
    """
    archive = resolve_storage(storage).archive
    candidates = sorted(_candidates(archive))
    done: list[RecoveredRun] = []
    for n, run_id in enumerate(candidates, 1):
        try:
            run = _recover_one(archive, run_id, ask, now)
        except Exception as exc:  # noqa: BLE001 - one run that can't be sealed keeps no other from it
            done.append(RecoveredRun(run_id, None, f"{type(exc).__name__}: {exc}"))
        else:
            if run is not None:
                done.append(RecoveredRun(run_id, run))
        if progress is not None:
            progress(n, len(candidates))
    recover_records(archive)
    return done


def _candidates(archive: Archive) -> set[str]:
    """The runs that may need it: those with spooled events, and those with segments in the store."""
    found = {spooled.run_id for spooled in archive.spooled()}
    for entry in archive.store.list(layout.JOURNAL):
        if entry.key.endswith(SUFFIX):
            found.add(entry.key.split("/")[1])
    return found


def _recover_one(archive: Archive, run_id: str, ask: Ask | None, now: Callable[[], datetime]) -> RunMetadata | None:
    spooled = bool(segment_paths(archive.spool / run_id))
    if not spooled and _is_covered(archive, run_id):
        return None
    fold, alive = _look(archive, run_id)
    if not fold.tracked:
        return None  # documents saved directly: nothing ran
    before = newest_record(archive.store, run_id)
    sealed_attempt = ((before.ended or {}).get("run_count") or 1) if before and before.ended else 0
    if fold.end() is not None or sealed_attempt >= fold.attempt():
        return archive.seal(run_id, now=now())
    ended = _judge(run_id, fold, alive, ask, now)
    return None if ended is None else archive.seal(run_id, now=now(), ended=ended)


def _is_covered(archive: Archive, run_id: str) -> bool:
    """Whether a run has ended, its newest seal holds all of its journal, and its document is there."""
    record = newest_record(archive.store, run_id)
    if record is None or record.ended is None:
        return False
    entries = archive.store.list(layout.journal_prefix(run_id))
    names = {e.key.rsplit("/", 1)[-1]: e.size for e in entries if e.key.endswith(SUFFIX)}
    if not all(size <= record.segments.get(name, 0) for name, size in names.items()):
        return False
    blob = archive.store.get(layout.run_key(run_id, record.day))  # a document that was lost or damaged is made again
    try:
        return blob is not None and bool(RunMetadata.model_validate_json(blob.data))
    except ValueError:
        return False


def _look(archive: Archive, run_id: str) -> tuple[Fold, list[bool | None]]:
    """All events of a run, stored and spooled, and whether each of its writers lives."""
    fold = Fold(run_id)
    alive: list[bool | None] = []
    for name, data in _segments(archive, run_id).items():
        alive.append(False if name.startswith("saved-") else writer_alive(data))
        reader = SegmentReader(whole(data))
        fold.add_all(reader)
        fold.damaged(name, reader.damaged)
    return fold, alive


def _segments(archive: Archive, run_id: str) -> dict[str, bytes]:
    found = dict(_stored(archive, run_id))
    for path in segment_paths(archive.spool / run_id):
        found[path.name] = path.read_bytes()
    return found


def _stored(archive: Archive, run_id: str) -> Iterator[tuple[str, bytes]]:
    entries = archive.store.list(layout.journal_prefix(run_id))
    for key, blob in archive.store.get_many(e.key for e in entries if e.key.endswith(SUFFIX)):
        if isinstance(blob, Exception):
            raise StoreError(f"{key} can't be read: {blob}")
        if blob is not None:
            yield key.rsplit("/", 1)[-1], blob.data


def _judge(
    run_id: str, fold: Fold, alive: list[bool | None], ask: Ask | None, now: Callable[[], datetime]
) -> ev.RunEnded | None:
    """How a run without an end ended; None for one that lives, or that only another host can judge."""
    run = fold.documents(None).run
    of_prefect = run.flow_name is not None or not fold.started
    if of_prefect and ask is not None:
        verdict = ask(run_id)
        if isinstance(verdict, ev.RunEnded):
            return verdict
        if verdict == "alive":
            return None
    if not fold.started:
        return None  # its flow is not tracked: that its tasks' processes are gone says nothing of the flow's
    if not alive or any(lives is not False for lives in alive):
        return None
    return ev.RunEnded(
        at=now(),
        status=RunStatus.ABORTED.value,
        error_message="the process ended without completing the run",
        reason=f"{RECOVERED}: the process {run.pid} on {run.host} is gone and left the run without an end",
    )
