"""Any value as plain JSON with its secrets masked; what can't be JSON is kept as its repr, marked.

A marked value is `{"__type__": "module.Class", "__repr__": "..."}`, so that a reader can tell it from a value that
was a dict to begin with.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.types import Secret

from prefect_trackrecord.journal.masking import MASK, mask_text, masked_word
from prefect_trackrecord.journal.naming import mask_name
from prefect_trackrecord.journal.secret_names import is_secret_name, named_secret, secret_pairs

__all__ = ["MASK", "MAX_DEPTH", "MAX_REPR", "clean", "is_secret_name", "mask_text", "plain", "text_of"]

MAX_DEPTH = 32
MAX_REPR = 500

_SECRET_TYPES = (SecretStr, SecretBytes, Secret)


def plain(value: Any, *, mask: bool = True, max_text: int | None = None, max_items: int | None = None) -> Any:
    """`value` as JSON types only; never raises.

    Args:
        value: anything.
        mask: replace secrets (by name of the key or field, by type, by what is around them in a text) with `MASK`.
        max_text: cut longer strings and say how long they were.
        max_items: cut longer lists and dicts and say how long they were.
    """
    return _Plain(mask, max_text, max_items)(value, 0)


def text_of(value: Any, limit: int = MAX_REPR) -> str:
    """`repr(value)`, cut at `limit`; the repr's own failure is told instead of raised."""
    try:
        text = repr(value)
    except Exception as exc:  # noqa: BLE001 - a foreign __repr__ may raise anything
        text = f"<{type(value).__name__}, repr() raised {type(exc).__name__}>"
    text = clean(text)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text):,} characters)"


def clean(text: str) -> str:
    """`text` without lone surrogates, which UTF-8 can't hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text


class _Plain:
    def __init__(self, mask: bool, max_text: int | None, max_items: int | None) -> None:
        self.mask, self.max_text, self.max_items = mask, max_text, max_items
        self.inside: set[int] = set()

    def __call__(self, value: Any, depth: int) -> Any:
        if value is None or value is True or value is False:
            return value
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind is int:
            return value if -(2**53) <= value <= 2**53 else self.marked(value)
        if kind is float:
            return value if math.isfinite(value) else self.marked(value)
        try:
            return self.other(value, depth)
        except Exception as exc:  # noqa: BLE001 - a foreign value's methods may raise anything
            return {**self.marked(value), "__error__": f"{type(exc).__name__}"}

    def text(self, value: str) -> str:
        value = clean(str(value))
        return self.cut(mask_text(value) if self.mask else value)

    def key(self, value: str) -> str:
        value = clean(str(value))
        return self.cut(mask_name(value) if self.mask else value)

    def cut(self, value: str) -> str:
        if self.max_text is not None and len(value) > self.max_text:
            return f"{value[: self.max_text]}... ({len(value):,} characters)"
        return value

    def marked(self, value: Any) -> dict[str, Any]:
        kind = type(value)
        text = text_of(value)
        return {
            "__type__": f"{kind.__module__}.{kind.__qualname__}",
            "__repr__": mask_text(text) if self.mask else text,
        }

    def other(self, value: Any, depth: int) -> Any:
        if isinstance(value, _SECRET_TYPES):
            return MASK
        if isinstance(value, Enum):
            return self(value.value, depth)
        if isinstance(value, bool | int | float):  # subclasses: numpy scalars are not among them
            base = next(t for t in (bool, int, float) if isinstance(value, t))
            return self(base(value), depth)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, datetime | date | time):
            return value.isoformat()
        if isinstance(value, timedelta):
            return value.total_seconds()
        if isinstance(value, UUID | PurePath | Decimal):
            return self.text(str(value))
        if isinstance(value, bytes | bytearray | memoryview):
            return {"__type__": "bytes", "__repr__": f"{len(value):,} bytes"}
        if depth >= MAX_DEPTH or id(value) in self.inside:
            return {"__type__": type(value).__name__, "__repr__": "..."}
        self.inside.add(id(value))
        try:
            return self.container(value, depth + 1)
        finally:
            self.inside.discard(id(value))

    def container(self, value: Any, depth: int) -> Any:
        if isinstance(value, BaseModel):
            return self.mapping({n: getattr(value, n, None) for n in type(value).model_fields}, depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self.mapping({f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}, depth)
        if isinstance(value, Mapping):
            return self.mapping(value, depth)
        if isinstance(value, AbstractSet):
            return self.items(sorted(value, key=lambda v: (type(v).__name__, text_of(v))), depth)
        if isinstance(value, list | tuple):
            return self.items(list(value), depth)
        if hasattr(value, "item") and getattr(value, "shape", None) == ():
            return self(value.item(), depth)  # numpy and friends: a scalar of theirs
        return self.marked(value)

    def items(self, values: list[Any], depth: int) -> list[Any]:
        cut = self.max_items is not None and len(values) > self.max_items
        kept = [self(v, depth) for v in (values[: self.max_items] if cut else values)]
        for n in secret_pairs(values[: len(kept)]) if self.mask else ():
            kept[n] = [self.text(str(values[n][0])), MASK]
        if self.mask and any(type(v) is str and v[:1] == "-" for v in kept):  # as a command line is kept
            kept[1:] = [masked_word(v, before) for before, v in itertools.pairwise(kept)]
        if cut:
            kept.append({"__type__": "cut", "__repr__": f"{len(values):,} items"})
        return kept

    def mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        named = named_secret(value) if self.mask else None
        for n, (key, item) in enumerate(value.items()):
            if self.max_items is not None and n >= self.max_items:
                out["__cut__"] = f"{len(value):,} items"
                break
            name = self.key(key) if isinstance(key, str) else self.text(str(self(key, depth)))
            hidden = self.mask and (name == named or is_secret_name(name)) and item not in (None, "", False)
            out[name] = MASK if hidden else self(item, depth)
        return out
