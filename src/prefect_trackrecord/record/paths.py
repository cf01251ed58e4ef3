"""Paths of places in a record: dotted, a key that is no plain word in brackets, so that no two places share one."""

from __future__ import annotations

import re
from typing import Any

import orjson

_WORD = re.compile(r"[^\W\d][\w-]*\Z")
_words: dict[str, bool] = {}


def under(path: str, key: str) -> str:
    """The path of a key below a path; below nothing, it is the key's own."""
    word = _words.get(key)
    if word is None:
        if len(_words) > 10_000:  # keys made from data must not fill the memory
            _words.clear()
        word = _words[key] = _WORD.match(key) is not None
    if word:
        return f"{path}.{key}" if path else key
    return f"{path}[{quoted(key)}]"


def joined(head: str, tail: str) -> str:
    """A path that goes on with another one."""
    return f"{head}{tail}" if tail.startswith("[") else f"{head}.{tail}"


def quoted(value: Any) -> str:
    """A key or a position as it stands in brackets."""
    return orjson.dumps(value).decode()
