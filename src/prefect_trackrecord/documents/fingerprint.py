"""Which errors are the same one: type, message without its particulars, and place."""

from __future__ import annotations

import functools
import hashlib
import re

_FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line \d+, in (?P<name>.+)$', re.MULTILINE)
# Order matters: what is longest and most particular first, so that a later rule does not cut it up.
_RULES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>)\]]+", "<url>"),
        (r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b", "<uuid>"),
        (r"[\w.+-]+@[\w-]+\.[\w.-]+", "<email>"),
        (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", "<time>"),
        (r"0x[0-9a-fA-F]+", "<hex>"),
        (r"\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{12,}\b", "<hex>"),
        (r"(?:[A-Za-z]:)?(?:[\\/][^\s\\/'\":,;()<>]+){2,}[\\/]?", "<path>"),
        (r"\b[\w-]+\.(?:py|json|csv|txt|pdf|wav|mp3|xml|xlsx?|html?|ya?ml|parquet|zip|gz)\b", "<file>"),
        (r"'[^']{1,200}'|\"[^\"]{1,200}\"", "<text>"),
        (r"(?<![A-Za-z])[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?", "<n>"),
    )
)
_ONES = str.maketrans("0123456789", "1111111111")
_KEPT = 4096
MAX_MESSAGE = 500


def normalise_message(text: str | None) -> str:
    """The message with URLs, ids, addresses, times, paths, quoted texts and numbers replaced by what they are.

    Long messages are cut at 500 characters first: what tells two errors apart stands at their start.
    """
    text = (text or "").strip()[:MAX_MESSAGE]
    if "0x" not in text and "mp3" not in text:  # else no rule tells one digit from another
        found = _normalised(text.translate(_ONES))
        if "1" not in found:
            return found
    return _normalised(text)


@functools.lru_cache(_KEPT)
def _normalised(text: str) -> str:
    for pattern, name in _RULES:
        text = pattern.sub(name, text)
    return " ".join(text.split())


def place_of(traceback: str | None) -> str:
    """Where an error arose: `file.py:function` of the innermost frame of a formatted traceback, or ""."""
    text = traceback or ""
    at = text.rfind('File "')
    while at >= 0:
        found = _FRAME.match(text, text.rfind("\n", 0, at) + 1)
        if found:
            file, name = found["file"], found["name"]
            return f"{file.replace(chr(92), '/').rsplit('/', 1)[-1]}:{name}"
        at = text.rfind('File "', 0, at)
    return ""


def error_fingerprint(error_type: str | None, message: str | None, place: str | None = None) -> str:
    """16 hex digits that are equal for equal errors.

    The first 64 bits of the SHA-256 of type, normalised message and place, joined by NUL. The line number is not
    part of it, so that an edit above the place makes no new error.
    """
    return _digest(error_type or "", normalise_message(message), place or "")


@functools.lru_cache(_KEPT)
def _digest(*parts: str) -> str:
    body = "\0".join(parts)
    return hashlib.sha256(body.encode("utf-8", "replace")).hexdigest()[:16]
