"""What a reader of many documents wants of each, and what an index keeps of it: bytes, models, or facts for sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import orjson
from pydantic import ValidationError

from prefect_trackrecord.documents import projection
from prefect_trackrecord.documents.models import RunMetadata

T = TypeVar("T")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """One way of reading.

    Attributes:
        folder: the folder of its indexes, below that of all of them. It tells the format: readers of another version
            of this package have another folder, so that neither spoils the other's.
        make: what is wanted of a document's bytes; a ValueError says that they are damaged.
        line: the line that an index keeps of it and its bytes; None for what no index takes.
        back: what is wanted of each of such lines, a line that is damaged as its error.
    """

    folder: str
    make: Callable[[bytes], T]
    line: Callable[[T, bytes], bytes | None]
    back: Callable[[bytes], Iterable[T | Exception]]


def _minified(_: object, data: bytes) -> bytes | None:
    """A document without its line breaks and indents; None for one that is no JSON, which no index takes."""
    try:
        orjson.loads(data)
    except ValueError:
        return None
    return b"".join(line.strip() for line in data.split(b"\n"))


def _model(data: bytes) -> RunMetadata | Exception:
    try:
        return RunMetadata.model_validate_json(data)
    except ValidationError as exc:
        return exc


_WHOLE = "documents-2"
BYTES: Kind[bytes] = Kind(_WHOLE, lambda data: data, _minified, lambda lines: lines.split(b"\n"))
"""The bytes, but for the white space between a document's values."""

MODELS: Kind[RunMetadata] = Kind(
    _WHOLE, RunMetadata.model_validate_json, _minified, lambda lines: map(_model, lines.split(b"\n"))
)
"""Runs with all that their documents say."""

FACTS: Kind[RunMetadata] = Kind(
    f"facts-{projection.VERSION}", projection.facts, lambda run, _: projection.to_line(run), projection.of_lines
)
"""Runs with what sums and lists are made of; see `projection`."""
