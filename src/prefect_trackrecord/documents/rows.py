"""File and email rows of a run's events: one row a file, with all its attempts; one row an email.

A file's row holds the seed's fields always, then those of ours that are known, in the model's order, then what only
another version of this package knows. `run_id` and `schema_version`, equal in all rows, come first and last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents.fingerprint import error_fingerprint, place_of
from prefect_trackrecord.documents.models import SCHEMA_VERSION, Attempt, EmailResult, FileProcessingLog, FileStatus
from prefect_trackrecord.journal.plain import text_of

Row = dict[str, Any]
RUN_ID = b"\x01"
"""Stands for the run's id in rows as JSON, where it can't stand for anything else; `Sheet` puts that in."""
_RUN_ID = orjson.Fragment(RUN_ID)
ALWAYS = (
    *("file_path", "file_type", "agent_id", "status", "error_type", "error_message"),
    *("processing_time_ms", "output_path"),
)
_ADDED = frozenset(("run_id", "schema_version"))
ORDER = (*ALWAYS, *(name for name in FileProcessingLog.model_fields if name not in _ADDED.union(ALWAYS)))
"""The fields of a row in the order in which they are written."""
ATTEMPT = tuple(name for name in Attempt.model_fields if name != "number")
"""The fields of an attempt in their order, without its number, which comes last."""
BEGUN = ("task_name", "task_run_id", "task_run_name", "started_at", "file_type", "agent_id")
"""What the beginning of a file tells beside its path."""
_MAYBE = tuple(name for name in ORDER if name not in ALWAYS)
_KNOWN = frozenset(ORDER) | _ADDED


def item_of(event: ev.FileTracked) -> str:
    """Which file this outcome is of: what the capture said, else path, type and agent."""
    if event.item is not None:
        return event.item
    row = event.row
    return f"{row.get('file_path')}\0{row.get('file_type') or ''}\0{row.get('agent_id') or ''}"


def row_of(outcomes: Sequence[ev.FileTracked]) -> Row:
    """One row of a file's outcomes: the last one's state, the first one's start, all their attempts."""
    if len(outcomes) == 1:
        last = outcomes[0]
        tries = _attempts(last.row)
    else:
        outcomes = sorted(outcomes, key=lambda o: (o.turn, o.at))
        last = outcomes[-1]
        # A flow that is retried finds the earlier attempt's results cached: that is no new outcome.
        done = [o for o in outcomes if o.row["status"] == FileStatus.SUCCESS.value]
        if last.row["status"] == FileStatus.SKIPPED.value and done:
            last = done[-1]
        tries = [t for o in outcomes for t in (_attempts(o.row) or [_as_attempt(o)])]
    given = {**last.row, "attempts": [{**t, "number": n} for n, t in enumerate(tries, 1)]}
    if first := outcomes[0].row.get("started_at"):
        given["started_at"] = first
    if given["status"] == FileStatus.FAILED.value:
        given["error_fingerprint"] = fingerprint_of(given)
    row = {name: given.get(name) for name in ALWAYS}
    row.update((name, given[name]) for name in _MAYBE if name in given)
    if not _KNOWN.issuperset(given):
        row.update((name, value) for name, value in given.items() if name not in _KNOWN)
    return row


def _attempts(row: Row) -> list[Row]:
    """The attempts that a row tells, their fields in order."""
    tries = row.get("attempts")
    return [_ordered(t) for t in tries if isinstance(t, dict)] if isinstance(tries, list) else []


def _ordered(attempt: Row) -> Row:
    found = {name: attempt[name] for name in ATTEMPT if name in attempt}
    found.update((name, value) for name, value in attempt.items() if name not in found and name != "number")
    return found


def _as_attempt(outcome: ev.FileTracked) -> Row:
    row = outcome.row
    return {
        "started_at": row.get("started_at"),
        "ended_at": row.get("ended_at") or outcome.at.isoformat(),
        "status": row["status"],
        "error_type": row.get("error_type"),
        "error_message": row.get("error_message"),
    }


def with_metrics(row: Row, numbers: Mapping[str, float]) -> Row:
    """The row with numbers that were told of its file besides."""
    own = row.get("metrics")
    return {**row, "metrics": {**(own if isinstance(own, dict) else {}), **numbers}}


def saved_rows(run_id: str, saved: Iterable[ev.DocumentSaved]) -> dict[str, Row]:
    """Rows that were saved directly, by identity; the later word on a file counts."""
    loose: dict[str, Row] = {}
    for event in sorted(saved, key=lambda e: e.at):
        loose.update((identity(row), row) for row in event.value)
    return {
        key: {**row, "run_id": run_id, "error_fingerprint": fingerprint_of(row) if row["status"] == "failed" else None}
        for key, row in loose.items()
    }


def identity(row: Row) -> str:
    """What tells a saved row's file from others: path, type and agent."""
    return repr([row.get(name) for name in ("file_path", "file_type", "agent_id")])


def fingerprint_of(row: Row) -> str:
    """A failed row's fingerprint: the one that it has, else its error's."""
    known = row.get("error_fingerprint")
    return str(known) if known else fingerprint(row.get("error_type"), row.get("error_message"), row.get("traceback"))


def fingerprint(error_type: Any, message: Any, traceback: Any) -> str:
    """The fingerprint of an error, whatever a row holds of it."""
    return error_fingerprint(_text(error_type), _text(message), place_of(_text(traceback)))


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def dump(row: Row) -> bytes:
    """A file's row as JSON, with what all rows of the run have."""
    return dump_whole({"run_id": _RUN_ID, **row, "schema_version": SCHEMA_VERSION})


def dump_whole(row: Row) -> bytes:
    """A row as JSON, as it is."""
    return orjson.dumps(row, option=orjson.OPT_NON_STR_KEYS)


def email_rows(
    run_id: str, tracked: Iterable[ev.EmailTracked], saved: Sequence[ev.DocumentSaved]
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The rows of a run's emails, ready for JSON, and what of them could not be kept."""
    own = [{"at": e.at, **e.row} for e in sorted(tracked, key=lambda e: e.at)]
    known = {_email_identity(row) for row in own}
    batches: list[list[dict[str, Any]]] = []
    for event in sorted(saved, key=lambda e: e.at, reverse=True):
        # what was tracked, and what was saved later, has the last word on a mail; one batch may hold two to one
        batches.insert(0, [row for row in event.value if _email_identity(row) not in known])
        known.update(_email_identity(row) for row in event.value)
    odd: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    for row in (row for batch in (own, *batches) for row in batch):
        made, trouble = lenient(EmailResult, {**row, "run_id": run_id}, {})
        rows.append(made.model_dump(mode="json"))
        odd += trouble
    return rows, odd


def _email_identity(row: Row) -> str:
    return repr([row.get(name) for name in ("agent_id", "agent_name", "email", "message_id")])


Made = TypeVar("Made", bound=BaseModel)


def lenient(model: type[Made], fields: dict[str, Any], needed: dict[str, Any]) -> tuple[Made, Counter[str]]:
    """A model of fields some of which may be no good: those are left out and counted, never the whole.

    Args:
        model: the model.
        fields: its fields.
        needed: what stands in for a required field that is no good.

    Raises:
        ValidationError: a required field is no good, and nothing stands in for it.
    """
    odd: Counter[str] = Counter()
    fields = dict(fields)
    while True:
        try:
            return model.model_validate(fields), odd
        except ValidationError as exc:
            for name in {str(error["loc"][0]) for error in exc.errors() if error["loc"]}:
                value = fields.pop(name, None)
                odd[f"{name} could not be kept: {text_of(value, 80)}"] += 1
                if name in needed and value is not needed[name]:
                    fields[name] = needed[name]
                elif name not in model.model_fields or model.model_fields[name].is_required():
                    raise
