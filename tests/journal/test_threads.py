"""Threads that open segments, leave them and close them at once: none is taken away under one that writes to it."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from prefect_trackrecord.journal import segments
from prefect_trackrecord.journal.reader import segment_paths
from prefect_trackrecord.journal.spool import Spool
from prefect_trackrecord.journal.spool_writer import SpoolWriter
from prefect_trackrecord.journal.writer import JournalWriter

LINE = b'{"kind":"x"}\n'


class Courier:
    """Takes everything."""

    def watch(self, writer): ...
    def nudge(self, size): ...
    def ease(self, most, seconds): ...
    def flush(self, writer):
        return True

    def watches(self, writer):
        return True


def at_once(count, work):
    """Let so many threads do something; what each gave."""
    barrier, given = threading.Barrier(count), {}

    def go(n):
        barrier.wait()
        given[n] = work(n)

    threads = [threading.Thread(target=go, args=(n,)) for n in range(count)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return [given[n] for n in range(count)]


def spool_writer(root: Path) -> SpoolWriter:
    return SpoolWriter(Spool(root, "s3://bucket", 1 << 30), "run", "run", Courier())


@pytest.fixture
def quick_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("quick_switches")
def test_threads_that_open_segments_at_once(tmp_path):
    """What an uploader would remove, as finished, is no segment that a later event still goes to."""
    for n in range(300):
        writer = spool_writer(tmp_path / str(n))
        assert at_once(4, lambda _, writer=writer: writer.write(LINE)) == [True] * 4
        assert sorted(writer.segments) == segment_paths(writer._spool.folder / "run")
        in_use = Path(writer._file.name)
        assert not writer.is_finished(in_use)
        assert all(writer.is_finished(path) for path in writer.segments if path != in_use)


def test_a_thread_that_opened_before_another_and_goes_on_after_it(tmp_path, monkeypatch):
    writer, both = spool_writer(tmp_path), threading.Barrier(2)
    writer.fault("so that opening looks at what is to be told")
    first, other_is_done = [], threading.Event()
    new, untold = segments.new_segment, writer.untold

    def made_by_both(*args):
        made = new(*args)
        both.wait(10)
        return made

    def waits():
        if not first:
            first.append(threading.get_ident())
        if first[0] == threading.get_ident():
            other_is_done.wait(10)
        return untold()

    def work(_):
        taken = writer.write(LINE)
        other_is_done.set()
        return taken

    monkeypatch.setattr(segments, "new_segment", made_by_both)
    monkeypatch.setattr(writer, "untold", waits)
    assert at_once(2, work) == [True, True]
    paths = segment_paths(writer._spool.folder / "run")
    assert sorted(writer.segments) == paths
    assert [path.read_bytes().count(LINE) for path in paths] == [1, 1]


def test_who_opens_while_it_is_closed_keeps_its_segment(tmp_path):
    writer = JournalWriter([tmp_path])
    assert writer.write(LINE)
    opened, path = writer._file, writer.path

    class Writing(list):
        """One is in the middle of it, and ends just as it is looked at."""

        def __len__(self):
            if super().__len__():
                self.pop()
                writer._publish(opened, path)
            return super().__len__()

    writer._writing = Writing([None])
    assert writer.close() == [], "others go on in it"
    assert set(writer.close()) == {path}


def test_nothing_is_free_while_a_thread_writes(tmp_path):
    writer = JournalWriter([tmp_path])
    assert writer.write(LINE)

    class Writing(list):
        """One begins just after it was looked at."""

        looks = 0

        def __len__(self):
            Writing.looks += 1
            return Writing.looks > 2

    writer._writing = Writing()
    assert writer.close() == []


def test_two_that_find_a_folder_full_go_on_to_the_next_one(tmp_path, monkeypatch):
    blocked, both = tmp_path / "a", threading.Barrier(2)
    blocked.write_text("no folder")
    writer = JournalWriter([blocked, tmp_path / "b"])
    new = segments.new_segment

    def fail_together(folder, line):
        if folder == blocked:
            both.wait(10)
        return new(folder, line)

    monkeypatch.setattr(segments, "new_segment", fail_together)
    assert at_once(2, lambda _: writer.write(LINE)) == [True, True]
    assert sum(path.read_bytes().count(LINE) for path in segment_paths(tmp_path / "b")) == 2
    assert not writer.dropped


def test_threads_of_a_child_keep_each_others_segments(tmp_path, monkeypatch):
    writer = spool_writer(tmp_path)
    assert writer.write(LINE)
    parents = writer.paths
    pid = os.fork()
    if not pid:
        both, new = threading.Barrier(2), segments.new_segment

        def made_by_both(*args):
            both.wait(10)
            return new(*args)

        good = False
        try:
            monkeypatch.setattr(segments, "new_segment", made_by_both)
            taken = at_once(2, lambda _: writer.write(LINE))
            known = sorted([*writer.paths, *parents])
            good = taken == [True, True] and known == segment_paths(writer._spool.folder / "run")
        finally:
            os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert writer.paths == parents


def test_two_that_have_seen_a_full_folder_step_to_the_next_one_only(tmp_path):
    both = threading.Barrier(2)

    class Slow(type(Path())):
        """Where it is named, threads change."""

        def __format__(self, spec):
            both.wait(10)
            return super().__format__(spec)

    first = Slow(tmp_path / "a")
    writer = JournalWriter([first, tmp_path / "b"])
    assert at_once(2, lambda _: writer._next_folder(first, "full", counts=True)) == [True, True]
    assert writer.write(LINE)
    assert writer.path.parent == tmp_path / "b"


@pytest.mark.usefixtures("quick_switches")
def test_losses_are_counted_and_told_once(tmp_path):
    for n in range(50):
        writer = JournalWriter([tmp_path / str(n)])
        told = []

        def lose_and_tell(_, writer=writer, told=told):
            for _ in range(5):
                writer.lose("no room")
            told.extend(writer.untold())

        at_once(8, lose_and_tell)
        assert writer.dropped == {"no room": 40}
        assert sum(event.lost for event in told) == 40


def test_the_room_holds_the_larger_total(tmp_path, monkeypatch):
    """One thread has counted fewer and writes later."""
    writer = JournalWriter([tmp_path / "run"])
    assert writer.write(LINE)
    writer._unheld["events lost: full"] = 1
    real, slow = segments.room_for, []

    def room_for(cause, lost):
        if lost == 1 and not slow:
            slow.append(None)
            writer._unheld["events lost: full"] = 2
            writer._note_losses()
        return real(cause, lost)

    monkeypatch.setattr(segments, "room_for", room_for)
    writer._note_losses()
    assert b'"lost":2' in writer.path.read_bytes()


def test_what_was_told_elsewhere_may_be_noted_while_more_is_lost(tmp_path):
    writer = JournalWriter([tmp_path])
    writer.lose("full", 3)
    writer._unheld["events lost: full"] = 3

    def told():
        for event in writer.untold():
            writer._unheld["events lost: other"] = 1  # another thread loses something just then
            yield event

    writer.held(told())
    assert {cause: lost for cause, lost in writer._unheld.items() if lost} == {"events lost: other": 1}


def test_all_segments_of_a_writer_are_free_once_it_is_closed(tmp_path):
    writer = JournalWriter([tmp_path])
    for _ in range(3):
        assert writer.write(LINE)
        writer._file = None
    assert sorted(writer.close()) == segment_paths(tmp_path)
    assert writer.close() == []


def test_losses_that_nobody_can_tell_take_no_more_and_more_memory(tmp_path):
    writer = JournalWriter([tmp_path])
    for n in range(5000):
        writer.lose(f"cause {n % 3}")
    assert len(writer._news) <= 1001
    assert sorted((event.cause, event.lost) for event in writer.untold()) == [
        ("events lost: cause 0", 1667),
        ("events lost: cause 1", 1667),
        ("events lost: cause 2", 1666),
    ]
    assert not writer.has_news
