"""The outcomes of a run's files, read a block at a time, and the rows that they make; none is held for long.

A run may have millions of files, and what it takes to seal it must not grow with them. Most files have one outcome,
whose row is known as soon as it is read. So the rows are written as the journal is read, on the assumption that this is
true of all of them, and of each outcome a number is kept that stands for its file. Where numbers are equal, or
something else bears on rows that are written (`Besides`), they are written again, in a second reading that knows.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import rows
from prefect_trackrecord.documents.batches import Batch, batch_of
from prefect_trackrecord.documents.groups import Group, Groups
from prefect_trackrecord.documents.occurrences import by_file
from prefect_trackrecord.documents.quick import Quick
from prefect_trackrecord.documents.rollup import Sums
from prefect_trackrecord.documents.sheet import Sheet, nameless
from prefect_trackrecord.journal.reader import Part, Source, blocks

_AT_ONCE = 500_000
_IN_MEMORY = 16 << 20


@dataclass
class Besides:
    """What bears on a run's rows besides the outcomes that its files' own processes told.

    Attributes:
        silent: by item, outcomes that others told.
        numbers: by path, numbers that were told of files.
        saved: rows that were saved directly, by identity; what was tracked goes before.
        resumed: when attempts went on in another process (see `occurrences.by_file`).
    """

    silent: Mapping[str, list[ev.FileTracked]] = field(default_factory=dict)
    numbers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    saved: Mapping[str, rows.Row] = field(default_factory=dict)
    resumed: Sequence[tuple[int, datetime]] = ()

    def __bool__(self) -> bool:
        return bool(self.silent or self.numbers or self.saved)


class _Read(NamedTuple):
    """Something that was read: where it lies, and how many outcomes each of its blocks holds."""

    source: Source | list[ev.FileTracked]
    size: int
    counts: array[int]


class Outcomes:
    """Reads segments, and makes rows of their outcomes: files in the order in which they were first told of.

    Args:
        run_id: the run.
        quick: reads and writes what is usual.
        writing: whether rows are written as they are read; else they are read again once they are asked for.
        folder: see `Sheet`.
    """

    def __init__(self, run_id: str, quick: Quick | None, *, writing: bool = False, folder: Path | None = None) -> None:
        self._run_id, self._quick, self._folder = run_id, quick, folder
        self._read: list[_Read] = []
        self._items = array("q")
        self._loose: list[ev.FileTracked] = []
        self._sheet, self._sums = Sheet(run_id, folder) if writing else None, Sums()
        self._kept: Part | None = None
        self._free = _IN_MEMORY

    def add(self, outcome: ev.FileTracked) -> None:
        """Take one in that comes from no segment."""
        self._loose.append(outcome)
        self._sheet = None

    def read(self, source: Source, limit: int | None = None) -> Iterator[tuple[int, Batch]]:
        """Read a segment: the size of each block of whole lines, and what it says."""
        self._settle()
        if isinstance(source, bytes):
            source = self._keep(source)
        counts, size = array("L"), 0
        known = _Read(source, 0, counts)
        self._read.append(known)
        for block in blocks(source, limit):
            batch = batch_of(block, self._quick)
            if self._sheet is not None:
                self._sheet.add(batch.rows(self._sums, len(self._items)))
            self._items.extend(map(hash, batch.items()))
            counts.append(len(batch))
            size += len(block)
            yield len(block), batch
        self._read[-1] = known._replace(size=size)

    def task_runs(self) -> Iterator[str]:
        """The task runs that made outcomes, read once more."""
        for _, batch in self._again():
            yield from batch.task_runs()

    def paths(self) -> Iterator[str]:
        """The paths of the outcomes, read once more."""
        for _, batch in self._again():
            yield from (batch.identity(outcome)[0] for outcome in batch.outcomes())

    def rows_of(self, task_runs: set[str]) -> dict[str, rows.Row]:
        """The rows that these task runs tracked, as they told them."""
        found: dict[str, rows.Row] = {}
        for _, batch in self._again():
            pairs = zip(batch.task_runs(), batch.outcomes(), strict=True)
            found.update((name, batch.event(outcome).row) for name, outcome in pairs if name in task_runs)
        return found

    def document(self, besides: Besides) -> tuple[Sheet, Sums]:
        """The rows of all files, and what they sum up to."""
        self._settle()
        several = self._several(besides.silent)
        if self._sheet is None or several or besides:
            return self._second(several, besides)
        self._sheet.close()
        return self._sheet, self._sums

    # --- what is read is kept so that it can be read again --------------------------------------------------

    def _settle(self) -> None:
        if self._loose:
            found, self._loose = self._loose, []
            self._read.append(_Read(found, 0, array("L", [len(found)])))
            self._items.extend(hash(rows.item_of(outcome)) for outcome in found)

    def _keep(self, data: bytes) -> Source:
        """Bytes in memory, while they are few, else in a temporary file."""
        self._free -= len(data)
        if self._free >= 0:
            return data
        if self._kept is None:
            self._kept = Part(nameless(None), 0, 0)
        file = self._kept.file
        start = file.seek(0, 2)
        file.write(data)
        return Part(file, start, len(data))

    def _again(self, wanted: array[int] | None = None) -> Iterator[tuple[int, Batch]]:
        """The batches once more, each with the place of its first outcome; only those with `wanted` places."""
        self._settle()
        start, at = 0, 0
        for source, size, counts in self._read:
            if isinstance(source, list):
                yield start, Batch(odd=list(enumerate(source)))
                start += len(source)
                continue
            for count, block in zip(counts, blocks(source, size), strict=True):
                while wanted is not None and at < len(wanted) and wanted[at] < start:
                    at += 1
                if count and (wanted is None or (at < len(wanted) and wanted[at] < start + count)):
                    yield start, batch_of(block, self._quick)
                start += count

    # --- the second reading --------------------------------------------------------------------------------

    def _several(self, silent: Mapping[str, Any]) -> array[int]:
        """The places of outcomes whose file may have more than one."""
        items = self._items
        rounds = len(items) // _AT_ONCE + 1
        twice = {hash(item) for item in silent}
        for n in range(rounds):
            found = items if rounds == 1 else [item for item in items if item % rounds == n]
            if len(set(found)) < len(found):
                twice.update(item for item, count in Counter(found).items() if count > 1)
        return array("q", [place for place, item in enumerate(items) if item in twice] if twice else [])

    def _second(self, several: array[int], besides: Besides) -> tuple[Sheet, Sums]:
        groups = Groups()
        for start, batch in self._again(several) if several else ():
            outcomes = batch.outcomes()
            for place in _within(several, start, start + len(batch)):
                groups.add(place, batch.event(outcomes[place - start]))
        writing = _Writing(Sheet(self._run_id, self._folder), besides, iter(groups))
        for start, batch in self._again():
            writing.batch(batch, start, _within(several, start, start + len(batch)))
        return writing.end(len(self._items))


def _within(places: array[int], start: int, stop: int) -> array[int]:
    return places[bisect_left(places, start) : bisect_left(places, stop)]


class _Writing:
    """Rows as they are written at the second reading."""

    def __init__(self, sheet: Sheet, besides: Besides, groups: Iterator[Group]) -> None:
        self._sheet, self._sums = sheet, Sums()
        self._groups, self._next = groups, next(groups, None)
        self._silent, self._saved, self._numbers = dict(besides.silent), dict(besides.saved), besides.numbers
        self._resumed = besides.resumed

    def batch(self, batch: Batch, start: int, several: array[int]) -> None:
        """The rows of a batch whose first outcome has the place `start`.

        Args:
            batch: the batch.
            start: that place.
            several: the places of its outcomes whose file may have more than one.
        """
        one_of_several = set(several)
        measured: dict[int, ev.FileTracked] = {}
        for place, outcome in enumerate(batch.outcomes() if self._numbers or self._saved else (), start):
            if place not in one_of_several:
                which = batch.identity(outcome)
                self._saved.pop(repr([*which]), None)
                if which[0] in self._numbers:
                    measured[place] = batch.event(outcome)
        at = start
        for place in sorted(one_of_several.union(measured)):
            self._sheet.add(batch.part(at - start, place - start).rows(self._sums, at))
            at = place + 1
            if place in measured:
                self._file([measured[place]], place)
            elif self._next is not None and self._next.place == place:
                self._group(self._next)
                self._next = next(self._groups, None)
        self._sheet.add(batch.part(at - start, len(batch)).rows(self._sums, at))

    def _group(self, group: Group) -> None:
        outcomes = [*group.outcomes, *self._silent.pop(rows.item_of(group.outcomes[0]), [])]
        for file in by_file(outcomes, self._resumed):
            self._file(file, group.place)

    def _file(self, outcomes: list[ev.FileTracked], place: int) -> None:
        row = rows.row_of(outcomes)
        self._saved.pop(rows.identity(row), None)
        row = self._measured(row)
        self._sums.add(row, place)
        self._sheet.add(rows.dump(row) + b"\n")

    def _measured(self, row: rows.Row) -> rows.Row:
        numbers = self._numbers.get(row["file_path"])
        return rows.with_metrics(row, numbers) if numbers else row

    def end(self, place: int) -> tuple[Sheet, Sums]:
        """What no outcome of their own speaks of: files of which others told, and rows that were saved directly."""
        for found in self._silent.values():
            for file in by_file(found, self._resumed):
                self._file(file, place)
                place += 1
        for place, row in enumerate(map(self._measured, self._saved.values()), place):  # noqa: B020
            self._sums.add(row, place)
            self._sheet.add(rows.dump_whole(row) + b"\n")
        self._sheet.close()
        return self._sheet, self._sums
