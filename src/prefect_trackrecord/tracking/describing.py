"""What a run's events say of exceptions, versions and texts, cut to a sensible length."""

from __future__ import annotations

import functools
import math
import os
import platform
import traceback as tb
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from prefect_trackrecord.journal.masking import may_hold_secret
from prefect_trackrecord.journal.plain import clean, mask_text, text_of

MAX_TEXT = 10_000
MAX_PARAMETER = 1_000
MAX_ITEMS = 100
TRACEBACK_TAIL = 4_000


def versions() -> dict[str, str]:
    """The versions that a run's metadata names."""
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    """Read once: it takes longer than all else that a small run's start costs."""
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
    return mask_text(clean(text))[:MAX_TEXT] or type(exc).__name__


def traceback_tail(exc: BaseException) -> str:
    """The end of an exception's formatted traceback, at most `TRACEBACK_TAIL` characters."""
    try:
        text = "".join(tb.format_exception(type(exc), exc, exc.__traceback__))
    except Exception:  # noqa: BLE001 - formatting calls the exception's own methods
        return type(exc).__name__
    return mask_text(clean(text[-TRACEBACK_TAIL:]))


def text_or_none(value: Any, limit: int = MAX_PARAMETER) -> str | None:
    """`value` as text, its secrets masked, cut at `limit` with its length told; None stays None."""
    if value is None:
        return None
    text = masked(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text):,} characters)"


def masked(value: Any) -> str:
    """Any value as text, its secrets masked."""
    if type(value) is str and value.isascii() and not may_hold_secret(value):
        return value  # nothing in it to mask or to mend; most paths are such
    return mask_text(as_text(value))


def as_text(value: Any) -> str:
    """Any value as text: paths and bytes by the file system's encoding, the rest by `str`; never raises."""
    if isinstance(value, str):
        return clean(value)
    try:
        if isinstance(value, bytes | os.PathLike):
            return clean(os.fsdecode(value))
        return clean(str(value))
    except Exception:  # noqa: BLE001 - a foreign __str__ or __fspath__ may raise anything
        return text_of(value)


def number(value: Any) -> float | None:
    """`value` as a finite number; None where it is none."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
