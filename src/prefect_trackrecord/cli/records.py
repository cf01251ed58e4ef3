"""`trackrecord records show`: what became of one record, across all runs that touched it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prefect_trackrecord.cli.output import dump, how_long, say
from prefect_trackrecord.cli.place import storage_of
from prefect_trackrecord.cli.progress import waiting
from prefect_trackrecord.documents.layout import RECORDS
from prefect_trackrecord.errors import RecordNotFoundError

if TYPE_CHECKING:
    from prefect_trackrecord.record import RecordEntry, RecordHistory
    from prefect_trackrecord.record.places import Located

MAX_TEXT = 200


def show_record(storage: str | None, folder: str | None, record_id: str, record_type: str | None, as_json: bool) -> int:
    """Print a record's story across all runs, earliest first.

    Args:
        storage: the history in whose runs it is looked for.
        folder: instead of that, the folder that a program gave to `configure_records_tracing`.
        record_id: the record's id.
        record_type: only records of this type.
        as_json: every field, as JSON.

    Raises:
        RecordNotFoundError: no run knows it.
    """
    place, runs = runs_with_records(storage, folder)
    from prefect_trackrecord.record.over_time import histories

    with waiting(f"looking through {place}"):
        found = histories(record_id, runs, record_type)
        if not found:
            raise RecordNotFoundError(_not_there(storage, folder, record_id, record_type, place))
    if as_json:
        dump([_as_json(one) for one in found])
    else:
        for n, one in enumerate(found):
            if n:
                say()
            _print(one)
    return 0


def _not_there(storage: str | None, folder: str | None, record_id: str, record_type: str | None, place: str) -> str:
    if record_type is None:
        return f"no record {record_id!r} in {place}"
    from prefect_trackrecord.record.over_time import histories

    others = histories(record_id, runs_with_records(storage, folder)[1], None)
    types = sorted({one.entry.record_type for one in others if one.entry.record_type})
    there = f"; there is {' and '.join(types)} {record_id!r}" if types else ""
    return f"no record {record_id!r} of type {record_type!r} in {place}{there}"


def runs_with_records(storage: str | None, folder: str | None) -> tuple[str, Iterator[Located]]:
    """The runs that have records, in a history or below a program's own folder, and what that is called."""
    from prefect_trackrecord.record.kept import runs_in
    from prefect_trackrecord.record.over_time import runs_of
    from prefect_trackrecord.record.places import Place

    if folder is not None:
        return folder, runs_of(Place.of(folder))
    archive = storage_of(storage).archive
    return f"{archive.store.url}/{RECORDS}", runs_in(archive)


def _as_json(one: RecordHistory) -> dict[str, Any]:
    return {
        "process": one.process,
        "run_id": one.run_id,
        "where": one.where,
        "run_url": one.run_url,
        "record": one.entry.model_dump(mode="json"),
    }


def _print(one: RecordHistory) -> None:
    entry = one.entry
    say(f"{entry.record_type or 'record'} {entry.record_id}: {entry.status or 'no status'}")
    say(f"  in run {one.run_id} of {one.process}" + (f", {one.run_url}" if one.run_url else ""))
    say(f"  kept in {one.where}")
    for line in _story(entry):
        say(f"  {line}")
    if entry.time_in_status:
        times = ", ".join(f"{status} {how_long(s * 1000)}" for status, s in entry.time_in_status.items())
        say(f"  time in status: {times}")


def _story(entry: RecordEntry) -> list[str]:
    """Statuses and traces in the order they came."""
    told = [
        (u.timestamp, f"status {u.old_status or '(none)'} -> {u.new_status}", [u.reason]) for u in entry.status_updates
    ]
    for t in entry.traces:
        more = [t.reason]
        if t.error is not None:
            more = [_error(t.error), t.reason if t.reason not in str(t.error.get("message")) else ""]
        more += [
            f"{path}: {_short(change.get('from'))} -> {_short(change.get('to'))}"
            for path, change in t.dict_updates.items()
        ]
        if t.image:
            more.append(f"picture {t.image}")
        told.append((t.timestamp, t.action or "trace", more))
    lines = []
    for at, what, more in sorted(told, key=lambda item: item[0]):
        lines.append(f"{at[:19].replace('T', ' ')}  {what}")
        lines += [f"{'':19}    {_short(text)}" for text in more if text]
    return lines


def _error(error: dict[str, Any]) -> str:
    kind = " ".join(str(error.get(name)) for name in ("kind", "code") if error.get(name))
    what = ": ".join(str(error.get(name)) for name in ("type", "message") if error.get(name))
    return f"{kind} error: {what}"


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."
