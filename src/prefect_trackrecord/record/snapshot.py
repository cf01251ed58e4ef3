"""A record's present values as plain JSON: fast where pydantic can say them, marked where nobody can."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel

from prefect_trackrecord.journal.plain import plain
from prefect_trackrecord.record.masking import Secret, mask


class Snapshot(NamedTuple):
    """A record's values at one moment.

    Attributes:
        values: plain and masked.
        text: `values` as JSON text.
        odd: fields that could not be said in JSON and are kept as their repr, marked.
        changed: those of `values` that differ from an earlier snapshot's; None: any of them may.
        secrets: what is masked in `values`, by its path.
        truths: there may be truth values in `values`, or in those of the earlier snapshot.
    """

    values: dict[str, Any]
    text: str
    odd: tuple[str, ...] = ()
    changed: dict[str, Any] | None = None
    secrets: dict[str, Secret] | None = None
    truths: bool = True


def raw_of(record: BaseModel) -> bytes | None:
    """The record as JSON, secrets and all; None where some value can't be JSON."""
    try:
        return record.__pydantic_serializer__.to_json(record, warnings=False)
    except Exception:  # noqa: BLE001 - a foreign value's own serialiser may raise anything
        return None


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
        raw = raw_of(record)
    if raw is not None:
        try:
            values = orjson.loads(raw)
        except ValueError:  # NaN and infinity, which pydantic writes and JSON does not know
            values = None
        if isinstance(values, dict):
            truths = truths or has_truths(raw)
            fresh = values if before is None else _unlike(values, before, truths)
            own = record.__dict__
            mixed = False
            for name, value in fresh.items():
                if type(value) is list or type(value) is dict:
                    mixed |= _sets_in_order(value, own.get(name))
            secrets = mask(fresh)
            if secrets is None and not mixed:
                return Snapshot(values, text or raw.decode(), (), fresh, None, truths)
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


def _sets_in_order(value: Any, real: Any) -> bool:
    """Sort what is a set in the record: each process has its own order of it. Gives whether there was one."""
    found = False
    if type(value) is list:
        if isinstance(real, set | frozenset):
            value.sort(key=orjson.dumps)
            return True
        if type(real) is not list and type(real) is not tuple:
            return False
        for inner, one in zip(value, real, strict=False):
            if type(inner) is list or type(inner) is dict:
                found |= _sets_in_order(inner, one)
        return found
    parts = real if type(real) is dict else getattr(real, "__dict__", None)
    if type(parts) is dict:
        for name, inner in value.items():
            if type(inner) is list or type(inner) is dict:
                found |= _sets_in_order(inner, parts.get(name))
    return found


def has_truths(text: bytes) -> bool:
    """Whether there may be truth values in this JSON, which equal numbers for Python."""
    return b"true" in text or b"false" in text


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
    secrets = mask(values)
    text = orjson.dumps(values)
    return Snapshot(values, text.decode(), tuple(odd), None, secrets)


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
