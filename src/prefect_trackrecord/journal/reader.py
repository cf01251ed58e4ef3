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
        data: the segment's bytes; what follows the last newline is still being written and is left out.
        damaged: lines that could not be read, counted while iterating.
    """

    data: bytes
    damaged: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[Event]:
        start = 0
        data = self.data
        while (end := data.find(b"\n", start)) >= 0:
            line = data[start:end]
            start = end + 1
            if not line:
                continue
            try:
                event = decode(line)
            except ValueError:
                event = self._salvage(line)
            if event is not None:
                yield event

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
