"""A day's documents in one object, as a cache for buckets, where each document read on its own costs a request.

The rule: a listing of the day comes first, and a document is taken from the index only if its name, size and etag are
equal to the listing's; the rest is read. The etag in the index is the one that came with the bytes. So an index can be
old, lost, or written by several readers at once, and the answer is still right. Whoever reads a day and finds much
missing in its index writes a new one. `<base>/index/` may be deleted at any time.

An index is zlib over: a line that names the format, a line for each document (name, size and etag between tabs), an
empty line, and a line with what is kept of each (`kinds`), in the same order. Of a day that has not changed the lines
of the listing are those of the index, as one text.
"""

from __future__ import annotations

import concurrent.futures
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from prefect_trackrecord.documents.kinds import Kind
from prefect_trackrecord.errors import StoreError
from prefect_trackrecord.store import LocalStore
from prefect_trackrecord.store.base import Blob, Entry, Store

logger = logging.getLogger("prefect_trackrecord")
T = TypeVar("T")
INDEX = "index"
FORMAT = b"trackrecord-index 2"
MIN_MISSING = 20
"""A new index is worth its writing when at least so many documents, and a tenth of the day's, were not in the old."""
SUFFIX = ".json"
_WRITERS = 8
_LISTERS = 16


def read_days(
    store: Store, prefixes: Iterable[str], kind: Kind[T], until: str = "9999"
) -> Iterator[tuple[list[str], list[T | Exception]]]:
    """The documents below each prefix, in any order and some at a time: their keys, and what is wanted of each.

    In the place of a document that can't be read its error stands.

    Args:
        store: any store; an index is kept only where it pays (`Store.indexed`).
        prefixes: folders of days, `<top>/YYYY/MM/DD`, or a `<top>` that holds all of them.
        kind: what is wanted of each.
        until: the last day, `YYYY/MM/DD`, of a top folder.

    Raises:
        StoreError: the store can't be listed.
    """

    def wanted(folder: str) -> bool:
        day = folder.partition("/")[2]
        return day[:1].isdigit() and day[: len("YYYY/MM/DD")] <= until

    if not store.indexed:
        yield from _straight(store, prefixes, wanted, kind)
        return
    by_folder: dict[str, _Day[T]] = {}
    for _, entries in store.list_many([day for prefix in prefixes for day in _days(store, prefix, wanted)]):
        for entry in entries:
            if entry.key.endswith(SUFFIX):
                folder = entry.key.rpartition("/")[0]
                day = by_folder.get(folder) or by_folder.setdefault(folder, _Day(folder, kind))
                day.entries.append(entry)
    days = list(by_folder.values())
    by_key = {day.key: day for day in days if len(day.entries) >= MIN_MISSING}
    for key, held in _make_many(store, by_key, lambda key, blob: by_key[key].look(blob.data)):
        if isinstance(held, _Held):
            yield by_key[key].take(held)
    for key, value in _missing(store, days, kind):
        yield [key], [value]


def _days(store: Store, prefix: str, wanted: Callable[[str], bool]) -> list[str]:
    """The folder itself, or those of the days that the folder of all holds: they are listed side by side."""
    if "/" in prefix:
        return [prefix]
    found = [prefix]
    with concurrent.futures.ThreadPoolExecutor(_LISTERS, thread_name_prefix="trackrecord-list") as pool:
        for _ in ("year", "month", "day"):
            inside = zip(found, pool.map(store.folders, found), strict=True)
            found = [folder for above, names in inside for name in names if wanted(folder := f"{above}/{name}")]
    return found


def _straight(
    store: Store, prefixes: Iterable[str], wanted: Callable[[str], bool], kind: Kind[T]
) -> Iterator[tuple[list[str], list[T | Exception]]]:
    """Read without an index; a folder of this machine is listed and read in one go."""
    if isinstance(store, LocalStore):
        yield from store.documents(prefixes, wanted, kind.make)
        return
    keys = [key for key in store.keys(prefixes) if key.endswith(SUFFIX) and wanted(key.rpartition("/")[0])]
    for key, found in _make_many(store, keys, lambda _, blob: made(kind, blob.data)):
        if found is not None:  # else deleted since it was listed
            yield [key], [found]


def made(kind: Kind[T], data: bytes) -> T | Exception:
    """What is wanted of a document, or what is wrong with it."""
    try:
        return kind.make(data)
    except ValueError as exc:
        return exc


@dataclass(frozen=True)
class _Held(Generic[T]):
    """Which of the listed documents an index held as they are listed, which not; `lines` are kept for a new index."""

    keys: list[str]
    values: list[T | Exception]
    missing: list[Entry] | None = None
    lines: dict[bytes, bytes] | None = None


@dataclass
class _Day(Generic[T]):
    """One day: what a listing shows, and which of that the index held; `lines` are kept for a new index."""

    prefix: str
    kind: Kind[T]
    entries: list[Entry] = field(default_factory=list)
    missing: list[Entry] | None = None
    lines: dict[bytes, bytes] = field(default_factory=dict)
    left: int = 0

    @property
    def key(self) -> str:
        """Where its index lies."""
        return f"{INDEX}/{self.kind.folder}/{self.prefix}.z"

    def look(self, data: bytes) -> _Held[T]:
        """What an index gives for this day.

        It changes nothing here: an index may be read twice, where the first answer is long in coming, and then only
        one of them is taken.
        """
        try:
            marks, lines = unpack(data)
            if marks == "\n".join(map(_mark, self.entries)).encode():
                keys, found = [entry.key for entry in self.entries], list(self.kind.back(lines))
                if len(keys) != len(found):
                    raise ValueError("fewer lines than documents")
                return _Held(keys, found, [])
            return self._some(marks.split(b"\n"), lines)
        except (ValueError, zlib.error):
            return _Held([], [])  # no index, or none of ours

    def _some(self, marks: list[bytes], lines: bytes) -> _Held[T]:
        listed = {_mark(entry).encode(): entry for entry in self.entries}
        rows = zip(marks, lines.split(b"\n"), self.kind.back(lines), strict=True)
        held = [(mark, line, value) for mark, line, value in rows if mark in listed]
        known = {mark: line for mark, line, _ in held}
        missing = [entry for mark, entry in listed.items() if mark not in known]
        return _Held([listed[mark].key for mark, _, _ in held], [value for _, _, value in held], missing, known)

    def take(self, held: _Held[T]) -> tuple[list[str], list[T | Exception]]:
        """Rely on what an index gave: the keys and values of documents that need not be read."""
        self.missing = held.missing
        if self.worth_writing:
            self.lines = held.lines or {}
        return held.keys, held.values

    @property
    def worth_writing(self) -> bool:
        """Whether what the index lacks is worth another one."""
        lacking = self.entries if self.missing is None else self.missing
        return len(lacking) >= max(MIN_MISSING, len(self.entries) // 10)


def _missing(store: Store, days: list[_Day[T]], kind: Kind[T]) -> Iterator[tuple[str, T | Exception]]:
    """What no index held, read one by one; days of which much was missing get a new index."""
    wanted: dict[str, _Day[T]] = {}
    for day in days:
        lacking = day.entries if day.missing is None else day.missing
        day.left = len(lacking)
        wanted.update((entry.key, day) for entry in lacking)
    writes = {day.key: day.worth_writing for day in days}

    def both(key: str, blob: Blob) -> tuple[T | Exception, bytes | None, bytes]:
        value = made(kind, blob.data)
        if isinstance(value, Exception) or not writes[wanted[key].key]:
            return value, None, b""
        return value, kind.line(value, blob.data), _mark(Entry(key, len(blob.data), blob.etag)).encode()

    with concurrent.futures.ThreadPoolExecutor(_WRITERS, thread_name_prefix="trackrecord-index") as pool:
        for key, found in _make_many(store, wanted, both):
            day = wanted[key]
            day.left -= 1
            if isinstance(found, Exception):
                yield key, found
            elif found is not None:
                value, line, mark = found
                if line is not None:
                    day.lines[mark] = line
                yield key, value
            if not day.left and writes[day.key]:
                pool.submit(_write, store, day.key, day.lines)
                day.lines = {}


def _make_many(
    store: Store, keys: Iterable[str], make: Callable[[str, Blob], T]
) -> Iterator[tuple[str, T | Exception | None]]:
    """What `make` makes of each object; where the store can, it is made in the thread that read it."""
    made = getattr(store, "make_many", None)
    if made is not None:
        yield from made(keys, make)
        return
    for key, blob in store.get_many(keys):
        yield key, make(key, blob) if isinstance(blob, Blob) else blob


def _write(store: Store, key: str, lines: dict[bytes, bytes]) -> None:
    try:
        store.put(key, pack(lines))
    except StoreError as exc:  # a reader need not have the right to write; the next one will try
        logger.debug("index %s is not written: %s", key, exc)


def pack(lines: dict[bytes, bytes]) -> bytes:
    """An index as it is stored, of what is kept of each document by its name, size and etag."""
    marks = sorted(lines)
    return zlib.compress(b"\n".join((FORMAT, *marks, b"", *(lines[mark] for mark in marks))), 1)


def unpack(data: bytes) -> tuple[bytes, bytes]:
    """An index's lines of names, and its lines of what is kept.

    Raises:
        ValueError: it is of another format.
        zlib.error: it is no index at all.
    """
    head, _, rest = zlib.decompress(data).partition(b"\n")
    marks, gap, lines = rest.partition(b"\n\n")
    if head != FORMAT or not gap:
        raise ValueError("another format")
    return marks, lines


def _mark(entry: Entry) -> str:
    return f"{entry.key}\t{entry.size}\t{entry.etag}"
