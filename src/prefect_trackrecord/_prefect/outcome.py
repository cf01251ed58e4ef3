"""What a Prefect state and an exception say of a file or a run, as fields of its row. Pure."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from prefect.client.schemas.objects import State

from prefect_trackrecord._prefect import wrapping
from prefect_trackrecord.documents.models import FileStatus, RunStatus
from prefect_trackrecord.journal.plain import clean, mask_text
from prefect_trackrecord.tracking.describing import TRACEBACK_TAIL, describe

PARTIAL = "PartialSuccess"


@dataclass(frozen=True)
class Outcome:
    """How a file came out. `fields` are those of its row."""

    fields: dict[str, Any]
    state: State[Any] | None = field(default=None, compare=False)


def describe_exception(exc: BaseException) -> tuple[str, str]:
    """An exception's type and message."""
    return type(exc).__name__, mask_text(describe(exc))


def error_of(state: State[Any], raised: BaseException | None) -> tuple[str, str]:
    """The error behind a failed state: the exception itself where there is one, else the state's own words.

    Args:
        state: failed or crashed.
        raised: what the function raised last. A timeout reaches it as a cancellation, and is told by the state.
    """
    exc = real_error(state, raised)
    if exc is None:
        return state.name or "Failed", mask_text(state.message or f"ended in state {state.name}")
    if exc is not raised and state.name == "TimedOut" and state.message:
        return type(exc).__name__, state.message
    return describe_exception(exc)


def real_error(state: State[Any], raised: BaseException | None) -> BaseException | None:
    """The exception that made the state; None for a state that was made without one."""
    if isinstance(raised, Exception):
        return raised
    data = state.data
    data = getattr(data, "result", data)
    if isinstance(data, BaseException):
        return data
    return raised


def own_trace(exc: BaseException) -> TracebackType | None:
    """An exception's traceback as its function left it, without our frames and, later, Prefect's above them."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename == wrapping.__file__:
        trace = trace.tb_next
    return trace


def trace_text(exc: BaseException, trace: TracebackType | None) -> str:
    """The end of a traceback as text, secrets in URLs masked."""
    try:
        text = "".join(traceback.format_exception(type(exc), exc, trace or exc.__traceback__))
    except Exception:  # noqa: BLE001 - formatting calls the exception's own methods
        return type(exc).__name__
    return mask_text(clean(text[-TRACEBACK_TAIL:]))


def of_state(state: State[Any], raised: BaseException | None, trace: TracebackType | None = None) -> Outcome:
    """How a file came out whose task run ended in `state`; `raised` and `trace` are what its function left."""
    if state.is_completed():
        if state.name == "Cached":
            return Outcome({"status": FileStatus.SKIPPED.value, "reason": "cached"}, state)
        if state.name == "Skipped":
            return Outcome({"status": FileStatus.SKIPPED.value, "reason": state.message or "skipped"}, state)
        return Outcome({"status": FileStatus.SUCCESS.value}, state)
    kind, message = error_of(state, raised)
    fields = {"status": FileStatus.FAILED.value, "error_type": kind, "error_message": message}
    exc = raised or real_error(state, None)
    if exc is not None and (trace or exc.__traceback__):
        fields["traceback"] = trace_text(exc, trace)
    return Outcome(fields, state)


def crashed(exc: BaseException, trace: TracebackType | None = None) -> Outcome:
    """How a file came out whose task was torn away: an exit, a signal, a cancellation."""
    kind, message = describe_exception(exc)
    return Outcome(
        {
            "status": FileStatus.FAILED.value,
            "error_type": kind,
            "error_message": message,
            "traceback": trace_text(exc, trace),
        }
    )


def run_status(state: State[Any]) -> str | None:
    """A run's status by its state; None leaves it to its files and emails."""
    if state.is_failed():
        return RunStatus.FAILED.value
    if state.is_completed():
        return None
    return RunStatus.ABORTED.value
