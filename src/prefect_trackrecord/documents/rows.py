"""File and email rows of a run's events: one row a file, with all its attempts; one row an email."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents.fingerprint import error_fingerprint, place_of
from prefect_trackrecord.documents.models import SCHEMA_VERSION, EmailResult, FileStatus
from prefect_trackrecord.documents.occurrences import by_file
from prefect_trackrecord.documents.outcomes import Outcomes
from prefect_trackrecord.journal.plain import text_of

_SEED_FIELDS: dict[str, Any] = dict.fromkeys(
    ("run_id", "file_path", "file_type", "agent_id", "status", "error_type", "error_message")
    + ("processing_time_ms", "output_path")
)


def file_rows(
    run_id: str,
    tracked: Outcomes,
    silent: Mapping[str, list[ev.FileTracked]],
    saved: Sequence[ev.DocumentSaved],
    metrics: Iterable[ev.MetricTracked],
) -> Iterator[dict[str, Any]]:
    """The rows of a run's files, ready for JSON; none is held for longer than its reader does.

    Args:
        run_id: the run.
        tracked: its outcomes.
        silent: by item, outcomes that others told.
        saved: lists of rows that were saved directly; what was tracked goes before.
        metrics: numbers of the run and of its files, the last one of each name.
    """
    loose: dict[tuple[Any, ...], dict[str, Any]] = {}
    for event in sorted(saved, key=lambda e: e.at):
        loose.update((_file_identity(row), row) for row in event.value)  # the later word on a file counts
    numbers: dict[str, dict[str, float]] = {}
    for m in metrics:
        if m.file is not None:
            numbers.setdefault(m.file, {})[m.name] = m.value
    for row in _tracked_rows(run_id, tracked, silent):
        loose.pop(_file_identity(row), None)
        yield _with_metrics(row, numbers)
    for row in loose.values():
        yield _with_metrics({**row, "run_id": run_id, "error_fingerprint": _fingerprint(row)}, numbers)


def _tracked_rows(
    run_id: str, tracked: Outcomes, silent: Mapping[str, list[ev.FileTracked]]
) -> Iterator[dict[str, Any]]:
    others = dict(silent)
    for item, group in tracked.groups():
        for file in by_file([*group, *others.pop(item, [])]):
            yield _file_row(run_id, file)
    for group in others.values():
        for file in by_file(group):
            yield _file_row(run_id, file)


def _with_metrics(row: dict[str, Any], numbers: Mapping[str, dict[str, float]]) -> dict[str, Any]:
    if row["file_path"] in numbers:
        row["metrics"] = {**(row.get("metrics") or {}), **numbers[row["file_path"]]}
    return row


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


def _file_row(run_id: str, outcomes: list[ev.FileTracked]) -> dict[str, Any]:
    """One row of a file's outcomes: the last one's state, the first one's start, all their attempts."""
    if len(outcomes) == 1:
        last = outcomes[0]
        tries = last.row.get("attempts") or []
    else:
        outcomes = sorted(outcomes, key=lambda o: (o.turn, o.at))
        last = outcomes[-1]
        # A flow that is retried finds the earlier attempt's results cached: that is no new outcome.
        done = [o for o in outcomes if o.row["status"] == FileStatus.SUCCESS.value]
        if last.row["status"] == FileStatus.SKIPPED.value and done:
            last = done[-1]
        tries = [t for o in outcomes for t in (o.row.get("attempts") or [_as_attempt(o)])]
    row = {**_SEED_FIELDS, **last.row, "run_id": run_id}
    first = outcomes[0].row.get("started_at")
    if first:
        row["started_at"] = first
    row["attempts"] = [{**t, "number": n} for n, t in enumerate(tries, 1)]
    if row["status"] == FileStatus.FAILED.value:
        row["error_fingerprint"] = _fingerprint(row)
    row["schema_version"] = SCHEMA_VERSION
    return row


def _as_attempt(outcome: ev.FileTracked) -> dict[str, Any]:
    row = outcome.row
    return {
        "started_at": row.get("started_at"),
        "ended_at": row.get("ended_at") or outcome.at.isoformat(),
        "status": row["status"],
        "error_type": row.get("error_type"),
        "error_message": row.get("error_message"),
    }


def _fingerprint(row: dict[str, Any]) -> str | None:
    if row.get("status") != FileStatus.FAILED.value:
        return None
    known = row.get("error_fingerprint")
    if known:
        return str(known)
    return error_fingerprint(row.get("error_type"), row.get("error_message"), place_of(row.get("traceback")))


def _file_identity(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("file_path", "file_type", "agent_id"))


def _email_identity(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("agent_id", "agent_name", "email", "message_id"))


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
