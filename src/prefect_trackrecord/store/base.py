"""The contract of a store: bytes at keys, with exclusive create and compare-and-swap.

A key is a relative path with forward slashes, without control characters and empty parts; no part starts with
a dot. Any other key is a ValueError, and foreign files with such names are not listed. An etag is an opaque
string that changes whenever the object gets other content. All methods are synchronous and safe to call from
any thread.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, runtime_checkable

from prefect_trackrecord.settings import Durability


class Entry(NamedTuple):
    """One object of a listing: its key, size in bytes, and etag (equal to that of a `get`)."""

    key: str
    size: int
    etag: str


class Blob(NamedTuple):
    """An object's bytes with the etag that they had."""

    data: bytes
    etag: str


@runtime_checkable
class Store(Protocol):
    """Where documents live. Raises only `StoreError`s; a driver's own errors are mapped at its edge."""

    @property
    def url(self) -> str:
        """Where it is, in canonical form, without credentials; for people and for comparing."""

    @property
    def local_root(self) -> Path | None:
        """The folder on this machine, or None for a store that is no local folder."""

    @property
    def indexed(self) -> bool:
        """Whether an index of many documents pays: each read costs a request, and etags can be trusted."""

    def get(self, key: str) -> Blob | None:
        """The object, or None where there is none."""

    def put(self, key: str, data: bytes) -> str:
        """Write the object whole, last writer wins; a reader sees the old or the new, never a part."""

    def create(self, key: str, data: bytes) -> str:
        """Write the object if there is none; equal content counts as ours (a retried request).

        Raises:
            KeyExistsError: somebody else made it, with other content.
        """

    def replace(self, key: str, data: bytes, etag: str | None) -> str:
        """Write the object if its etag is still `etag` (None: if there is none). Returns the new etag.

        Where the object holds `data` already, that counts as ours: a retried request must not lose against
        itself. So two writers must not write equal bytes for different deeds; name the writer in them.

        Raises:
            ConflictError: it changed meanwhile (and does not hold `data` already).
        """

    def folders(self, prefix: str) -> list[str]:
        """The names directly under `prefix` that hold objects deeper down, sorted. `prefix` may be ""."""

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | Exception | None]]:
        """Read many objects, some at a time, in the order given; a key that can't be read yields its error."""

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""

    def list(self, prefix: str) -> list[Entry]:
        """All objects whose key starts with `prefix + "/"`, at any depth, sorted by key."""

    def list_many(self, prefixes: Iterable[str]) -> Iterator[tuple[str, builtins.list[Entry]]]:
        """Each prefix with what `list` gives of it, some at a time, in the order given."""

    def keys(self, prefixes: Iterable[str]) -> builtins.list[str]:
        """The keys that `list_many` gives; a folder need not look at its files for that, which takes most of a list."""


@runtime_checkable
class TakesFiles(Protocol):
    """A store that takes an object from a file, which may be larger than memory."""

    def etag(self, key: str) -> str | None:
        """The object's etag without reading it; None where there is none."""

    def replace_file(self, key: str, source: BinaryIO, etag: str | None) -> str:
        """As `Store.replace`, with the content of a file, which the store may take over.

        Raises:
            ConflictError: the object changed meanwhile; be it by a request of our own whose answer was lost.
        """


@dataclass(frozen=True)
class StoreConfig:
    """Where a store is, as plain data that crosses processes.

    Attributes:
        url: a local path, or an fsspec URL.
        options: fsspec's storage options (credentials); never shown (left out of `repr`).
        durability: what an acknowledged event has reached, `spool` or `stored`; the settings say it where None.
    """

    url: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    durability: Durability | None = None
