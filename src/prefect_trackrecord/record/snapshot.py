"""A record's present values as plain JSON: fast where pydantic can say them, marked where nobody can."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple, get_args, get_origin
from uuid import UUID

import orjson
from pydantic import BaseModel

from prefect_trackrecord.journal.plain import plain
from prefect_trackrecord.record.differences import Differences, scalar_differences
from prefect_trackrecord.record.masking import Secret, mask_keys, same, settle

_DIGITS = bytes(48 if 48 <= n < 58 else n for n in range(256))
_WIDE = b"0" * 19
"""So many digits in a row may be an integer beyond 64 bits, which orjson reads as a float."""
_SCALARS = frozenset((str, int, float, bool, type(None), bytes))
_KNOWN = frozenset((*_SCALARS, list, dict, tuple, set, frozenset, datetime, date, time, timedelta, Decimal, UUID))
_unsure: dict[type[BaseModel], tuple[str, ...]] = {}
_LOOKED_AT = 256
"""Items of one list in which iterators are looked for, and how deep."""
_DEPTH = 6


class Snapshot(NamedTuple):
    """A record's values at one moment.

    Attributes:
        values: plain and masked.
        text: `values` as JSON text.
        odd: fields that could not be said in JSON and are kept as their repr, marked.
        changed: those of `values` that differ from an earlier snapshot's; None: any of them may.
        secrets: what is masked in `values`, by its path.
        truths: there may be truth values in `values`, or in those of the earlier snapshot.
        found: the differences themselves, where those are known already.
    """

    values: dict[str, Any]
    text: str
    odd: tuple[str, ...] = ()
    changed: dict[str, Any] | None = None
    secrets: dict[str, Secret] | None = None
    truths: bool = True
    found: Differences | None = None


def raw_of(record: BaseModel, *, deep: bool = False) -> bytes | None:
    """The record as JSON, secrets and all; None where some value can't be JSON.

    Args:
        record: the record.
        deep: look for iterators inside of its values, too (see `holds_iterator`).
    """
    own = record.__dict__
    unsure = _unsure.get(type(record))
    for name in _unsure_of(type(record)) if unsure is None else unsure:
        if hasattr(own.get(name), "__next__"):
            return None
    if deep and holds_iterator(own):
        return None
    try:
        return record.__pydantic_serializer__.to_json(record, warnings=False)
    except Exception:  # noqa: BLE001 - a foreign value's own serialiser may raise anything
        return None


def _unsure_of(cls: type[BaseModel]) -> tuple[str, ...]:
    """The fields that may hold an iterator."""
    found = tuple(name for name, field in cls.model_fields.items() if not _is_known(field.annotation))
    if cls.__pydantic_complete__:
        _unsure[cls] = found
    return found


def _is_known(annotation: Any) -> bool:
    kind = get_origin(annotation) or annotation
    if isinstance(kind, type):
        return kind in _KNOWN or issubclass(kind, BaseModel | str)
    parts = get_args(annotation)
    return bool(parts) and all(_is_known(part) for part in parts)


def holds_iterator(value: Any, depth: int = _DEPTH) -> bool:
    """Whether there is an iterator in a value: pydantic would read it to its end, and the program find it empty."""
    kind = type(value)
    if kind in _SCALARS or depth < 0:
        return False
    if kind is list or kind is tuple:
        return any(holds_iterator(item, depth - 1) for item in islice(value, _LOOKED_AT))
    if kind is dict:
        return any(holds_iterator(item, depth - 1) for item in islice(value.values(), _LOOKED_AT))
    if isinstance(value, BaseModel):
        return holds_iterator(value.__dict__, depth - 1)
    return hasattr(kind, "__next__")


def snapshot(
    record: BaseModel,
    raw: bytes | None = None,
    before: dict[str, Any] | None = None,
    *,
    truths: bool = True,
    text: str | None = None,
) -> Snapshot:
    """The record's values, whatever they are. Never raises.

    Args:
        record: the record.
        raw: what `raw_of` gave just now, if it was asked already.
        before: the values of an earlier snapshot: what equals them is free of secrets, or masked, already.
        truths: there may be truth values in `before`.
        text: `raw` as text, where that is known already.
    """
    if raw is None:
        raw = raw_of(record, deep=True)
    if raw is not None:
        values = _loaded(raw)  # None for NaN and infinity, which pydantic writes and JSON does not know
        if values is not None:
            text = text or raw.decode()
            truths = truths or has_truths(text)
            renamed = mask_keys(values)  # where a class takes any field
            if (
                before is not None
                and not renamed
                and (found := scalar_differences(before, values, truths=truths)) is not None
            ):
                return Snapshot(values, text, (), None, None, truths, found)
            fresh = values if before is None else _unlike(values, before, truths)
            secrets, sorted_any = settle(fresh, record.__dict__, before, truths=truths)
            if secrets is None and not sorted_any and not renamed:
                return Snapshot(values, text, (), fresh, None, truths)
            values.update(fresh)
            # What is secret differs from its mask, and a set from its order, also where it is the one of before.
            fresh = fresh if before is None else _unlike(fresh, before, truths)
            return Snapshot(values, orjson.dumps(values).decode(), (), fresh, secrets, truths)
    return _piece_by_piece(record)


def _unlike(values: dict[str, Any], before: dict[str, Any], truths: bool) -> dict[str, Any]:
    if truths:
        return {k: v for k, v in values.items() if not same(v, before.get(k))}
    known = before.get  # Python's own comparing will do
    return {k: v for k, v in values.items() if v != known(k)}


def has_truths(text: str) -> bool:
    """Whether there may be truth values in this JSON, which equal numbers for Python."""
    return "true" in text or "false" in text


def _piece_by_piece(record: BaseModel) -> Snapshot:
    values: dict[str, Any] = {}
    odd = []
    whole: dict[str, Any] = {}
    for name in type(record).model_fields:
        if name not in record.__dict__:
            continue
        try:
            if holds_iterator(record.__dict__[name]):
                raise TypeError("an iterator")
            piece = _loaded(record.__pydantic_serializer__.to_json(record, include={name}, warnings=False))
            if piece is None:
                raise TypeError("not finite, or a serializer of the whole record")
            whole.update(piece)
        except Exception:  # noqa: BLE001 - as in `raw_of`
            whole[name] = plain({name: record.__dict__[name]})[name]
            odd.append(name)
    values = plain(whole)
    secrets, _ = settle(values)
    text = orjson.dumps(values)
    return Snapshot(values, text.decode(), tuple(odd), None, secrets)


def plain_value(name: str, value: Any) -> Any:
    """One field's value, plain and masked as in a snapshot's `values`."""
    found: Any = plain({name: value})
    return found[name]


def parsed(text: str | bytes) -> dict[str, Any]:
    """The values of a snapshot's text; empty for what is none."""
    return _loaded(text.encode("utf-8", "replace") if isinstance(text, str) else text) or {}


def _loaded(raw: bytes) -> dict[str, Any] | None:
    """A JSON object, its integers beyond 64 bits marked as `plain` marks them; None for what is no such object."""
    try:
        if _WIDE in raw.translate(_DIGITS):
            values = json.loads(raw, parse_int=_int, parse_constant=_refused)
        else:
            values = orjson.loads(raw)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _int(digits: str) -> Any:
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else {"__type__": "builtins.int", "__repr__": digits}


def _refused(name: str) -> Any:
    raise ValueError(name)
