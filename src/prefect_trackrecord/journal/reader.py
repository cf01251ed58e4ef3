"""Reads segments back: every whole line, also from a file that a kill or a full disk has torn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from prefect_trackrecord.events import Event, WriterOpened, decode
from prefect_trackrecord.journal.liveness import is_alive
from prefect_trackrecord.journal.segments import SUFFIX

_START = b'{"kind":"'
_BLOCK = 256 << 10


class Part(NamedTuple):
    """A segment's bytes within an open file that holds several."""

    file: BinaryIO
    start: int
    size: int


Source = bytes | Path | Part
"""Where a segment's bytes are."""


def blocks(source: Source, limit: int | None = None) -> Iterator[bytes]:
    """A segment's whole lines, many at a time; what follows its last newline is still being written and is left out.

    Equal bytes are cut into equal blocks, whenever they are read and however much has been added meanwhile.

    Args:
        source: the segment.
        limit: only so many bytes are read; all that were there at the beginning where left out.
    """
    if isinstance(source, Path):
        with source.open("rb", buffering=0) as file:
            stop = source.stat().st_size if limit is None else limit
            yield from _cut(Part(file, 0, stop))
    elif isinstance(source, Part):
        yield from _cut(source if limit is None else source._replace(size=min(limit, source.size)))
    else:
        at, stop = 0, len(source) if limit is None else limit
        while end := source.rfind(b"\n", at, min(at + _BLOCK, stop)) + 1 or source.find(b"\n", at, stop) + 1:
            yield source[at:end]
            at = end


def _cut(part: Part) -> Iterator[bytes]:
    at, left, begun = part.start, part.size, [b""]
    while left > 0:
        part.file.seek(at)  # others may read other parts of it meanwhile
        data = part.file.read(min(_BLOCK, left))
        if not data:
            break
        at, left = at + len(data), left - len(data)
        end = data.rfind(b"\n") + 1
        if end:
            yield b"".join([*begun, data[:end]])
            begun = [data[end:]]
        else:  # a line may be as long as a saved document
            begun.append(data)


def read_line(line: bytes) -> tuple[Event | None, bool]:
    """The event of a line, None for a kind that this version does not know; and whether the line is damaged.

    A damaged line may still hold an event, behind one that a full disk cut before its newline.
    """
    try:
        return decode(line), False
    except ValueError:
        pass
    at = line.rfind(_START)
    while at > 0:
        try:
            return decode(line[at:]), True
        except ValueError:
            at = line.rfind(_START, 0, at)
    return None, True


@dataclass
class SegmentReader:
    """One segment's events, one by one.

    Attributes:
        data: the segment's bytes, or the file that holds them.
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
        for block in blocks(self.data, self.limit):
            for line in block[:-1].split(b"\n"):
                first = not self.size
                self.size += len(line) + 1
                if not line:
                    continue
                event, damaged = read_line(line)
                self.damaged += damaged
                if first and isinstance(event, WriterOpened):
                    self.writer = event
                if event is not None:
                    yield event

    @property
    def alive(self) -> bool | None:
        """Whether its writer runs: True, False, or None where this host can't tell; to be asked after iterating."""
        return lives(self.writer, self.size)


def lives(writer: WriterOpened | None, size: int) -> bool | None:
    """Whether a segment's writer runs: True, False, or None where this host can't tell.

    Args:
        writer: as its first line says; None where that is missing or torn.
        size: bytes of its whole lines.
    """
    if writer is None:
        return None if size else False
    return is_alive(writer.host, writer.boot, writer.pid, writer.ticks, writer.namespace)


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
    return lives(writer, len(data))


def segment_paths(folder: Path) -> list[Path]:
    """The segments in a local folder, by name; an absent folder has none."""
    try:
        return sorted(p for p in folder.iterdir() if p.name.endswith(SUFFIX))
    except OSError:
        return []
