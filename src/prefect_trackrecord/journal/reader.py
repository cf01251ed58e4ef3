"""Reads segments back: every whole line, also from a file that a kill or a full disk has torn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prefect_trackrecord.events import Event, WriterOpened, decode
from prefect_trackrecord.journal.liveness import is_alive
from prefect_trackrecord.journal.writer import SUFFIX

_START = b'{"kind":"'


@dataclass
class SegmentReader:
    """One segment's events.

    Attributes:
        data: the segment's bytes, or the file that holds them, which is then read line by line; what follows the last
            newline is still being written and is left out.
        limit: only so many bytes are read; all where left out.
        damaged: lines that could not be read, counted while iterating.
        size: bytes of whole lines, counted while iterating.
        writer: who writes it, known once iterating has begun; None where the first line is missing or torn.
    """

    data: bytes | Path
    limit: int | None = None
    damaged: int = field(default=0, init=False)
    size: int = field(default=0, init=False)
    writer: WriterOpened | None = field(default=None, init=False)

    def __iter__(self) -> Iterator[Event]:
        self.damaged = self.size = 0
        for line in self._lines():
            first = not self.size
            self.size += len(line) + 1
            if not line:
                continue
            try:
                event = decode(line)
            except ValueError:
                event = self._salvage(line)
            if first and isinstance(event, WriterOpened):
                self.writer = event
            if event is not None:
                yield event

    @property
    def alive(self) -> bool | None:
        """Whether its writer runs: True, False, or None where this host can't tell; to be asked after iterating."""
        if self.writer is None:
            return None if self.size else False
        return is_alive(self.writer.host, self.writer.boot, self.writer.pid, self.writer.ticks)

    def _lines(self) -> Iterator[bytes]:
        """The whole lines, without their newlines."""
        if isinstance(self.data, Path):
            left = self.limit
            with self.data.open("rb") as file:
                for line in file:
                    if left is not None and (left := left - len(line)) < 0:
                        return
                    if line.endswith(b"\n"):
                        yield line[:-1]
            return
        start, data = 0, self.data
        stop = len(data) if self.limit is None else self.limit
        while (end := data.find(b"\n", start, stop)) >= 0:
            yield data[start:end]
            start = end + 1

    def _salvage(self, line: bytes) -> Event | None:
        """The event behind a torn one on the same line: a full disk cut the first before its newline."""
        self.damaged += 1
        at = line.rfind(_START)
        while at > 0:
            try:
                return decode(line[at:])
            except ValueError:
                at = line.rfind(_START, 0, at)
        return None


def whole(data: bytes) -> bytes:
    """`data` up to and with its last newline."""
    return data[: data.rfind(b"\n") + 1]


def writer_of(data: bytes) -> WriterOpened | None:
    """Who writes this segment; None where its first line is missing or torn."""
    end = data.find(b"\n")
    if end < 0:
        return None
    try:
        event = decode(data[:end])
    except ValueError:
        return None
    return event if isinstance(event, WriterOpened) else None


def writer_alive(data: bytes) -> bool | None:
    """Whether the process that writes this segment runs: True, False, or None where this host can't tell."""
    writer = writer_of(data)
    if writer is None:
        return False if not data.strip() else None
    return is_alive(writer.host, writer.boot, writer.pid, writer.ticks)


def segment_paths(folder: Path) -> list[Path]:
    """The segments in a local folder, by name; an absent folder has none."""
    try:
        return sorted(p for p in folder.iterdir() if p.name.endswith(SUFFIX))
    except OSError:
        return []
