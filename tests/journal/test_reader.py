"""Segments read back: whole lines in blocks wherever the bytes are, torn and damaged lines, and whose they are."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path

import pytest

from prefect_trackrecord import events as ev
from prefect_trackrecord.journal import reader
from prefect_trackrecord.journal.liveness import boot_id, host_name, start_ticks
from prefect_trackrecord.journal.reader import (
    Part,
    SegmentReader,
    blocks,
    lives,
    read_line,
    whole,
    writer_alive,
    writer_of,
)

T0 = datetime(2026, 1, 2, 3, tzinfo=timezone.utc)
LINES = b"".join(b"%d %s\n" % (n, b"x" * (n % 37)) for n in range(400))


def opened(pid: int = 0, host: str = "") -> ev.WriterOpened:
    pid = pid or os.getpid()
    return ev.WriterOpened(T0, host or host_name(), boot_id(), pid, start_ticks(pid) or 1)


def outcome(path: str) -> ev.FileTracked:
    return ev.FileTracked(at=T0, row={"file_path": path, "status": "success"})


@pytest.fixture(params=["bytes", "path", "part"])
def source(request, tmp_path, monkeypatch):
    """Makes a source of some bytes; blocks are small, and a part lies between other bytes."""
    monkeypatch.setattr(reader, "_BLOCK", 64)
    files = []

    def make(data: bytes):
        if request.param == "bytes":
            return data
        path = tmp_path / f"{len(files)}.ndjson"
        path.write_bytes(data if request.param == "path" else b"before\n" + data + b"\nafter\n")
        if request.param == "path":
            files.append(None)
            return path
        files.append(path.open("rb"))
        return Part(files[-1], 7, len(data))

    yield make
    for file in files:
        if file is not None:
            file.close()


def test_all_whole_lines_and_nothing_of_a_torn_one(source):
    found = list(blocks(source(LINES + b"a torn one")))
    assert b"".join(found) == LINES
    assert all(block.endswith(b"\n") and len(block) < 128 for block in found)
    assert len(found) > 50
    assert list(blocks(source(b""))) == []
    assert list(blocks(source(b"no newline at all" * 20))) == []


def test_a_line_that_is_longer_than_a_block(source):
    long = b"y" * 1_000 + b"\n"
    data = b"a\n" + long + b"b\n" + long
    assert b"".join(blocks(source(data))) == data
    assert long in b"".join(blocks(source(long + b"torn")))
    assert b"".join(blocks(source(long[:500]))) == b""


@pytest.mark.parametrize("cut", [0, 1, 5, 63, 64, 65, 200, 1_000])
def test_only_so_many_bytes(source, cut):
    assert b"".join(blocks(source(LINES), cut)) == whole(LINES[:cut])


def test_more_than_there_is(source):
    assert b"".join(blocks(source(LINES), len(LINES) + 1_000)) == LINES


def test_equal_bytes_are_cut_alike_when_more_is_added(source):
    before = list(blocks(source(LINES[:4_000])))
    after = list(blocks(source(LINES), 4_000))
    assert before == after


def test_two_parts_of_one_file_are_read_in_turns(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "_BLOCK", 64)
    path = tmp_path / "parts"
    other = LINES.replace(b"x", b"z")
    path.write_bytes(LINES + other)
    with path.open("rb") as file:
        first, second = blocks(Part(file, 0, len(LINES))), blocks(Part(file, len(LINES), len(other)))
        pairs = list(zip(first, second, strict=True))
    assert b"".join(one for one, _ in pairs) == LINES
    assert b"".join(two for _, two in pairs) == other


def test_a_line_that_a_full_disk_has_cut():
    line = ev.encode(outcome("a"))[:-1]
    torn = ev.encode(outcome("b"))[:40]
    assert read_line(line) == (outcome("a"), False)
    assert read_line(torn + line) == (outcome("a"), True)
    assert read_line(torn + torn + line) == (outcome("a"), True)
    assert read_line(torn) == (None, True)
    assert read_line(b"nonsense") == (None, True)
    assert read_line(line + b' {"kind":"x') == (None, True)
    assert read_line(b'{"kind":"of-a-later-version","at":"2026-01-02T03:00:00+00:00"}') == (None, False)


def test_what_a_segment_tells_of_itself():
    body = b"".join(map(ev.encode, (opened(), outcome("a"))))
    segment = SegmentReader(body + b"damaged\n\n" + ev.encode(outcome("b")) + b"torn")
    for _ in range(2):  # twice says the same
        assert list(segment) == [opened(), outcome("a"), outcome("b")]
        assert (segment.damaged, segment.writer, segment.alive) == (1, opened(), True)
        assert segment.size == len(segment.data) - len(b"torn")
    limited = SegmentReader(segment.data, limit=len(body))
    assert list(limited) == [opened(), outcome("a")]
    assert (limited.damaged, limited.size) == (0, len(body))


def test_a_writer_counts_only_in_the_first_line():
    segment = SegmentReader(b"".join(map(ev.encode, (outcome("a"), opened()))))
    assert len(list(segment)) == 2
    assert (segment.writer, segment.alive) == (None, None)
    damaged = SegmentReader(b"damaged\n" + ev.encode(opened()))
    assert list(damaged) == [opened()]
    assert damaged.writer is None
    assert lives(None, 0) is False, "nobody has written anything"
    assert lives(None, 1) is None
    assert lives(opened(host="elsewhere"), 1) is None


@pytest.mark.parametrize(
    ("data", "writer", "alive"),
    [
        (ev.encode(opened()), opened(), True),
        (ev.encode(opened(2**22 + 1)) + b"x", opened(2**22 + 1), False),
        (ev.encode(opened(host="elsewhere")), opened(host="elsewhere"), None),
        (ev.encode(opened())[:-1], None, None),
        (ev.encode(outcome("a")), None, None),
        (b"damaged\n", None, None),
        (b"\n" + ev.encode(opened()), None, None),
        (b" \n", None, False),
        (b"", None, False),
    ],
    ids=["ours", "gone", "elsewhere", "torn", "not the first line", "damaged", "empty line", "blank", "empty"],
)
def test_whose_it_is(data, writer, alive):
    assert writer_of(data) == writer
    assert writer_alive(data) is alive


def test_a_path_is_read_as_it_was_at_the_beginning(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(reader, "_BLOCK", 64)
    path = tmp_path / "grows.ndjson"
    path.write_bytes(LINES)
    found = []
    for block in blocks(path):
        found.append(block)
        with path.open("ab") as file:
            file.write(b"more\n")
    assert b"".join(found) == LINES
