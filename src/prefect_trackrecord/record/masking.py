"""Plain values settled in place: secrets masked (by keys, by type, in texts), and sets in an order.

Of each secret a number is given that tells whether it is the same as before. It is made with a key that only this
process has, and never leaves its memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from prefect_trackrecord.journal.masking import MASK, mask_text, masked_word, may_hold_secret
from prefect_trackrecord.journal.naming import mask_name
from prefect_trackrecord.journal.secret_names import is_secret_name, named_secret, secret_pairs
from prefect_trackrecord.record.paths import joined, under

PYDANTIC_MASK = "**********"
_secret: dict[str, bool] = {}
_plain_keys: set[str] = set()
_MOST = 10_000
"""Keys that are remembered: those that are made from data must not fill the memory."""


class Secret(NamedTuple):
    """A secret's number, and what is shown in its place."""

    number: int
    shown: Any


def is_secret(key: str, value: Any) -> bool:
    """Whether a text, number or null below this key may be secret, or hold a secret."""
    try:
        secret = _secret[key]
    except KeyError:
        secret = _learn(key)
    return secret or (type(value) is str and (value == PYDANTIC_MASK or may_hold_secret(value)))


def mask_keys(values: dict[str, Any]) -> bool:
    """Mask the secrets that are in keys themselves, in place; whether there are some."""
    if values.keys() <= _plain_keys:
        return False
    shown = {}
    for key in values:
        if key not in _plain_keys:
            if (masked := mask_name(key)) != key:
                shown[key] = masked
                continue
            if len(_plain_keys) > _MOST:
                _plain_keys.clear()
            _plain_keys.add(key)
    if shown:
        items = [(shown.get(key, key), value) for key, value in values.items()]
        values.clear()
        values.update(items)
    return bool(shown)


def settle(
    values: dict[str, Any], own: Any = None, before: dict[str, Any] | None = None, *, truths: bool = True
) -> tuple[dict[str, Secret] | None, bool]:
    """Mask what is secret and sort what is a set, in place: each process has its own order of a set.

    Args:
        values: plain values.
        own: the object that they were made from.
        before: settled values of before; what equals them is settled already.
        truths: there may be truth values, which equal numbers for Python.

    Returns:
        Every secret by its path, None where there is none; and whether there was a set, or a secret in a key.
    """
    found: dict[str, Secret] | None = None
    sorted_any = mask_keys(values)
    parts: Any = own if type(own) is dict else getattr(own, "__dict__", None)
    named = named_secret(values)
    for key, value in values.items():
        old = None
        if before is not None:
            old = before.get(key)
            if value == old and (not truths or same(value, old)):
                continue
        try:
            secret = _secret[key]
        except KeyError:
            secret = _learn(key)
        if (secret or key == named) and value not in (None, "", False):
            if type(value) is list and type(parts) is dict and isinstance(parts.get(key), set | frozenset):
                value.sort(key=orjson.dumps)  # or its number would change with the set's order
            values[key] = MASK
            found = {**(found or {}), under("", key): Secret(_number(value), MASK)}
            continue
        kind = type(value)
        if kind is str:
            if (value == PYDANTIC_MASK or may_hold_secret(value)) and (one := _masked(values, key, value)) is not None:
                found = {**(found or {}), under("", key): one}
        elif kind is dict or kind is list:
            inside, mixed = _inside(value, parts.get(key) if type(parts) is dict else None, old, truths)
            sorted_any |= mixed
            if inside is not None:
                path = under("", key)
                found = {**(found or {}), **{joined(path, tail): one for tail, one in inside.items()}}
    return found, sorted_any


def _inside(value: Any, own: Any, before: Any, truths: bool) -> tuple[dict[str, Secret] | None, bool]:
    """`settle` for what is inside of one value."""
    if type(value) is dict:
        return settle(value, own, before if type(before) is dict else None, truths=truths)
    found: dict[str, Secret] | None = None
    mixed = isinstance(own, set | frozenset)
    if mixed:
        value.sort(key=orjson.dumps)
    reals = own if type(own) is list or type(own) is tuple else ()
    for n in secret_pairs(value):
        found = {**(found or {}), f"[{n}][1]": Secret(_number(value[n][1]), MASK)}
        value[n][1] = MASK
    option = None
    for n, item in enumerate(value):
        kind = type(item)
        if option is not None and (shown := masked_word(item, option)) is not item:
            value[n] = shown
            found = {**(found or {}), f"[{n}]": Secret(_number(item), shown)}
            option = None
            continue
        option = item if kind is str and item[:1] == "-" else None
        if kind is str:
            if (item == PYDANTIC_MASK or may_hold_secret(item)) and (one := _masked(value, n, item)) is not None:
                found = {**(found or {}), f"[{n}]": one}
        elif kind is dict or kind is list:
            inside, mixed_too = _inside(item, reals[n] if n < len(reals) else None, None, truths)
            mixed |= mixed_too
            if inside is not None:
                found = {**(found or {}), **{joined(f"[{n}]", tail): one for tail, one in inside.items()}}
    return found, mixed


def _masked(holder: Any, key: Any, value: str) -> Secret | None:
    masked = MASK if value == PYDANTIC_MASK else mask_text(value)
    if masked == value:
        return None
    holder[key] = masked
    return Secret(_number(value), masked)


def _number(value: Any) -> int:
    return hash(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))  # Python's own, keyed anew in each process


def _learn(key: str) -> bool:
    if len(_secret) > _MOST:
        _secret.clear()
    return _secret.setdefault(key, is_secret_name(key))


def same(new: Any, old: Any) -> bool:
    """Whether two plain values are equal, the truth values in them too: `True` is not `1`."""
    kind = type(new)
    if new != old or (kind is not type(old) and (kind is bool or type(old) is bool)):
        return False
    return not (kind is dict or kind is list) or not new or orjson.dumps(new) == orjson.dumps(old)
