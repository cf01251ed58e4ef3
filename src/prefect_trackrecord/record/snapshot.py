"""A record's present values as plain JSON: fast where pydantic can say them, marked where nobody can."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel

from prefect_trackrecord.journal.plain import MASK, is_secret_name, mask_text, plain

_PYDANTIC_MASK = "**********"
_secret: dict[str, bool] = {}


class Snapshot(NamedTuple):
    """A record's values at one moment.

    Attributes:
        values: plain and masked.
        text: `values` as JSON text.
        odd: fields that could not be said in JSON and are kept as their repr, marked.
        changed: those of `values` that may differ from an earlier snapshot's; None: any of them may.
    """

    values: dict[str, Any]
    text: str
    odd: tuple[str, ...] = ()
    changed: dict[str, Any] | None = None


def raw_of(record: BaseModel) -> bytes | None:
    """The record as JSON, secrets and all; None where some value can't be JSON."""
    try:
        return record.__pydantic_serializer__.to_json(record, warnings=False)
    except Exception:  # noqa: BLE001 - a foreign value's own serialiser may raise anything
        return None


def snapshot(record: BaseModel, raw: bytes | None = None, before: dict[str, Any] | None = None) -> Snapshot:
    """The record's values, whatever they are. Never raises.

    Args:
        record: the record.
        raw: what `raw_of` gave just now, if it was asked already.
        before: the values of an earlier snapshot: what equals them is free of secrets, or masked, already.
    """
    if raw is None:
        raw = raw_of(record)
    if raw is not None:
        try:
            values = orjson.loads(raw)
        except ValueError:  # NaN and infinity, which pydantic writes and JSON does not know
            values = None
        if isinstance(values, dict):
            fresh = {k: v for k, v in values.items() if not same(v, before.get(k))} if before else values
            if not _masked(fresh):
                return Snapshot(values, raw.decode(), (), fresh)
            values.update(fresh)
            return Snapshot(values, orjson.dumps(values).decode(), (), fresh)
    return _piece_by_piece(record)


def same(new: Any, old: Any) -> bool:
    """Whether two plain values are equal, the truth values in them too: `True` is not `1`."""
    kind = type(new)
    if new != old or (kind is not type(old) and (kind is bool or type(old) is bool)):
        return False
    return not (kind is dict or kind is list) or not new or orjson.dumps(new) == orjson.dumps(old)


def _piece_by_piece(record: BaseModel) -> Snapshot:
    values: dict[str, Any] = {}
    odd = []
    whole: dict[str, Any] = {}
    for name in type(record).model_fields:
        if name not in record.__dict__:
            continue
        try:
            piece = orjson.loads(record.__pydantic_serializer__.to_json(record, include={name}, warnings=False))
            if not isinstance(piece, dict):
                raise TypeError("a serializer of the whole record")
            whole.update(piece)
        except Exception:  # noqa: BLE001 - as in `raw_of`
            whole[name] = plain({name: record.__dict__[name]})[name]
            odd.append(name)
    values = plain(whole)
    _masked(values)
    text = orjson.dumps(values)
    return Snapshot(values, text.decode(), tuple(odd))


def plain_value(name: str, value: Any) -> Any:
    """One field's value, plain and masked as in a snapshot's `values`."""
    found: Any = plain({name: value})
    return found[name]


def parsed(text: str | bytes) -> dict[str, Any]:
    """The values of a snapshot's text; empty for what is none."""
    try:
        values = orjson.loads(text)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _masked(values: dict[str, Any]) -> bool:
    """Mask secrets in place, by the names of keys and in the passwords of URLs; whether there were any."""
    found = False
    for key, value in values.items():
        try:
            secret = _secret[key]
        except KeyError:
            secret = _learn(key)
        if secret and value not in (None, "", False):
            values[key] = MASK
            found = True
        elif type(value) is str:
            if "://" in value or value == _PYDANTIC_MASK:
                found |= _mask_text(values, key, value)
        elif type(value) is dict:
            found |= _masked(value)
        elif type(value) is list:
            found |= _mask_items(value)
    return found


def _mask_items(items: list[Any]) -> bool:
    found = False
    for n, value in enumerate(items):
        if type(value) is str:
            if "://" in value or value == _PYDANTIC_MASK:
                found |= _mask_text(items, n, value)
        elif type(value) is dict:
            found |= _masked(value)
        elif type(value) is list:
            found |= _mask_items(value)
    return found


def _mask_text(holder: Any, key: Any, value: str) -> bool:
    masked = MASK if value == _PYDANTIC_MASK else mask_text(value)
    if masked == value:
        return False
    holder[key] = masked
    return True


def _learn(key: str) -> bool:
    if len(_secret) > 10_000:  # keys made from data must not fill the memory
        _secret.clear()
    return _secret.setdefault(key, is_secret_name(key))
