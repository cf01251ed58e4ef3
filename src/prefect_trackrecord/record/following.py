"""A record whose status follows the states of the work on it; knows nothing of Prefect but the states' names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect_trackrecord.journal.plain import text_of
from prefect_trackrecord.record import identity
from prefect_trackrecord.record.lifecycle import error_of, refusal
from prefect_trackrecord.record.model import ThoughtfulRecord, present_status, quietly
from prefect_trackrecord.record.status import RecordStatus, Status
from prefect_trackrecord.record.tracing import tracing

STATES: Mapping[str, RecordStatus] = {
    "pending": Status.PENDING,
    "running": Status.RUNNING,
    "retrying": Status.RETRYING,
    "completed": Status.COMPLETED,
    "failed": Status.FAILED,
    "crashed": Status.EXCEPTION,
    "timed out": Status.TIMEOUT,
    "cancelled": Status.CANCELLED,
    "cached": Status.SKIPPED,
    "skipped": Status.SKIPPED,
}
"""Which status follows from which state, by default."""


def follow_state(
    record: Any,
    state: str,
    *,
    task: str = "",
    attempt: int | None = None,
    reason: str = "",
    error: BaseException | str | None = None,
    mapping: Mapping[str, RecordStatus | str | None] | None = None,
) -> bool:
    """The work on a record came into a state: its status follows, and a trace tells it. Never raises.

    An attempt that ended with an error is told with it, also where the task's body never ran. A status that the
    program itself has given the record during a task that completed stays: it knows better.

    Args:
        record: the record; anything else is let pass.
        state: one of `STATES`, or a key of `mapping`.
        task: what was done to it.
        attempt: which try this is, from 1.
        reason: shown with the trace.
        error: what the try failed with.
        mapping: statuses that differ from `STATES`; None leaves the status as it is.

    Returns:
        Whether there was a record to follow it.
    """
    if not isinstance(record, ThoughtfulRecord):
        return False
    quietly(lambda: _follow(record, state, task, attempt, reason, error, {**STATES, **(mapping or {})}))
    return True


def _follow(
    record: ThoughtfulRecord,
    state: str,
    task: str,
    attempt: int | None,
    reason: str,
    error: BaseException | str | None,
    statuses: Mapping[str, RecordStatus | str | None],
) -> None:
    told: dict[str, Any] = {"state": state}
    if task:
        told["task"] = task
    if attempt is not None:
        told["attempt"] = attempt
    if error is not None:
        told["error"] = error_of(error, "application", "")
        reason = reason or told["error"]["message"]
    status = statuses.get(state)
    name = identity.status_field(record)
    if status is not None and name and not _knows_better(record, state):
        old = present_status(record)
        if why := refusal(type(record), old, str(status)):
            told["unstorable"] = {"status": why}
        else:
            setattr(record, name, status)
    words = " ".join(part for part in (task, state) if part) or text_of(state)
    if attempt is not None and attempt > 1:
        words = f"{words} (attempt {attempt})"
    tracing.recorder().trace(record, words[:1].upper() + words[1:], reason, None, told)


def _knows_better(record: ThoughtfulRecord, state: str) -> bool:
    """Whether the program decided this record's outcome itself, and its task's end adds nothing."""
    status = identity.status_of(record)
    if state != "completed" or status is None or status.category == "active":
        return False
    if status.category not in {None, "pending"}:
        return True
    # "Awaiting Review", or a text of its own: that counts where the program said so during the task.
    entry = tracing.recorder().known(record)
    began = next((at for at, trace in reversed(entry.traces) if b'"state":' in trace), None)
    return began is not None and bool(entry.updates) and entry.updates[-1][0] > began
