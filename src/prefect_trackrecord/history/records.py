"""The records of a window's runs: how each stands last, and how long it took in each status.

A record that several runs worked on counts once, as the latest of them left it. Reading is bounded: at most
`MAX_RECORDS` of the newest runs' records are held; `complete` says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.layout import RECORDS, records_prefix, safe_part
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.errors import DamagedDocumentError, StoreError
from prefect_trackrecord.record.document import moment
from prefect_trackrecord.record.entries import RecordEntry
from prefect_trackrecord.record.loading import stories
from prefect_trackrecord.record.places import of_archive
from prefect_trackrecord.record.status import RecordStatus

MAX_RECORDS = 100_000
OPEN = frozenset({"pending", "active"})
"""The categories of status in which a record still waits for something."""


@dataclass(frozen=True)
class RecordState:
    """How a record stands after the newest run that worked on it.

    Attributes:
        category: pending, active, success, warning, failed, skipped; None for a status that says none.
        since: when it came into this status.
        times: seconds in each status that it has left.
        error: the message of its last failure.
    """

    process: str
    record_type: str
    record_id: str
    status: str
    color: str
    category: str | None
    since: datetime | None
    run_id: str
    times: dict[str, float] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Records:
    """What was found; `damaged` are records that could not be read."""

    states: tuple[RecordState, ...] = ()
    damaged: tuple[DamagedDocumentError, ...] = ()
    complete: bool = True


def records_of(archive: Archive, runs: Iterable[RunMetadata], *, limit: int = MAX_RECORDS) -> Records:
    """The records that the given runs worked on."""
    wanted = {safe_part(run.run_id): run for run in runs}
    found: dict[tuple[str, str, str], RecordState] = {}
    damaged: list[DamagedDocumentError] = []
    complete = True
    for process, run in _places(archive, wanted, damaged):
        if len(found) >= limit:
            complete = False
            break
        key = records_prefix(process, run.run_id)
        try:
            for entry in stories(of_archive(archive, process, run.run_id)):
                state = _state(process, run, entry)
                found.setdefault((process, state.record_type, state.record_id), state)
        except StoreError as exc:
            damaged.append(DamagedDocumentError(key, str(exc)))
        except Exception as exc:  # noqa: BLE001 - what a pipeline left there must not cost the report
            damaged.append(DamagedDocumentError(key, f"{type(exc).__name__}: {exc}"))
    return Records(tuple(found.values()), tuple(damaged), complete)


def _places(
    archive: Archive, wanted: dict[str, RunMetadata], damaged: list[DamagedDocumentError]
) -> Sequence[tuple[str, RunMetadata]]:
    """Process and run of every folder of records that one of the runs has, newest run first."""
    found: list[tuple[str, RunMetadata]] = []
    try:
        for process in archive.store.folders(RECORDS):
            names = archive.store.folders(f"{RECORDS}/{process}")
            found += [(process, wanted[name]) for name in names if name in wanted]
    except StoreError as exc:
        damaged.append(DamagedDocumentError(RECORDS, str(exc)))
    return sorted(found, key=lambda place: place[1].started_at, reverse=True)


def _state(process: str, run: RunMetadata, entry: RecordEntry) -> RecordState:
    error: Any = entry.error or {}
    message = error.get("message") if isinstance(error, dict) else None
    return RecordState(
        process=process,
        record_type=entry.record_type,
        record_id=entry.record_id,
        status=entry.status,
        color=entry.status_color,
        category=entry.category or RecordStatus(entry.status).category,
        since=moment(entry.status_since or entry.updated_at or ""),
        run_id=run.run_id,
        times=dict(entry.time_in_status),
        error=str(message) if message else None,
    )
