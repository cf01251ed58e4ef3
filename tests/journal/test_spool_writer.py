"""A run's journal in the spool: segments that roll, the limit, and the way around a spool that takes nothing."""

from __future__ import annotations

import os
from datetime import datetime, timezone

import pytest

from prefect_trackrecord import events as ev
from prefect_trackrecord.journal import spool_writer as module
from prefect_trackrecord.journal.spool import SEGMENT, Spool
from prefect_trackrecord.journal.spool_writer import SpoolWriter

T0 = datetime(2026, 1, 2, 3, tzinfo=timezone.utc)
MIB = 1 << 20


class Courier:
    """Notes what it is asked for; brings nothing away unless it is told to."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.takes = True
        self.eased = lambda: None

    def watch(self, writer):
        self.calls.append(("watch", len(writer.paths)))

    def watches(self, writer):
        return True

    def nudge(self, size):
        self.calls.append(("nudge", size))

    def flush(self, writer):
        self.calls.append(("flush",))
        return self.takes

    def deliver(self, writer, size):
        self.calls.append(("deliver", size))
        return self.takes

    def ease(self, most, seconds):
        self.calls.append(("ease", most, seconds))
        self.eased()

    def named(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(module.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def courier():
    return Courier()


@pytest.fixture
def told():
    return {"refusal": [], "loss": []}


@pytest.fixture
def make(tmp_path, courier, told):
    def writer(limit=1 << 30, **more):
        spool = Spool(tmp_path / "spool", "s3://bucket", limit)
        return SpoolWriter(
            spool, "run", "run", courier, on_refusal=told["refusal"].append, on_loss=told["loss"].append, **more
        )

    return writer


def line(size: int) -> bytes:
    return b"x" * (size - 1) + b"\n"


def sizes(writer) -> list[int]:
    """Of the segments, without their first lines."""
    return [os.stat(path).st_size - len(path.read_bytes().split(b"\n", 1)[0]) - 1 for path in writer.paths]


def test_a_segment_ends_with_its_64_kib(make, courier):
    writer = make()
    assert writer.write(line(SEGMENT - 1))
    assert writer.write(line(1))
    assert writer.write(line(10))
    assert sizes(writer) == [SEGMENT, 10]
    assert [writer.is_finished(path) for path in writer.paths] == [True, False]
    assert courier.named("watch") == [(1,), (2,)]
    assert courier.named("nudge") == [(SEGMENT - 1,), (1,), (10,)]
    assert courier.named("ease") == [(32 * MIB, 1.0)] * 2, "for each segment, before it is begun"
    assert courier.named("flush") == []


@pytest.mark.parametrize(
    ("limit", "seconds", "expected"),
    [
        (1 << 30, 0.9, [1, 2, 4, 8, 16, 32, 64, 64]),
        (16 * MIB, 0.9, [1, 2, 4, 8, 16, 32, 32, 32]),
        (128 << 10, 0.9, [1]),  # an eighth of it would be less than a segment; two fill it
        (1 << 30, 1.0, [1, 1, 1, 1]),
    ],
)
def test_segments_grow_with_what_comes_in_a_second(make, clock, limit, seconds, expected):
    writer = make(limit)
    for units in expected:
        assert writer.write(line(10))
        clock.now += seconds
        assert writer.write(line(units * SEGMENT - 10))
    assert sizes(writer) == [units * SEGMENT for units in expected]


def test_segments_shrink_again(make, clock):
    writer = make()
    found = []
    for quick in (True, True, True, False, False, False, False):
        writer.write(line(10))
        clock.now += 0.5 if quick else 60
        while writer._file is not None:
            writer.write(line(SEGMENT // 2))
        found.append(sizes(writer)[-1] // SEGMENT)
    assert found == [1, 2, 4, 8, 4, 2, 1]


def test_stored_waits_for_the_store(make, courier):
    writer = make(stored=True)
    assert writer.append(ev.TrackingFailed(at=T0, cause="x"))
    courier.takes = False
    assert not writer.append(ev.TrackingFailed(at=T0, cause="y"))
    assert len(courier.named("flush")) == 2
    assert len(writer.paths[0].read_bytes().splitlines()) == 3, "it is kept here all the same"


def test_a_full_spool_refuses_and_looks_again_after_a_second(make, courier, told, clock):
    writer = make(limit=SEGMENT)
    assert writer.write(line(SEGMENT))
    cause = "the spool holds its limit of 0 MiB"
    courier.calls.clear()
    assert not writer.write(line(10))
    assert courier.named("ease") == [(32 * MIB, 1.0), (0, 1.0)], "it waits a moment for room"
    assert (writer.dropped, told["loss"], writer.is_losing) == ({cause: 1}, [cause], True)
    clock.now += 0.9
    assert not writer.write(line(10))
    assert len(courier.named("ease")) == 2, "not at each event"
    assert writer.dropped == {cause: 2}
    clock.now += 0.1
    courier.eased = lambda: [os.unlink(path) for path in writer.paths if path.exists()]
    assert writer.write(line(10))
    assert not writer.is_losing
    assert told["loss"] == [cause], "said once"
    assert b'"lost":2' in writer.paths[-1].read_bytes()


def test_what_a_run_needs_is_kept_beyond_the_limit(make):
    writer = make(limit=SEGMENT)
    assert writer.write(line(SEGMENT))
    row = {"file_path": "a", "status": "success"}
    assert not writer.append(ev.FileTracked(at=T0, row=row))
    assert writer.append(ev.RunEnded(at=T0))
    assert not writer.append(ev.FileTracked(at=T0, row=row)), "no way in for others, though a segment is open"
    assert writer.append(ev.TrackingFailed(at=T0, cause="x"))
    assert len(writer.paths) == 2


def test_a_spool_that_takes_nothing_is_gone_around(make, courier, told, tmp_path):
    (tmp_path / "spool").write_text("in the way")
    writer = make()
    assert not writer.holds
    assert writer.write(line(100))
    assert writer.write(line(50))
    assert courier.named("deliver") == [(100,), (50,)]
    assert courier.named("nudge") == []
    (refusal,) = told["refusal"]
    assert refusal.startswith(str(tmp_path / "spool"))
    (fault,) = writer.faults
    assert fault.startswith("the spool on this host took nothing (")
    assert writer.faults[fault] == 1
    assert not writer.dropped
    assert (writer.holds, writer.is_losing, writer.paths) == (True, True, [])
    courier.takes = False
    assert not writer.write(line(20)), "it is not kept before the store has it"
    while writer.unspooled.has_room():
        writer.write(line(100_000))
    before = len(courier.named("deliver"))
    assert not writer.write(line(20))
    assert len(courier.named("deliver")) == before
    (loss,) = told["loss"]
    assert loss.endswith(", and the store could not be written")
    assert writer.dropped == {loss: 1}
    assert not writer.write(line(20))
    assert (writer.dropped, len(told["loss"])) == ({loss: 2}, 1)
    assert not writer.append(ev.RunEnded(at=T0)), "it waits in memory, where there is no room for others"
    assert writer.dropped == {loss: 2}
    assert writer.tell() == []
    assert writer.untold() == []


def test_a_child_leaves_its_parents_segments_alone(make):
    writer = make()
    assert writer.write(line(100))
    (parents,) = writer.paths
    pid = os.fork()
    if not pid:
        good = writer.write(line(100)) and parents not in writer.paths and len(writer.paths) == 1
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert writer.paths == [parents]
    assert sizes(writer) == [100]
