"""What a run's events say of exceptions, versions and texts, cut to a sensible length."""

from __future__ import annotations

import platform
import traceback as tb
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prefect_trackrecord.journal.plain import clean

MAX_TEXT = 10_000
MAX_PARAMETER = 1_000
MAX_ITEMS = 100
TRACEBACK_TAIL = 4_000


def versions() -> dict[str, str]:
    """The versions that a run's metadata names."""
    found = {"python": platform.python_version()}
    for name in ("prefect-trackrecord", "prefect"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe(exc: BaseException) -> str:
    """An exception's message; its type's name where it has none."""
    try:
        text = str(exc)
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        text = ""
    return clean(text)[:MAX_TEXT] or type(exc).__name__


def traceback_tail(exc: BaseException) -> str:
    """The end of an exception's formatted traceback, at most `TRACEBACK_TAIL` characters."""
    try:
        text = "".join(tb.format_exception(type(exc), exc, exc.__traceback__))
    except Exception:  # noqa: BLE001 - formatting calls the exception's own methods
        return type(exc).__name__
    return clean(text[-TRACEBACK_TAIL:])


def text_or_none(value: Any, limit: int = MAX_PARAMETER) -> str | None:
    """`value` as text, cut at `limit` with its length told; None stays None."""
    if value is None:
        return None
    text = clean(value if isinstance(value, str) else str(value))
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text):,} characters)"
