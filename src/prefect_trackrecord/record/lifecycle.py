"""The rules of a record's life that its class declares, and what is told when something fails."""

from __future__ import annotations

import time
import traceback as tb
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.journal.plain import clean, mask_text

KINDS = ("application", "business")
_FRAMES = 20
_TEXT = 8_000


def governed(cls: Any) -> bool:
    """Whether the class declares rules at all."""
    return bool(cls.record_transitions is not None or cls.record_terminal)


def refusal(cls: type, old: str, new: str) -> str:
    """Why the class does not allow this change of status, and what it does allow; empty where it does.

    All of them are compared as they are kept and shown, with secrets masked.
    """
    old, new = mask_text(old), mask_text(new)
    terminal: Iterable[str] = getattr(cls, "record_terminal", None) or ()
    rules: Mapping[str, Iterable[str]] | None = getattr(cls, "record_transitions", None)
    if old == new or (not old and (rules is None or "" not in rules)):
        return ""
    if old in {mask_text(str(s)) for s in terminal}:
        return f"{cls.__name__}: {old!r} is a terminal status; record.reopen({new!r}, reason=...) leaves it on purpose"
    if rules is None:
        return ""
    allowed = {mask_text(str(s)) for k, ways in rules.items() if mask_text(str(k)) == old for s in ways}
    if new in allowed:
        return ""
    ways = ", ".join(repr(s) for s in sorted(allowed)) or "nothing"
    return f"{cls.__name__}: {old!r} may be followed by {ways}, not by {new!r}"


def check(cls: type, old: str, new: str) -> None:
    """Whether the class allows this change of status.

    Raises:
        UsageError: it does not; the message says what is allowed.
    """
    if why := refusal(cls, str(old), str(new)):
        raise UsageError(why)


def error_of(exc: BaseException | str, kind: str, code: str) -> dict[str, str]:
    """A failure as a trace tells it.

    Args:
        exc: the exception, or what is wrong in words.
        kind: `business` for what the data is to blame for, `application` for what the program or its
            surroundings are.
        code: a short name that people gave this failure.
    """
    found = {"kind": str(kind), "code": _short(str(code)), "type": "", "message": "", "traceback": ""}
    if not isinstance(exc, BaseException):
        return {**found, "message": _short(str(exc))}
    found["type"] = type(exc).__name__
    try:
        found["message"] = _short(str(exc))
        lines = tb.format_exception(type(exc), exc, exc.__traceback__, limit=-_FRAMES)
        text = "".join(lines).rstrip()
        found["traceback"] = mask_text(clean(text if len(text) <= _TEXT else "..." + text[-_TEXT:]))
    except Exception as told:  # noqa: BLE001 - a foreign __str__ may raise anything
        found["message"] = found["message"] or f"(its text raised {type(told).__name__})"
    return found


def _short(text: str) -> str:
    text = mask_text(clean(text))
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}... ({len(text):,} characters)"


class Step:
    """A stage of a record's life, traced with its time and outcome when it ends.

    Attributes:
        outcome: `success`, or `failed` where the block raised; may be set inside the block.
        reason: shown with the trace; may be set inside the block.
    """

    def __init__(
        self, name: str, begin: Callable[[str], None], end: Callable[[str, str, dict[str, Any]], None]
    ) -> None:
        self.name = _short(str(name))
        self.outcome = ""
        self.reason = ""
        self._begin = begin
        self._end = end
        self._started = 0.0
        self._started_at = ""

    def __enter__(self) -> Step:
        self._started_at = datetime.now(timezone.utc).isoformat()
        self._started = time.monotonic()
        self._begin(self.name)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        told: dict[str, Any] = {
            "step": self.name,
            "outcome": _short(str(self.outcome or "")) or ("success" if exc is None else "failed"),
            "duration_ms": round((time.monotonic() - self._started) * 1000, 3),
            "started_at": self._started_at,
        }
        reason = self.reason
        if exc is not None:
            told["error"] = error_of(exc, "application", "")
            reason = reason or f"{told['error']['type']}: {told['error']['message']}"
        self._end(self.name, reason, told)
