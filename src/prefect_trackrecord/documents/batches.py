"""A block of a journal as a batch: usual outcomes by the quick way, what is odd line by line, other events as well."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import rows
from prefect_trackrecord.documents.quick import STARTS, Quick, get_row, get_time
from prefect_trackrecord.documents.rollup import Sums
from prefect_trackrecord.journal.reader import read_line

Outcome = Any
"""A `FileTracked`, or a usual outcome of `quick`: both have `at`, `row`, `item` and `turn`."""


@dataclass
class Batch:
    """What a block of lines says.

    Attributes:
        usual: outcomes that the quick way reads.
        places: theirs among all outcomes of the batch.
        odd: the others, with their places.
        begun: beginnings of files, usual ones and others.
        others: events of other kinds.
        damaged: lines that could not be read.
    """

    quick: Quick | None = None
    usual: list[Any] = field(default_factory=list)
    places: Sequence[int] = range(0)
    odd: list[tuple[int, ev.FileTracked]] = field(default_factory=list)
    begun: list[Any] = field(default_factory=list)
    others: list[ev.Event] = field(default_factory=list)
    damaged: int = 0

    def __len__(self) -> int:
        return len(self.usual) + len(self.odd)

    def outcomes(self) -> list[Outcome]:
        """All outcomes, in their order."""
        found: list[Outcome] = list(self.usual)
        for place, event in self.odd:
            found.insert(place, event)
        return found

    def items(self) -> list[str]:
        """Which file each outcome is of, in their order; see `rows.item_of`."""
        found = [
            f"{(row := e.row).file_path}\0{row.file_type or ''}\0{row.agent_id or ''}" if e.item is None else e.item
            for e in self.usual
        ]
        for place, event in self.odd:
            found.insert(place, rows.item_of(event))
        return found

    def identity(self, outcome: Outcome) -> tuple[Any, Any, Any]:
        """Path, type and agent of an outcome's file; see `rows.identity`."""
        row = outcome.row
        if isinstance(outcome, ev.FileTracked):
            return row["file_path"], row.get("file_type"), row.get("agent_id")
        return row.file_path, row.file_type, row.agent_id

    def task_keys(self) -> set[str]:
        """The keys of the tracked tasks whose files are among outcomes and beginnings."""
        found = {e.item.partition("\0")[0] for e in self.usual if e.item is not None}
        found.update(e.item.partition("\0")[0] for _, e in self.odd if e.item is not None)
        found.update(e.item.partition("\0")[0] for e in self.begun if e.item is not None)
        return found

    def task_runs(self) -> list[str]:
        """The task runs that made the outcomes, in their order."""
        found = [] if self.quick is None else list(map(self.quick.task_run, self.usual))
        for place, event in self.odd:
            found.insert(place, str(event.row.get("task_run_id")))
        return found

    def times(self) -> Iterator[datetime]:
        """The first and the last moment at which any of its files was told of."""
        for found in (self.usual, self.begun, [e for _, e in self.odd]):
            if found:
                yield min(map(get_time, found))
                yield max(map(get_time, found))

    def part(self, start: int, stop: int) -> Batch:
        """The outcomes from place `start` up to `stop`."""
        if start == 0 and stop == len(self):
            return self
        a, b = bisect_left(self.places, start), bisect_left(self.places, stop)
        odd = [(place - start, e) for place, e in self.odd if start <= place < stop]
        return Batch(self.quick, self.usual[a:b], [place - start for place in self.places[a:b]], odd)

    def rows(self, sums: Sums, start: int) -> bytes:
        """The rows of all outcomes, each the only one of its file: JSON, one a line, in their order.

        Args:
            sums: takes them in.
            start: the place of the first one among all of the run.
        """
        found: list[Any] = []
        if self.quick is not None and self.usual:
            found = list(map(get_row, self.usual))
            failed = self.quick.complete(found)
            sums.add_usual(found, [(start + self.places[n], found[n]) for n in failed])
            if not self.odd:
                return self.quick.write_usual(found)
        for place, event in self.odd:
            row = rows.row_of([event])
            sums.add(row, start + place)
            found.insert(place, rows.dump(row))
        if self.quick is None or not self.usual:
            return b"\n".join([*found, b""])
        return self.quick.write(found)

    def event(self, outcome: Outcome) -> ev.FileTracked:
        """An outcome as the event that it is."""
        if isinstance(outcome, ev.FileTracked):
            return outcome
        assert self.quick is not None
        found: ev.FileTracked = self.quick.event(outcome)
        return found


def batch_of(block: bytes, quick: Quick | None) -> Batch:
    """The batch that whole lines are."""
    found = quick.read(block) if quick is not None else None
    if found is not None:
        return _usual(Batch(quick), found)
    lines = block[:-1].split(b"\n")
    if quick is not None:  # most often a line of another kind is among them
        files = [line for line in lines if line.startswith(STARTS)]
        found = quick.read(b"\n".join([*files, b""])) if files else None
        if found is not None:
            batch = _line_by_line(Batch(quick), [line for line in lines if not line.startswith(STARTS)])
            if not batch.odd:
                return _usual(batch, found)
    return _line_by_line(Batch(quick), lines)


def _usual(batch: Batch, found: list[Any]) -> Batch:
    assert batch.quick is not None
    kind = batch.quick.outcome
    batch.usual = [e for e in found if type(e) is kind]
    if len(batch.usual) != len(found):
        batch.begun += [e for e in found if type(e) is not kind]
    batch.places = range(len(batch.usual))
    return batch


def _line_by_line(batch: Batch, lines: Iterable[bytes]) -> Batch:
    quick = batch.quick
    places: list[int] = []
    count = 0
    for line in lines:
        if not line:
            continue
        found = quick.read_one(line) if quick is not None and line.startswith(STARTS) else None
        if found is None:
            found, damaged = read_line(line)
            batch.damaged += damaged
        if found is None:
            continue
        if isinstance(found, ev.FileTracked):
            batch.odd.append((count, found))
            count += 1
        elif quick is not None and type(found) is quick.outcome:
            batch.usual.append(found)
            places.append(count)
            count += 1
        elif isinstance(found, ev.FileStarted) or (quick is not None and type(found) is quick.beginning):
            batch.begun.append(found)
        else:
            batch.others.append(found)
    batch.places = places
    return batch
