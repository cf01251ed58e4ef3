"""Reads a window of the history back: the runs between two dates, and what of them could not be read."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from operator import attrgetter
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.index import read_days
from prefect_trackrecord.documents.kinds import MODELS, Kind
from prefect_trackrecord.documents.models import EmailResult, FileProcessingLog, RunMetadata, RunStatus
from prefect_trackrecord.errors import DamagedDocumentError, DateRangeError
from prefect_trackrecord.store.base import Store

FILE_ROWS = TypeAdapter(list[FileProcessingLog])
EMAIL_ROWS = TypeAdapter(list[EmailResult])
Bound = date | datetime | str | None
_YOUNG = 1_000
_PYTHONS_OWN = 2_000
"""Python freezes a few hundred objects as it starts; who freezes those of a program has many more."""


@dataclass
class WindowResult:
    """The runs of a window by their start, and the documents that could not be read."""

    runs: list[RunMetadata] = field(default_factory=list)
    damaged: list[DamagedDocumentError] = field(default_factory=list)


def bounds(start: Bound, end: Bound) -> tuple[datetime | None, datetime | None]:
    """The window as aware datetimes, its end exclusive.

    A date, or an end at midnight, means the whole day, both ends included; other ends are exclusive; what has no
    time zone is UTC. None leaves that side open.

    Raises:
        DateRangeError: a text that is no date, or an end before its start.
    """
    first, last = _moment(start), _moment(end)
    if last is not None and last.timetz().replace(tzinfo=None) == time.min:
        try:
            last += timedelta(days=1)
        except OverflowError:  # the last day of all times: no end
            last = None
    if first is not None and last is not None and last <= first:
        raise DateRangeError(f"the range runs backwards: {start} to {end}; give the earlier date first")
    return first, last


def _moment(value: Bound) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            raise DateRangeError(f"{value!r} is no date; write it as 2026-01-31") from None
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        try:
            moment.astimezone(timezone.utc)
        except OverflowError:
            raise DateRangeError(f"{value} lies outside of the years 1 to 9999") from None
        return moment
    if value is None or isinstance(value, date):
        return datetime.combine(value, time.min, timezone.utc) if value is not None else None
    raise DateRangeError(f"{value!r} is no date; write it as 2026-01-31")


def read_window(
    store: Store,
    start: Bound = None,
    end: Bound = None,
    command: str | None = None,
    status: RunStatus | str | None = None,
    *,
    kind: Kind[RunMetadata] = MODELS,
) -> WindowResult:
    """The runs that started in a window, oldest first.

    Args:
        store: where the documents are.
        start: first day or moment; None for all from the beginning.
        end: last day or moment, see `bounds`; None for all up to now.
        command: only runs of this command.
        status: only runs that stand so.
        kind: `FACTS` for runs that nobody but a report sees.

    Raises:
        DateRangeError: see `bounds`.
        StoreError: the store can't be listed. A single document that can't be read is reported in the result.
        ValueError: `status` is no status.
    """
    first, last = bounds(start, end)
    wanted = RunStatus(status) if status is not None else None
    result = WindowResult()
    with _collector_held(often=0 if store.local_root is not None else _YOUNG) as made:
        for keys, runs in read_days(store, day_folders(layout.RUNS, first, last), kind, last_day(last)):
            for key, run in zip(keys, runs, strict=True):
                if isinstance(run, Exception):
                    cause = first_line(run) if isinstance(run, ValidationError) else str(run)
                    result.damaged.append(DamagedDocumentError(key, cause))
                elif not layout.names_run(key, run.run_id):
                    result.damaged.append(DamagedDocumentError(key, f"its run_id is {run.run_id[:80]!r}"))
                elif (
                    (first is None or run.started_at >= first)
                    and (last is None or run.started_at < last)
                    and (command is None or command == run.command)
                    and (wanted is None or wanted is run.status)
                ):
                    result.runs.append(run)
            made(len(runs))
        result.runs.sort(key=attrgetter("started_at", "run_id"))
    return result


@contextlib.contextmanager
def _collector_held(*, often: int = 0) -> Iterator[Callable[[int], None]]:
    """Hold Python's collector of cycles: it would look through all the runs again and again, for half of the time.

    Runs have no cycles. At the end they count as old objects, so that it does not look through all of them at once
    either. Whoever finds the collector held leaves it so.

    Args:
        often: after so many runs it looks through what is young all the same, for a driver whose requests leave cycles;
            what this gives is to be told how many runs were made.
    """
    if not gc.isenabled():
        yield lambda _: None
        return
    left = often

    def made(count: int) -> None:
        nonlocal left
        left -= count
        if often and left <= 0:
            gc.collect(1)
            left = often

    gc.disable()
    try:
        yield made
    finally:
        if gc.get_freeze_count() < _PYTHONS_OWN:  # what somebody else has frozen must stay so
            gc.freeze()
            gc.unfreeze()
        gc.enable()


def read_rows(store: Store, key: str, adapter: TypeAdapter[Any]) -> list[Any]:
    """The rows of a list document; none where there is no such document.

    Raises:
        DamagedDocumentError: the document can't be read.
    """
    blob = store.get(key)
    if blob is None:
        return []
    try:
        rows: list[Any] = adapter.validate_json(blob.data)
    except ValidationError as exc:
        model = FileProcessingLog if adapter is FILE_ROWS else EmailResult
        try:
            from prefect_trackrecord.documents.rows import lenient  # what makes documents is not needed to read them

            return [lenient(model, row, {})[0] for row in orjson.loads(blob.data)]  # an odd value costs no other row
        except (ValueError, TypeError):
            raise DamagedDocumentError(key, first_line(exc)) from None
    return rows


def first_line(exc: ValidationError) -> str:
    """What is wrong with a document, in one line."""
    error = exc.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in error["loc"])
    return f"{place}: {error['msg']}" if place else error["msg"]


def last_day(last: datetime | None) -> str:
    """The last day that a window touches, as keys name it; later than any where it has no end."""
    return "9999" if last is None else layout.day_of(last - timedelta(microseconds=1))


def day_folders(top: str, first: datetime | None, last: datetime | None) -> list[str]:
    """The folders below `top` of all days that touch a window; `top` itself where it has no beginning.

    Args:
        top: `layout.RUNS` or another one whose documents lie by day.
        first, last: see `bounds`.
    """
    if first is None:
        return [top]
    if last is None:
        last = datetime.now(timezone.utc) + timedelta(days=1)  # a clock may be ahead
    stop = (last - timedelta(microseconds=1)).astimezone(timezone.utc).date()
    day = first.astimezone(timezone.utc).date()
    return [f"{top}/{day + timedelta(days=n):%Y/%m/%d}" for n in range((stop - day).days + 1)]
