"""What happened: frozen events, one union tagged by `kind`, and their one-line JSON form.

Format version 1. Its history:

    1   2026-11   first

A line is one JSON object with `kind` first. A reader skips kinds and fields that it does not know,
so adding either needs no new version; changing what one means does.

Over 300 lines: a kind, its shape and its place in the union are read, and changed, together.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timezone
from typing import Any, ClassVar

import orjson

FORMAT_VERSION = 1


@dataclass(frozen=True)
class WriterOpened:
    """First line of each segment: which process writes it.

    `boot` and `ticks` tell a reused pid, `namespace` another container's ("" where the system does not tell it).
    """

    kind: ClassVar[str] = "writer"
    at: datetime
    host: str
    boot: str
    pid: int
    ticks: int
    format: int = FORMAT_VERSION
    namespace: str = ""


@dataclass(frozen=True)
class RunStarted:
    """A run, or another attempt of it, began. `run` holds fields of `RunMetadata`."""

    kind: ClassVar[str] = "run.started"
    at: datetime
    run: dict[str, Any]


@dataclass(frozen=True)
class RunUpdated:
    """Fields of `RunMetadata` that became known later; `None` values change nothing.

    `tasks` names tracked tasks of which the run has handed over a first call to its task runner: names by task key.
    Whoever asks Prefect what became of the run's task runs knows by it which ones are files.
    """

    kind: ClassVar[str] = "run.updated"
    at: datetime
    run: dict[str, Any]
    tasks: dict[str, Any] | None = None


@dataclass(frozen=True)
class RunEnded:
    """A run ended. `status` None leaves it to the run's items; `state` is Prefect's own name for it."""

    kind: ClassVar[str] = "run.ended"
    at: datetime
    status: str | None = None
    error_message: str | None = None
    error_type: str | None = None
    traceback: str | None = None
    reason: str | None = None
    state: str | None = None
    run_count: int | None = None


@dataclass(frozen=True)
class FileTracked:
    """One outcome of one file. `row` holds fields of `FileProcessingLog` (without `run_id`).

    `item` says which file it is where the path alone does not (the tracked task's key and its place among
    equal calls), `turn` which attempt of the flow made it: a later turn's outcome of the same item replaces an
    earlier one's and keeps it among the attempts.
    """

    kind: ClassVar[str] = "file"
    at: datetime
    row: dict[str, Any]
    item: str | None = None
    turn: int = 1


@dataclass(frozen=True)
class FileStarted:
    """Work on one file began (fields as of `FileTracked`). Where no outcome follows, its process died on the way."""

    kind: ClassVar[str] = "file.started"
    at: datetime
    row: dict[str, Any]
    item: str | None = None
    turn: int = 1


@dataclass(frozen=True)
class FileInferred:
    """What others say of a file whose own process said nothing: a task run that never began, or crashed silently.

    It counts only as long as nobody has tracked an outcome of the same task run (`row["task_run_id"]`).
    """

    kind: ClassVar[str] = "file.inferred"
    at: datetime
    row: dict[str, Any]
    item: str | None = None
    turn: int = 1


@dataclass(frozen=True)
class ItemsGiven:
    """What the parameter that takes a run's files was given, as its rows name them (`paths`).

    Told of a run that did not complete, in its attempt `turn`: those that it did not come to are files too.
    """

    kind: ClassVar[str] = "run.items"
    at: datetime
    paths: list[str]
    turn: int = 1


@dataclass(frozen=True)
class EmailTracked:
    """One email's result. `row` holds fields of `EmailResult`."""

    kind: ClassVar[str] = "email"
    at: datetime
    row: dict[str, Any]


@dataclass(frozen=True)
class MetricTracked:
    """A number of the run, or of one of its files; the last one of a name stays."""

    kind: ClassVar[str] = "metric"
    at: datetime
    name: str
    value: float
    file: str | None = None


@dataclass(frozen=True)
class TrackingFailed:
    """Tracking itself went wrong `count` times for the same `cause`; `lost` events are gone by it."""

    kind: ClassVar[str] = "tracking.failed"
    at: datetime
    cause: str
    count: int = 1
    lost: int = 0


@dataclass(frozen=True)
class DocumentSaved:
    """Somebody saved a document directly; a later seal keeps what it holds.

    `document` is `run` (value: a RunMetadata as JSON), `files` or `emails` (value: the list of rows).
    """

    kind: ClassVar[str] = "saved"
    at: datetime
    document: str
    value: Any


@dataclass(frozen=True)
class RecordChanged:
    """Something happened to a business record; `records_logs.json` is made from these alone.

    `op` says what, and with it what `data` holds (see `record.state`): `created`, `trace`, `status`, `field`,
    `step`. A record is named by its id and type together; `process` is the name under which the run keeps it.
    """

    kind: ClassVar[str] = "record"
    at: datetime
    process: str
    record_id: str
    record_type: str
    op: str
    data: dict[str, Any]


Event = (
    WriterOpened
    | RunStarted
    | RunUpdated
    | RunEnded
    | FileTracked
    | FileStarted
    | FileInferred
    | ItemsGiven
    | EmailTracked
    | MetricTracked
    | TrackingFailed
    | DocumentSaved
    | RecordChanged
)

_TYPES: dict[str, type[Any]] = {
    t.kind: t
    for t in (
        WriterOpened,
        RunStarted,
        RunUpdated,
        RunEnded,
        FileTracked,
        FileStarted,
        FileInferred,
        ItemsGiven,
        EmailTracked,
        MetricTracked,
        TrackingFailed,
        DocumentSaved,
        RecordChanged,
    )
}
_FIELDS = {kind: frozenset(f.name for f in fields(t)) for kind, t in _TYPES.items()}
_TEXT, _NUMBER, _COUNT = (str,), (int, float), (int,)
_NO_TEXT, _NO_COUNT = (str, type(None)), (int, type(None))
_SHAPES: dict[str, dict[str, tuple[type, ...]]] = {
    WriterOpened.kind: {"namespace": _TEXT},
    RunStarted.kind: {"run": (dict,)},
    RunUpdated.kind: {"run": (dict,), "tasks": (dict, type(None))},
    RunEnded.kind: {
        **dict.fromkeys(("status", "error_message", "error_type", "traceback", "reason", "state"), _NO_TEXT),
        "run_count": _NO_COUNT,
    },
    FileStarted.kind: {"row": (dict,), "item": _NO_TEXT, "turn": _COUNT},
    FileInferred.kind: {"row": (dict,), "item": _NO_TEXT, "turn": _COUNT},
    ItemsGiven.kind: {"paths": (list,), "turn": _COUNT},
    EmailTracked.kind: {"row": (dict,)},
    MetricTracked.kind: {"name": _TEXT, "value": _NUMBER, "file": _NO_TEXT},
    TrackingFailed.kind: {"cause": _TEXT, "count": _COUNT, "lost": _COUNT},
    DocumentSaved.kind: {"document": _TEXT},
    RecordChanged.kind: {"data": (dict,)},
}
"""What documents are made of must be of these types, or they can't be made."""
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


def encode(event: Event) -> bytes:
    """The event as one line of JSON with its newline.

    Values must be plain JSON already (`journal.plain` makes them so). A lone surrogate, which JSON as
    UTF-8 can't hold, is replaced rather than refused.
    """
    body = {"kind": event.kind, **event.__dict__}
    try:
        return orjson.dumps(body, option=_OPTIONS)
    except (TypeError, ValueError):
        return orjson.dumps(_mended(body), option=_OPTIONS)


def encode_record(at: datetime, process: str, record_id: str, record_type: str, op: str, data: dict[str, Any]) -> bytes:
    """A `RecordChanged` as `encode` gives it, without making the object: traces are the busiest events there are."""
    body = {
        "kind": RecordChanged.kind,
        "at": at,
        "process": process,
        "record_id": record_id,
        "record_type": record_type,
        "op": op,
        "data": data,
    }
    try:
        return orjson.dumps(body, option=_OPTIONS)
    except (TypeError, ValueError):
        return orjson.dumps(_mended(body), option=_OPTIONS)


def encode_file(at: datetime, row: dict[str, Any], item: str | None = None) -> bytes:
    """A `FileTracked` without turn, as `encode` gives it, without making the object."""
    body: dict[str, Any] = {"kind": FileTracked.kind, "at": at, "row": row}
    if item is not None:
        body["item"] = item
    try:
        return orjson.dumps(body, option=_OPTIONS)
    except (TypeError, ValueError):
        return orjson.dumps(_mended(body), option=_OPTIONS)


def _mended(value: Any) -> Any:
    """`value` with what orjson refuses (lone surrogates, integers beyond 64 bit, unknown types) as text."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_mended(str(k)): _mended(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_mended(v) for v in value]
    if value is None or isinstance(value, bool | float | datetime | orjson.Fragment):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    return _mended(repr(value))


def decode(line: bytes) -> Event | None:
    """The event of one line; None for a kind that this version does not know.

    Raises:
        ValueError: the line is no JSON object, or lacks a field of its kind.
    """
    body = orjson.loads(line)
    if not isinstance(body, dict):
        raise ValueError("an event must be a JSON object")
    kind = body.pop("kind", None)
    event_type = _TYPES.get(kind) if isinstance(kind, str) else None
    if event_type is None:
        return None
    try:
        if event_type is FileTracked:  # of these there are millions
            at, item, turn = _moment(body["at"]), body.get("item"), body.get("turn", 1)
            if not (_is_file(row := body["row"]) and _is_placed(item, turn)):
                raise ValueError("a file's event needs its path and a status")
            return FileTracked(at, row, item, turn)
        known = {k: v for k, v in body.items() if k in _FIELDS[event_type.kind]}
        known["at"] = _moment(known["at"])
        event: Event = event_type(**known)
    except (KeyError, TypeError, AttributeError) as exc:
        raise ValueError(f"an event of kind {kind} is not whole: {exc}") from None
    shapes = _SHAPES.get(event_type.kind, {})
    if not all(type(known[name]) in types for name, types in shapes.items() if name in known) or not _is_whole(event):
        raise ValueError(f"an event of kind {kind} has a field of the wrong type")
    return event


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith(("Z", "z")) else text)
    return at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)


def _is_whole(event: Event) -> bool:
    """Whether a file's row, or a saved document's value, is what documents can be made of; true of other events."""
    if isinstance(event, FileStarted):
        return _is_file({**event.row, "status": "failed"})
    if isinstance(event, FileInferred):
        return _is_file(event.row)
    if isinstance(event, ItemsGiven):
        return all(type(path) is str for path in event.paths)
    if not isinstance(event, DocumentSaved) or event.document not in ("run", "files", "emails"):
        return True
    value, good = event.value, _is_file if event.document == "files" else _is_object
    return _is_object(value) if event.document == "run" else isinstance(value, list) and all(map(good, value))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_placed(item: Any, turn: Any) -> bool:
    return (item is None or type(item) is str) and type(turn) is int


def _is_file(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("file_path"), str)
        and row.get("status") in ("success", "failed", "skipped")
    )
