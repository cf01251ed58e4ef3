"""A day's documents in one object, as a cache for buckets, where each document read on its own costs a request.

The rule: a listing of the day comes first, and a document is taken from the index only if its name, size and etag are
equal to the listing's; the rest is read. The etag in the index is the one that came with the bytes. So an index can be
old, lost, or written by several readers at once, and the answer is still right. Whoever reads a day and finds much
missing in its index writes a new one. `<base>/index/` may be deleted at any time.

Format 1: zlib over a first line that names the format, and two lines a document: name, size and etag between tabs; and
the document on one line.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from prefect_trackrecord.errors import StoreError
from prefect_trackrecord.store.base import Entry, Store

logger = logging.getLogger("prefect_trackrecord")
INDEX = "index"
FORMAT = b"trackrecord-index 1"
MIN_MISSING = 20
"""A new index is worth its writing when at least so many documents, and a tenth of the day's, were not in the old."""
_WRITERS = 8

Found = tuple[str, bytes | Exception]


def read_days(store: Store, prefixes: Iterable[str], wanted: Callable[[str], bool]) -> Iterator[Found]:
    """The documents below each prefix, in any order: key and bytes, or the error in their place.

    Bytes are those of the document up to the white space between its values.

    Args:
        store: any store; an index is kept only where it pays (`Store.indexed`).
        prefixes: folders of days, or of all of them, without a slash at the end.
        wanted: whether a key is that of a document to read.

    Raises:
        StoreError: the store can't be listed.
    """
    if not store.indexed:
        documents = getattr(store, "documents", None)  # a folder is listed and read in one go
        yield from documents(prefixes, wanted) if documents else _read(store, filter(wanted, store.keys(prefixes)))
        return
    by_folder: dict[str, _Day] = {}
    for _, entries in store.list_many(prefixes):
        for entry in entries:
            if wanted(entry.key):
                folder = entry.key.rpartition("/")[0]
                day = by_folder.get(folder) or by_folder.setdefault(folder, _Day(folder))
                day.marks[_mark(entry)] = entry.key
    days = list(by_folder.values())
    large = [day for day in days if len(day.marks) >= MIN_MISSING]
    by_key = {day.key: day for day in large}
    for key, blob in store.get_many(by_key):
        lines = unpack(blob.data) if blob is not None and not isinstance(blob, Exception) else {}
        yield from by_key[key].take(lines)
    yield from _missing(store, days)


@dataclass
class _Day:
    """One day: what a listing shows, and what of that is known."""

    prefix: str
    marks: dict[bytes, str] = field(default_factory=dict)
    known: dict[bytes, bytes] = field(default_factory=dict)
    left: int = 0

    @property
    def key(self) -> str:
        """Where its index lies."""
        return f"{INDEX}/{self.prefix}.z"

    def take(self, lines: Mapping[bytes, bytes]) -> Iterator[Found]:
        """Those of the listed documents that the index holds as they are listed."""
        marks = self.marks
        self.known = {mark: line for mark, line in lines.items() if mark in marks}
        found = [(marks[mark], line) for mark, line in self.known.items()]
        if not self.worth_writing(len(marks) - len(self.known)):
            self.marks = {mark: key for mark, key in marks.items() if mark not in self.known}
            self.known = {}
        yield from found

    def worth_writing(self, missing: int) -> bool:
        """Whether an index without so many documents is worth another one."""
        return missing >= max(MIN_MISSING, len(self.marks) // 10)


def _missing(store: Store, days: list[_Day]) -> Iterator[Found]:
    """What no index held, read one by one; days of which much was missing get a new index."""
    wanted = {key: day for day in days for mark, key in day.marks.items() if mark not in day.known}
    for day in wanted.values():
        day.left += 1
    writes = {day.key: day.worth_writing(day.left) for day in days}
    with concurrent.futures.ThreadPoolExecutor(_WRITERS, thread_name_prefix="trackrecord-index") as pool:
        for key, blob in store.get_many(wanted):
            day = wanted[key]
            day.left -= 1
            if blob is not None:
                yield key, blob if isinstance(blob, Exception) else blob.data
            if writes[day.key]:
                if blob is not None and not isinstance(blob, Exception) and (line := _one_line(blob.data)) is not None:
                    day.known[_mark(Entry(key, len(blob.data), blob.etag))] = line
                if not day.left:
                    pool.submit(_write, store, day.key, day.known)
                    day.known = {}


def _read(store: Store, keys: Iterable[str]) -> Iterator[Found]:
    for key, blob in store.get_many(keys):
        if blob is not None:  # else deleted since it was listed
            yield key, blob if isinstance(blob, Exception) else blob.data


def _write(store: Store, key: str, lines: Mapping[bytes, bytes]) -> None:
    try:
        store.put(key, pack(lines))
    except StoreError as exc:  # a reader need not have the right to write; the next one will try
        logger.debug("index %s is not written: %s", key, exc)


def pack(lines: Mapping[bytes, bytes]) -> bytes:
    """An index as it is stored."""
    return zlib.compress(b"\n".join([FORMAT, *itertools.chain.from_iterable(lines.items())]), 1)


def unpack(data: bytes) -> dict[bytes, bytes]:
    """The documents of an index by name, size and etag; none where it can't be read or is of another format."""
    try:
        lines = zlib.decompress(data).split(b"\n")
    except zlib.error:
        return {}
    if lines[0] != FORMAT or len(lines) % 2 == 0:
        return {}
    return dict(zip(lines[1::2], lines[2::2], strict=True))


def _mark(entry: Entry) -> bytes:
    return f"{entry.key}\t{entry.size}\t{entry.etag}".encode()


def _one_line(data: bytes) -> bytes | None:
    """A document without its line breaks and indents; None for one that is no JSON, which no index takes."""
    try:
        orjson.loads(data)
    except ValueError:
        return None
    return b"".join(line.strip() for line in data.split(b"\n"))
