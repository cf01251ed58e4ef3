"""Documents as bytes, and their conditional writes: each is the document that was there before, or the new one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.documents.sheet import Sheet
from prefect_trackrecord.store.base import Store, TakesFiles

Write = Callable[[], str]
"""Writes a document unless somebody has changed it since this was made; returns its etag.

Raises:
    ConflictError: somebody has.
"""


def document(store: Store, key: str, body: bytes, known: Mapping[str, str | None]) -> Write:
    """Look at a document's etag now; what is returned writes it on that condition.

    Args:
        store: where to.
        key: the document's.
        body: its bytes.
        known: etags by key that need no look; None for a document that is not there.
    """
    if key in known:
        return lambda: store.replace(key, body, known[key])
    old = store.get(key)

    def write() -> str:
        if old is not None and old.data == body:
            return old.etag
        return store.replace(key, body, old.etag if old else None)

    return write


def rows_document(store: Store, key: str, rows: Sheet, known: Mapping[str, str | None]) -> Write:
    """As `document`, of rows that may be too many for memory: a store that can takes them from their file."""
    if not rows.large or not isinstance(store, TakesFiles):
        return document(store, key, rows.body(), known)
    etag = known[key] if key in known else store.etag(key)
    return lambda: store.replace_file(key, rows.file, etag)


def pieces(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """A list document: a JSON array, one row a line, so that people and line tools can read it."""
    start = b"[\n"
    for row in rows:
        yield start + orjson.dumps(row, option=orjson.OPT_NON_STR_KEYS)
        start = b",\n"
    yield b"\n]\n" if start == b",\n" else b"[\n\n]\n"


def dump_rows(rows: Iterable[dict[str, Any]]) -> bytes:
    """A list document whole; see `pieces`."""
    return b"".join(pieces(rows))


def dump_model(run: RunMetadata) -> bytes:
    """A run's document: indented JSON."""
    return orjson.dumps(run.model_dump(mode="json"), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
