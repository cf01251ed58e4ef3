"""Secrets of plain values, masked in place: by the names of keys, by type, and in the passwords of URLs.

Of each secret a number is given that tells whether it is the same as before. It is made with a key that only this
process has, and never leaves its memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from prefect_trackrecord.journal.plain import MASK, is_secret_name, mask_text
from prefect_trackrecord.record.paths import joined, quoted, under

PYDANTIC_MASK = "**********"
_secret: dict[str, bool] = {}


class Secret(NamedTuple):
    """A secret's number, and what is shown in its place."""

    number: int
    shown: Any


def mask(values: dict[str, Any]) -> dict[str, Secret] | None:
    """Mask what is secret in `values`; gives every secret by its path, None where there is none."""
    found: dict[str, Secret] | None = None
    for key, value in values.items():
        try:
            secret = _secret[key]
        except KeyError:
            secret = _learn(key)
        if secret and value not in (None, "", False):
            values[key] = MASK
            found = {**(found or {}), under("", key): Secret(_number(value), MASK)}
        elif (inside := _inside(values, key, value)) is not None:
            path = under("", key)
            found = {**(found or {}), **{joined(path, tail) if tail else path: one for tail, one in inside.items()}}
    return found


def _mask_items(items: list[Any]) -> dict[str, Secret] | None:
    found: dict[str, Secret] | None = None
    for n, value in enumerate(items):
        if (inside := _inside(items, n, value)) is not None:
            path = f"[{quoted(n)}]"
            found = {**(found or {}), **{joined(path, tail) if tail else path: one for tail, one in inside.items()}}
    return found


def _inside(holder: Any, key: Any, value: Any) -> dict[str, Secret] | None:
    """Secrets in one value, by their paths below it."""
    kind = type(value)
    if kind is str:
        if "://" not in value and value != PYDANTIC_MASK:
            return None
        masked = MASK if value == PYDANTIC_MASK else mask_text(value)
        if masked == value:
            return None
        holder[key] = masked
        return {"": Secret(_number(value), masked)}
    if kind is dict:
        return mask(value)
    return _mask_items(value) if kind is list else None


def _number(value: Any) -> int:
    return hash(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))  # Python's own, keyed anew in each process


def _learn(key: str) -> bool:
    if len(_secret) > 10_000:  # keys made from data must not fill the memory
        _secret.clear()
    return _secret.setdefault(key, is_secret_name(key))
