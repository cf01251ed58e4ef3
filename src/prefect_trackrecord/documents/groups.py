"""The outcomes of files that have several, by file: in memory for a usual number, in temporary files for more."""

from __future__ import annotations

import heapq
import itertools
import struct
from collections.abc import Iterator
from operator import itemgetter
from typing import BinaryIO, NamedTuple, cast

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents.rows import item_of
from prefect_trackrecord.documents.sheet import nameless

IN_MEMORY = 20_000
_PARTS = 64
_HEAD = struct.Struct("<QII")
_place = itemgetter(0)


class Group(NamedTuple):
    """One file's outcomes in the order in which they came, and the first one's place among all of the run."""

    place: int
    outcomes: list[ev.FileTracked]


class Groups:
    """Takes outcomes in, in their order, and gives them back by file, the files in the order of their first outcomes.

    Args:
        in_memory: so many are held in memory; `IN_MEMORY` where left out.
    """

    def __init__(self, in_memory: int | None = None) -> None:
        self._in_memory = IN_MEMORY if in_memory is None else in_memory
        self._held: dict[str, Group] = {}
        self._count = 0
        self._parts: list[BinaryIO] = []

    def add(self, place: int, outcome: ev.FileTracked) -> None:
        """Take one in."""
        self._count += 1
        item = item_of(outcome)
        if self._parts:
            self._write(item, place, outcome)
            return
        self._held.setdefault(item, Group(place, [])).outcomes.append(outcome)
        if self._count > self._in_memory:
            self._spill()

    def __iter__(self) -> Iterator[Group]:
        if not self._parts:
            yield from self._held.values()
            return
        ordered = heapq.merge(*[_read(_in_order(part)) for part in self._parts], key=_place)
        for place, found in itertools.groupby(ordered, key=_place):
            yield Group(place, [cast("ev.FileTracked", ev.decode(line)) for _, _, line in found])

    def _spill(self) -> None:
        self._parts = [nameless(None) for _ in range(_PARTS)]
        for item, group in self._held.items():
            for outcome in group.outcomes:
                self._write(item, group.place, outcome)
        self._held = {}

    def _write(self, item: str, place: int, outcome: ev.FileTracked) -> None:
        _put(self._parts[hash(item) % _PARTS], place, item.encode("utf-8", "surrogatepass"), ev.encode(outcome))


def _in_order(part: BinaryIO) -> BinaryIO:
    """The same in the order of the files' first outcomes; a part is small enough for memory."""
    firsts: dict[bytes, int] = {}
    found = [(firsts.setdefault(item, place), item, line) for place, item, line in _read(part)]
    found.sort(key=_place)
    ordered = nameless(None)
    for place, _, line in found:
        _put(ordered, place, b"", line)
    return ordered


def _put(file: BinaryIO, place: int, item: bytes, line: bytes) -> None:
    file.write(_HEAD.pack(place, len(item), len(line)) + item + line)


def _read(file: BinaryIO) -> Iterator[tuple[int, bytes, bytes]]:
    file.seek(0)
    while head := file.read(_HEAD.size):
        place, item, line = _HEAD.unpack(head)
        yield place, file.read(item), file.read(line)
