"""One write per event; torn lines, full disks, forks and kills lose nothing that was acknowledged."""

from __future__ import annotations

import errno
import io
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import datetime, timezone

import pytest

from prefect_trackrecord import events as ev
from prefect_trackrecord.journal import liveness, segments
from prefect_trackrecord.journal.reader import SegmentReader, segment_paths, writer_alive, writer_of
from prefect_trackrecord.journal.writer import JournalWriter

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


def file_event(path: str) -> ev.FileTracked:
    return ev.FileTracked(at=NOW, row={"file_path": path, "status": "success"})


def paths_in(folder) -> list[str]:
    found = []
    for path in segment_paths(folder):
        found += [e.row["file_path"] for e in SegmentReader(path.read_bytes()) if isinstance(e, ev.FileTracked)]
    return found


def test_round_trip_of_each_kind(tmp_path):
    events = [
        ev.RunStarted(at=NOW, run={"command": "x"}),
        ev.RunUpdated(at=NOW, run={"state": "y"}),
        file_event("a\nb\u2028"),
        ev.EmailTracked(at=NOW, row={"email": "a@b.c"}),
        ev.MetricTracked(at=NOW, name="rows", value=1.5, file="f"),
        ev.TrackingFailed(at=NOW, cause="c", count=2),
        ev.DocumentSaved(at=NOW, document="files", value=[{"file_path": "a", "status": "success"}]),
        ev.RunEnded(at=NOW, status="failed", error_message="m"),
    ]
    writer = JournalWriter([tmp_path])
    assert all(writer.append(e) for e in events)
    read = list(SegmentReader(writer.path.read_bytes()))
    assert isinstance(read[0], ev.WriterOpened)
    assert read[0].pid == os.getpid()
    assert (read[1].kind, read[1].count, read[1].lost) == ("tracking.failed", 0, 0), "room to tell of losses"
    assert read[2:] == events


def test_unknown_kinds_and_fields_of_a_newer_version_are_let_pass():
    data = b'{"kind":"news","at":"2026-01-02T00:00:00+00:00"}\n' + ev.encode(file_event("a")).replace(
        b'"turn":1', b'"turn":1,"later":true'
    )
    reader = SegmentReader(data)
    assert [e.row["file_path"] for e in reader] == ["a"]
    assert reader.damaged == 0


def test_what_json_cannot_hold_is_kept_as_text(tmp_path):
    writer = JournalWriter([tmp_path])
    assert writer.append(ev.FileTracked(at=NOW, row={"file_path": "\ud800", "status": "success", "x": 2**70}))
    (_, _, event) = SegmentReader(writer.path.read_bytes())
    assert event.row == {"file_path": "?", "status": "success", "x": str(2**70)}


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_last_line_is_left_out(cut):
    whole = ev.encode(file_event("a"))
    reader = SegmentReader(whole + ev.encode(file_event("b"))[:-cut])
    assert [e.row["file_path"] for e in reader] == ["a"]


def test_a_line_torn_by_a_full_disk_costs_only_itself():
    torn = ev.encode(file_event("torn"))[:25]
    reader = SegmentReader(
        torn + ev.encode(file_event("next")) + b"\xff\xfe nonsense\n" + ev.encode(file_event("last"))
    )
    assert [e.row["file_path"] for e in reader] == ["next", "last"]
    assert reader.damaged == 2


def test_threads_write_whole_lines(tmp_path):
    writer = JournalWriter([tmp_path])

    def work(n):
        for i in range(500):
            assert writer.append(file_event(f"{n}/{i}/{'x' * (i % 300)}"))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    found = paths_in(tmp_path)
    assert len(found) == len(set(found)) == 4000


def test_the_next_folder_takes_over_and_says_so(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    told = []
    writer = JournalWriter([blocked / "in", tmp_path / "spool"], told.append)
    assert writer.append(file_event("a"))
    assert paths_in(tmp_path / "spool") == ["a"]
    assert writer.diverted is not None
    assert [p.parent for p in writer.paths] == [tmp_path / "spool"]
    assert len(told) == 1
    assert "not a directory" in told[0]


def test_what_no_folder_takes_is_counted(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    told = []
    writer = JournalWriter([blocked / "in"], on_loss=told.append)
    assert not writer.append(file_event("a"))
    assert not writer.append(file_event("b"))
    assert writer.dropped == {"not a directory": 2}
    assert len(told) == 1


def test_a_full_disk_diverts_to_the_spool_and_loses_nothing(tmp_path):
    """A file size limit stands for the full disk: the kernel writes what fits, then refuses."""
    code = f"""
        import resource, signal
        from pathlib import Path
        from datetime import datetime, timezone
        from prefect_trackrecord import events as ev
        from prefect_trackrecord.journal.writer import JournalWriter
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        writer = JournalWriter([Path({str(tmp_path / "a")!r}), Path({str(tmp_path / "b")!r})])
        kept = []
        for n in range(20):
            row = {{"file_path": str(n), "status": "success", "pad": "x" * 100}}
            if writer.append(ev.FileTracked(at=datetime.now(timezone.utc), row=row)):
                kept.append(str(n))
        print(",".join(kept), sum(writer.dropped.values()))
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    kept, dropped = out.stdout.split()
    found = paths_in(tmp_path / "a") + paths_in(tmp_path / "b")
    assert set(kept.split(",")) <= set(found)
    assert paths_in(tmp_path / "b"), "the second folder took over"
    assert len(kept.split(",")) + int(dropped) == 20


def test_a_forked_child_writes_a_segment_of_its_own(tmp_path):
    writer = JournalWriter([tmp_path])
    writer.append(file_event("parent"))
    pid = os.fork()
    if pid == 0:
        try:
            writer.append(file_event("child"))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    writer.append(file_event("parent again"))
    segments = segment_paths(tmp_path)
    assert len(segments) == 2
    assert {writer_of(p.read_bytes()).pid for p in segments} == {os.getpid(), pid}
    assert sorted(paths_in(tmp_path)) == ["child", "parent", "parent again"]


def test_close_waits_for_writers_and_a_later_event_opens_anew(tmp_path):
    writer = JournalWriter([tmp_path])
    writer.append(file_event("a"))
    assert writer.close()
    writer.append(file_event("b"))
    assert len(segment_paths(tmp_path)) == 2


@pytest.mark.parametrize("seed", range(6))
def test_sigkill_loses_no_acknowledged_event(tmp_path, seed):
    code = f"""
        import sys
        from pathlib import Path
        from datetime import datetime, timezone
        from prefect_trackrecord import events as ev
        from prefect_trackrecord.journal.writer import JournalWriter
        writer = JournalWriter([Path({str(tmp_path)!r})])
        n = 0
        while True:
            row = {{"file_path": str(n), "status": "success"}}
            if writer.append(ev.FileTracked(at=datetime.now(timezone.utc), row=row)):
                sys.stdout.write(f"{{n}}\\n"); sys.stdout.flush()
            n += 1
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    first = child.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.05))
    child.send_signal(signal.SIGKILL)
    acknowledged = {int(n) for n in (first + child.stdout.read()).splitlines(keepends=True) if n.endswith("\n")}
    child.wait()
    assert acknowledged
    assert acknowledged <= {int(p) for p in paths_in(tmp_path)}
    assert writer_alive(segment_paths(tmp_path)[0].read_bytes()) is False


def test_liveness(monkeypatch):
    me, host, boot = os.getpid(), liveness.host_name(), liveness.boot_id()
    ticks = liveness.start_ticks(me)
    assert liveness.is_alive(host, boot, me, ticks) is True
    assert liveness.is_alive(host, boot, me, ticks + 1) is False, "the pid was used again"
    assert liveness.is_alive(host, "another boot", me, ticks) is None, "another machine of this name, perhaps"
    assert liveness.is_alive("elsewhere", boot, me, ticks) is None
    assert liveness.is_alive(host, boot, me, ticks, liveness.pid_namespace()) is True
    if liveness.pid_namespace():
        assert liveness.is_alive(host, boot, me, ticks + 1, "pid:[1]") is None, "another container's pid"
    machine = boot.partition("/")[2] or "0123456789ab"
    monkeypatch.setattr(liveness, "boot_id", lambda: f"this boot/{machine}")
    assert liveness.is_alive(host, f"another boot/{machine}", me, ticks) is False, "it has started anew since"
    assert liveness.is_alive(host, f"another boot/{machine}", me, ticks, "pid:[1]") is False
    assert liveness.is_alive(host, "another boot/another", me, ticks) is None
    monkeypatch.undo()
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert liveness.is_alive(host, boot, child.pid, 0) is False


def test_a_zombie_is_not_alive():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    deadline = time.monotonic() + 10
    while liveness.start_ticks(child.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    alive = liveness.is_alive(liveness.host_name(), liveness.boot_id(), child.pid, 0)
    child.wait()
    assert alive is False


def test_a_folder_that_a_sealer_tidies_away_is_made_again(tmp_path, monkeypatch):
    real, gone = os.makedirs, []

    def made(folder, **how):
        real(folder, **how)
        if len(gone) < 3:
            gone.append(os.rmdir(folder))

    monkeypatch.setattr(os, "makedirs", made)
    writer = JournalWriter([tmp_path / "run"])
    assert writer.append(file_event("a"))
    assert not writer.dropped
    assert paths_in(tmp_path / "run") == ["a"]


@pytest.mark.parametrize(
    ("host", "begins"),
    [
        ("web-1.example.com", "web_1.example.com"), ("büro pc", "büro_pc"), ("...", "host"), ("../../etc", "_.._etc"),
        ("h" * 60, "h" * 40), ("a_b", "a_b"),
    ],
)  # fmt: skip
def test_the_name_of_a_segment(monkeypatch, host, begins):
    """A name that each store and file system takes, by which a person sees whose it is."""
    monkeypatch.setattr(segments, "host_name", lambda: host)
    one, other = segments.segment_name(), segments.segment_name()
    assert one != other
    assert re.fullmatch(rf"{re.escape(begins)}-{os.getpid()}-[0-9a-f]{{8}}\.ndjson", one)


def test_a_segment_whose_first_line_finds_no_room_is_taken_away(tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, line):
            return super().write(line[:5])

    monkeypatch.setattr(segments.io, "FileIO", Full)
    told = []
    writer = JournalWriter([tmp_path / "full"], on_loss=told.append)
    assert not writer.append(file_event("a"))
    assert list((tmp_path / "full").iterdir()) == []
    assert told == [f"{tmp_path / 'full'}: {os.strerror(errno.ENOSPC).lower()}"]


def test_why_an_event_is_lost_is_told_in_words(tmp_path):
    writer = JournalWriter([tmp_path / "run"])
    writer.append(file_event("a"))
    for error, words in [
        (OSError(errno.EIO, "Input/output error"), "input/output error"),
        (OSError("odd"), "OSError: odd"),
        (ValueError("closed"), "ValueError: closed"),
    ]:

        class Broken:
            name = tmp_path / "run" / "x.ndjson"

            def write(self, line, error=error):
                raise error

        writer._file = Broken()
        assert not writer.append(file_event("b"))
        assert writer.dropped[words] == 1


def test_what_was_told_is_told_once(tmp_path):
    writer = JournalWriter([tmp_path / "run"])
    assert not writer.has_news
    assert writer.tell() == []
    assert not list(tmp_path.iterdir()), "nothing to tell: no segment is begun"
    writer.lose("no room", 2)
    writer.fault("slow")
    assert writer.has_news
    assert writer.tell() == []
    assert not writer.has_news
    writer.lose("no room")
    writer.tell()
    writer.tell()
    (path,) = segment_paths(tmp_path / "run")
    told = [e for e in SegmentReader(path.read_bytes()) if isinstance(e, ev.TrackingFailed) and e.count]
    assert [(e.cause, e.count, e.lost) for e in told] == [
        ("events lost: no room", 2, 2), ("slow", 1, 0), ("events lost: no room", 1, 1),
    ]  # fmt: skip


def test_idle_is_who_has_not_written_for_three_minutes(tmp_path, monkeypatch):
    writer = JournalWriter([tmp_path / "run"])
    writer.append(file_event("a"))
    now = writer.used
    monkeypatch.setattr(time, "monotonic", lambda: now + 180)
    assert not writer.is_idle()
    monkeypatch.setattr(time, "monotonic", lambda: now + 180.5)
    assert writer.is_idle()


def lost_by(path):
    """What a segment's room says."""
    return [(e.count, e.lost) for e in SegmentReader(path.read_bytes()) if isinstance(e, ev.TrackingFailed)][0]


class FullDisk:
    """Takes nothing while it is full; a file that was open before, too."""

    def __init__(self, monkeypatch):
        self.full, self.real = False, segments.new_segment
        monkeypatch.setattr(segments, "new_segment", self.new)

    def new(self, folder, line):
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(folder, line)


@pytest.fixture
def full(tmp_path, monkeypatch):
    """A disk that has become full, a writer on it, and the segment that it wrote before."""
    disk = FullDisk(monkeypatch)
    writer = JournalWriter([tmp_path / "run"])
    assert writer.append(file_event("a"))
    first = writer.path
    disk.full, writer._file = True, None
    return disk, writer, first


def test_losses_are_told_in_the_room_until_a_line_tells_them(tmp_path, full):
    disk, writer, first = full
    for name in "bcd":
        assert not writer.append(file_event(name))
    assert lost_by(first) == (3, 3)
    untold = writer.tell()
    assert [event.lost for event in untold] == [3], "nobody takes it"
    assert (lost_by(first), writer.dropped.total()) == ((3, 3), 3), "what is told is no loss of its own"
    writer.again(untold)
    disk.full = False
    assert writer.append(file_event("e"))
    assert writer.path != first
    assert lost_by(first) == (0, 0)
    events = [e for p in segment_paths(tmp_path / "run") for e in SegmentReader(p.read_bytes())]
    assert sum(e.lost for e in events if isinstance(e, ev.TrackingFailed)) == 3


def test_a_loss_while_another_thread_tells_counts(full, monkeypatch):
    disk, writer, first = full
    assert not writer.append(file_event("b"))
    inside, go_on = threading.Event(), threading.Event()
    real = disk.new

    def slow(folder, line):
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            go_on.wait(10)
        return real(folder, line)

    monkeypatch.setattr(segments, "new_segment", slow)
    teller = threading.Thread(target=writer.tell)
    teller.start()
    assert inside.wait(10)
    assert not writer.append(file_event("c"))
    go_on.set()
    teller.join()
    assert (writer.dropped.total(), lost_by(first)) == (2, (2, 2))


def test_a_child_leaves_its_parents_losses_to_the_parent(tmp_path, full):
    disk, writer, first = full
    assert not writer.append(file_event("b"))
    pid = os.fork()
    if pid == 0:
        try:
            writer.append(file_event("lost by the child"))
            disk.full = False
            writer.append(file_event("c"))
            writer.tell()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert lost_by(first) == (1, 1)
    events = [e for p in segment_paths(tmp_path / "run") for e in SegmentReader(p.read_bytes())]
    assert sum(e.lost for e in events if isinstance(e, ev.TrackingFailed)) == 2


def test_only_the_first_folder_has_room(tmp_path):
    """Segments in the spool are sent as they grow."""
    (tmp_path / "in the way").write_text("")
    writer = JournalWriter([tmp_path / "in the way" / "run", tmp_path / "spool"])
    assert writer.append(file_event("a"))
    assert [type(e) for e in SegmentReader(writer.path.read_bytes())] == [ev.WriterOpened, ev.FileTracked]
    plain = JournalWriter([tmp_path / "records"], keeps_room=False)
    assert plain.append(file_event("a"))
    assert len(list(SegmentReader(plain.path.read_bytes()))) == 2
