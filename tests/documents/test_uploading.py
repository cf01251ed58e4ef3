"""Events for a bucket: spooled by one write, uploaded in the background, within the spool's limit, across forks."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from faulty import FaultProxy
from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import uploading
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.bell import Bell
from prefect_trackrecord.errors import ConfigurationError, StoreUnavailableError
from prefect_trackrecord.journal import writer as journal_writer
from prefect_trackrecord.journal.reader import SegmentReader
from prefect_trackrecord.journal.spool import spools
from prefect_trackrecord.settings import Settings, current
from prefect_trackrecord.store import StoreConfig, open_store
from prefect_trackrecord.store._budget import is_pressing
from prefect_trackrecord.tracking import RunTracker, TrackingStorage, recover

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


def event(name, pad=0):
    return ev.FileTracked(at=NOW, row={"file_path": str(name), "status": "success", "reason": "x" * pad})


class Held:
    """A store in memory that can be told to fail, and counts its writes."""

    def __init__(self) -> None:
        self.inner = open_store(f"memory://held-{id(self)}")
        self.down = False
        self.sizes: list[tuple[str, int]] = []
        self.read: list[str] = []
        self.pressed: list[bool] = []
        self.url, self.local_root = self.inner.url, None

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def get(self, key):
        self.read.append(key)
        return self.inner.get(key)

    def get_many(self, keys):
        for key, blob in self.inner.get_many(keys):
            self.read.append(key)
            yield key, blob

    def replace(self, key, data, etag):
        if self.down:
            self.pressed.append(is_pressing())
            raise StoreUnavailableError("down")
        self.sizes.append((key, len(data)))
        return self.inner.replace(key, data, etag)


def archive_of(tmp_path, **env):
    named = {f"TRACKRECORD_{k.upper()}": str(v) for k, v in {"upload_seconds": 0.02, **env}.items()}
    settings = Settings.from_env({**named, "TRACKRECORD_SPOOL": str(tmp_path / "spool"), "PREFECT_HOME": str(tmp_path)})
    return Archive(Held(), settings)


def stored(archive, run_id):
    found = []
    for entry in archive.store.list(f"journal/{run_id}"):
        events = SegmentReader(archive.store.get(entry.key).data)
        found += [e.row["file_path"] for e in events if isinstance(e, ev.FileTracked)]
    return found


def until(what, seconds=60.0):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_events_reach_the_store_while_the_run_goes_on(tmp_path):
    archive = archive_of(tmp_path)
    writer = archive.writer("r")
    for n in range(3):
        assert writer.append(event(n))
        until(lambda n=n: len(stored(archive, "r")) == n + 1)
    assert [key for key, _ in archive.store.sizes] == [f"journal/r/{writer.path.name}"] * 3, "one segment that grows"
    assert sorted(size for _, size in archive.store.sizes) == [size for _, size in archive.store.sizes]


def test_segments_roll_and_leave_the_spool_once_the_store_has_them(tmp_path):
    archive = archive_of(tmp_path)
    writer = archive.writer("r")
    for n in range(3000):
        assert writer.append(event(n, 100))
    assert archive.flush()
    assert sorted(map(int, stored(archive, "r"))) == list(range(3000))
    segments = archive.store.list("journal/r")
    assert 2 <= len(segments) <= 10
    assert max(size for _, size in archive.store.sizes) < 600_000
    until(lambda: [p.name for p in (archive.spool / "r").iterdir()] == [writer.path.name])
    archive.store.read.clear()
    assert archive.seal("r", now=NOW).total_files == 3000
    assert not (archive.spool / "r").exists()
    assert not any(key.startswith("journal/") for key in archive.store.read), (
        "what was sent a moment ago is not read again"
    )


def test_only_so_much_of_what_was_sent_is_held(tmp_path):
    archive = archive_of(tmp_path)
    for run in ("r1", "r2"):
        writer = archive.writer(run)
        for n in range(4000):
            assert writer.append(event(n, 100))
        assert archive.flush()
    until(lambda: len(list((archive.spool / "r1").iterdir())) == len(list((archive.spool / "r2").iterdir())) == 1)
    assert 0 < sum(len(blob.data) for blob in archive.uploader._left.values()) <= 1 << 20
    for run in ("r1", "r2"):
        assert archive.seal(run, now=NOW).total_files == 4000
    assert archive.uploader._left == {}


def test_threads_that_wait_for_the_store_share_uploads(tmp_path):
    archive = archive_of(tmp_path, durability="stored", upload_seconds=60)
    archive.store.inner.put("warm", b"up")
    writer = archive.writer("r")
    seen: list[bool] = []

    def work(n):
        for i in range(20):
            kept = writer.append(event(f"{n}/{i}"))
            seen.append(kept and f"{n}/{i}" in stored(archive, "r"))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert seen == [True] * 160, "what was acknowledged as stored was in the store"
    assert len(archive.store.sizes) < 160


def test_stored_is_refused_while_the_store_is_down_and_the_event_is_kept(tmp_path):
    archive = archive_of(tmp_path, durability="stored")
    writer = archive.writer("r")
    assert writer.append(event("a"))
    archive.store.down = True
    assert not writer.append(event("b"))
    archive.store.down = False
    assert writer.append(event("c"))
    run = archive.seal("r", now=NOW)
    assert run.total_files == 3
    assert run.events_lost == 0
    assert any("could not be written for a while: down" in cause for cause in run.tracking_errors)


def test_a_store_that_is_down_costs_those_who_wait_for_it_no_pause(tmp_path):
    archive = archive_of(tmp_path, durability="stored", upload_seconds=4)
    writer = archive.writer("r")
    assert writer.append(event("a"))
    archive.store.down = True
    began = time.monotonic()
    assert not any(writer.append(event(n)) for n in range(20))
    assert time.monotonic() - began < 40, "not 4 s for each, nor 5; room for a busy machine"
    archive.store.down = False
    assert writer.append(event("b"))
    until(lambda: "could not be written for a while" in str(archive.store.get(f"journal/r/{writer.path.name}").data))


def test_a_spool_at_its_limit_drops_counts_and_tells(tmp_path, caplog):
    archive = archive_of(tmp_path, spool_limit_mb=0.5)
    archive.store.down = True
    writer = archive.writer("r")
    writer.append(ev.RunStarted(at=NOW, run={"command": "c"}))
    until(lambda: archive.store.pressed)
    assert not any(archive.store.pressed), "nothing is lost yet"
    began = time.monotonic()
    kept = sum(writer.append(event(n, 1000)) for n in range(2000))
    assert time.monotonic() - began < 60, "it waits for room, but not for ever"
    assert 300 < kept < 1000, "half a MiB, and what a segment holds"
    assert writer.append(ev.RunEnded(at=NOW, status="success")), "a run's own events are kept all the same"
    assert any("limit of" in record.message for record in caplog.records)
    until(lambda: archive.store.pressed[-1])
    archive.store.down = False
    run = archive.seal("r", now=NOW)
    assert (run.total_files, run.events_lost) == (kept, 2000 - kept)
    assert sum(count for cause, count in run.tracking_errors.items() if "events lost" in cause) == 2000 - kept


def test_writers_wait_for_a_store_that_is_only_slow(tmp_path):
    archive = archive_of(tmp_path, spool_limit_mb=1)
    replace = archive.store.inner.replace

    def slowly(*args):
        time.sleep(0.05)
        return replace(*args)

    archive.store.inner.replace = slowly
    writer = archive.writer("r")
    assert all(writer.append(event(n, 1000)) for n in range(4000))
    run = archive.seal("r", now=NOW)
    assert (run.total_files, run.events_lost) == (4000, 0)


def test_two_endpoints_share_no_spool(tmp_path):
    settings = Settings.from_env({"TRACKRECORD_SPOOL": str(tmp_path)})

    def spool(url, **options):
        return Archive(StoreConfig(url, options), settings).spool

    s3 = [{}, {"endpoint_url": "http://a:1"}, {"endpoint_url": "http://b:1"}, {"client_kwargs": {"endpoint_url": "c"}}]
    assert len({spool("s3://b/x", **options) for options in s3}) == 4
    assert spool("s3://b/x", endpoint_url="http://a:1", key="k", secret="1") == spool(
        "s3://b/x", endpoint_url="http://a:1/"
    )
    named = ["AccountName=one;AccountKey=k", "AccountName=two;AccountKey=k"]
    pytest.importorskip("adlfs")
    assert len({spool("abfs://c/x", connection_string=text) for text in named}) == 2
    assert spool("az://c/x", account_name="one", sas_token="a") == spool("abfs://c/x", account_name="one")


def test_a_spool_says_whose_it_is_and_holds_no_credentials(tmp_path):
    pytest.importorskip("s3fs")
    settings = Settings.from_env({"TRACKRECORD_SPOOL": str(tmp_path), "TRACKRECORD_STORE_DEADLINE": "0.5"})
    options = {"key": "my-key", "secret": "my-secret", "endpoint_url": "http://user:pw@127.0.0.1:9/?token=t"}
    archive = Archive(StoreConfig("s3://b/x", options), settings)
    assert archive.writer("r").append(event("a"))
    assert list(spools(tmp_path)) == [("s3://b/x at http://127.0.0.1:9", archive.spool)]
    text = "".join(p.read_text() for p in tmp_path.rglob("*") if p.is_file())
    assert not any(word in text for word in ("my-key", "my-secret", "pw", "token"))


def test_an_unknown_durability_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="'spool' or 'stored'"):
        TrackingStorage(base_path=tmp_path, durability="sturdy")
    assert TrackingStorage(base_path=tmp_path, durability="stored").archive.durability == "stored"
    assert Settings.from_env({"TRACKRECORD_DURABILITY": "sturdy"}).durability == "spool"


# Forks, children made anew, full and read-only disks.


def _child(place, options, run_id, name):
    storage = TrackingStorage(base_path=place, options=options)
    assert storage.archive.writer(run_id).append(event(name))
    assert storage.archive.flush()
    os._exit(0)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_upload_their_own_and_their_parent_goes_on(s3_server, bucket, monkeypatch, method):
    pytest.importorskip("s3fs")
    monkeypatch.setenv("TRACKRECORD_STORE_DEADLINE", "30")
    current.cache_clear()
    place = f"s3://{bucket}/history"
    code = f"""
        import multiprocessing, os, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r}); sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
        from test_uploading import _child, event
        from prefect_trackrecord.tracking import RunTracker, TrackingStorage
        if __name__ == "__main__":
            place, options = {place!r}, {s3_server.options!r}
            storage = TrackingStorage(base_path=place, options=options)
            with RunTracker("c", storage=storage) as tracker:
                assert tracker.track_file("parent 1") and storage.archive.flush()
                make = multiprocessing.get_context({method!r}).Process
                children = [make(target=_child, args=(place, options, tracker.run_id, "child 1"))]
                [c.start() for c in children]; [c.join(60) for c in children]
                assert [c.exitcode for c in children] == [0], [c.exitcode for c in children]
                if {method!r} == "fork":  # a child that goes on with its parent's own objects
                    pid = os.fork()
                    if pid == 0:
                        ok = False
                        try:
                            ok = tracker.track_file("child 2") and storage.archive.flush()
                        finally:
                            os._exit(0 if ok else 1)
                    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
                assert tracker.track_file("parent 2") and storage.archive.flush()
            print(tracker.run_id)
    """
    script = Path(os.environ["TRACKRECORD_SPOOL"]).parent / "main.py"
    script.write_text(textwrap.dedent(code))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    storage = TrackingStorage(base_path=place, options=s3_server.options)
    recover(storage)
    run = storage.archive.run(done.stdout.strip())
    names = {row.file_path for row in storage.archive.files(run)}
    children = {"child 1", "child 2"} if method == "fork" else {"child 1"}
    assert names == {"parent 1", "parent 2"} | children


def test_a_worker_that_lives_long_keeps_no_files_of_runs_that_it_has_left(tmp_path, monkeypatch):
    monkeypatch.setattr(uploading, "_IDLE", 0.05)
    archive = archive_of(tmp_path)
    writer = archive.writer("r")
    assert writer.append(event("a"))
    assert archive.flush()
    monkeypatch.setattr(journal_writer, "_IDLE", 0.2)
    until(lambda: not writer.holds)
    assert list((archive.spool / "r").iterdir()) == []
    until(lambda: not archive.uploader._writers)
    monkeypatch.setattr(journal_writer, "_IDLE", 180)
    assert writer.append(event("b")), "whoever still holds it writes a new segment"
    assert archive.writer("another").append(event("c"))
    assert archive.flush()
    assert sorted(stored(archive, "r")) == ["a", "b"]
    run = archive.seal("r", now=NOW)
    assert (run.total_files, run.events_lost) == (2, 0)
    assert not (archive.spool / "r").exists()


@pytest.mark.parametrize("place", ["{}/history", "memory://{}"])
def test_few_files_are_open_however_many_runs_a_process_takes_part_in(tmp_path, place):
    code = f"""
        import os, resource
        from datetime import datetime, timezone
        from prefect_trackrecord import events as ev
        from prefect_trackrecord.tracking import TrackingStorage
        storage = TrackingStorage(base_path={place.format(tmp_path)!r})
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        for n in range(100):
            event = ev.FileTracked(at=datetime.now(timezone.utc), row={{"file_path": "a", "status": "success"}})
            assert storage.archive.writer(f"run-{{n}}").append(event), n
        [open(os.devnull) for _ in range(20)]
        print(sum(storage.archive.seal(f"run-{{n}}").total_files for n in range(100)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "100", done.stderr


@pytest.fixture
def no_spool(tmp_path):
    """A history whose spool takes nothing."""
    (tmp_path / "spool").write_text("in the way")
    return archive_of(tmp_path)


def test_what_the_spool_does_not_take_goes_to_the_store(no_spool, caplog):
    with RunTracker("nightly", storage=TrackingStorage.around(no_spool)) as tracker:
        for n in range(3):
            assert tracker.track_file(str(n))
            assert stored(no_spool, tracker.run_id) == [str(i) for i in range(n + 1)], "acknowledged: the store has it"
    run = no_spool.run(tracker.run_id)
    assert (run.command, run.status, run.total_files, run.events_lost) == ("nightly", "success", 3, 0)
    (cause,) = run.tracking_errors
    assert "spool on this host took nothing (not a directory)" in cause
    assert [r.message for r in caplog.records if "events go to memory://" in r.message]
    assert not any("are kept in" in r.message for r in caplog.records)


def test_much_that_the_spool_does_not_take(no_spool):
    writer = no_spool.writer("r")
    threads = [
        threading.Thread(target=lambda n=n: [writer.append(event(f"{n}/{i}", 1000)) for i in range(50)])
        for n in range(8)
    ]
    [t.start() for t in threads]
    [t.join() for t in threads]
    run = no_spool.seal("r", now=NOW)
    assert (run.total_files, run.events_lost) == (400, 0)
    assert len([e for e in no_spool.store.list("journal/r") if e.key.endswith(".ndjson")]) > 5, "in segments that end"


def test_neither_spool_nor_store(no_spool, caplog):
    """Refused without a wait for each; what memory holds is told once the store is back, and the rest is counted."""
    no_spool.store.down = True
    tracker = RunTracker("nightly", storage=TrackingStorage.around(no_spool))
    tracker.start()
    began = time.monotonic()
    assert not any(tracker.track_file(str(n), reason="x" * 10_000) for n in range(200))
    assert time.monotonic() - began < 60
    no_spool.store.down = False
    run = tracker.complete()
    assert run.command == "nightly"
    assert 90 < run.total_files < 120
    assert run.events_lost == 200 - run.total_files
    assert (run.status, run.reason) == (
        "partial_success", f"{run.events_lost} of its events were lost: its files may not be all",
    )  # fmt: skip
    assert len([r for r in caplog.records if "events for memory://" in r.message]) == 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a quarter of a MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if os.name != "posix" or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no rights to mount a small file system")  # test_writer has RLIMIT_FSIZE for that
    yield folder
    subprocess.run(["mount", "-o", "remount,rw", str(folder)], capture_output=True)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_no_space_left_for_the_spool(small_disk, s3_server, bucket, monkeypatch):
    """The store is down and the disk is full: what is kept is kept, what is not is refused, counted and told."""
    monkeypatch.setenv("TRACKRECORD_SPOOL", str(small_disk / "spool"))
    monkeypatch.setenv("TRACKRECORD_STORE_DEADLINE", "30")
    monkeypatch.setenv("TRACKRECORD_CALL_DEADLINE", "2")  # what the first event waits that the disk does not take
    current.cache_clear()
    with FaultProxy(s3_server.endpoint).running() as proxy:
        options = {**s3_server.options, "endpoint_url": proxy.url}
        storage = TrackingStorage(base_path=f"s3://{bucket}/history", options=options)
        proxy.fault = "503"
        tracker = RunTracker("c", storage=storage)
        tracker.start()
        kept = [n for n in range(1000) if tracker.track_file(str(n), reason="x" * 1000)]
        assert 100 < len(kept) < 300
        proxy.fault = ""
        run = tracker.complete("success")
        assert run is not None, "the store is back: the end and the losses go there directly"
        files = {row.file_path for row in storage.archive.files(run)}
        assert {str(n) for n in kept} <= files
        assert run.events_lost == 1000 - len(files)
        assert any("no space left" in cause for cause in run.tracking_errors)


FILLS_IT = """
import os, signal, sys
from prefect_trackrecord.tracking import RunTracker
tracker = RunTracker("c", storage=sys.argv[1] + "/history")
tracker.start()
kept = [tracker.track_file(str(n), "failed", reason="x" * 500) for n in range(1000)]
if sys.argv[2] == "ends":
    assert tracker.complete("success") is None
print(kept.count(True), kept.count(False), flush=True)
if sys.argv[2] == "is killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_history_and_spool_on_one_disk_that_is_full(small_disk, how, monkeypatch):
    """As they are by default. Nothing more can be written, and yet what is lost must be told once there is room."""
    monkeypatch.setenv("TRACKRECORD_SPOOL", str(small_disk / "spool"))
    current.cache_clear()
    command = [sys.executable, "-c", FILLS_IT, str(small_disk), how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    kept, lost = map(int, done.stdout.split())
    assert kept > 100
    assert lost > 300
    if how == "ends":
        lost += 1  # its end, too
        assert f"{lost:,} events of run " in done.stderr
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    (found,) = recover(small_disk / "history")
    assert (found.run.total_files, found.run.events_lost) == (kept, lost)
    assert found.run.tracking_errors["events lost: no space left on device"] == lost
    assert found.run.status.value != "success"


def test_a_folder_that_becomes_read_only(small_disk, caplog):
    storage = TrackingStorage(base_path=small_disk / "history")
    tracker = RunTracker("c", storage=storage)
    tracker.start()
    assert tracker.track_file("before")
    storage.archive.writer(tracker.run_id).close()  # or the open file keeps the remount from happening
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    began = time.monotonic()
    assert tracker.track_file("during"), "kept in the spool, which is elsewhere"
    assert tracker.complete() is None
    assert time.monotonic() - began < 30
    assert any("read-only file system" in record.message.lower() for record in caplog.records)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    (done,) = recover(storage)
    assert (done.run.status, done.run.total_files) == ("success", 2)


def test_who_waits_for_the_store_is_told_the_truth_when_the_run_is_sealed_meanwhile(tmp_path):
    archive = archive_of(tmp_path, durability="stored")
    archive.store.down, given = True, []
    forget = archive.uploader.forget
    waiting = threading.Thread(target=lambda: given.append(archive.writer("r").append(event("a"))))
    pause = archive.uploader._hurry.wait

    def sealed_meanwhile(seconds):
        if waiting.is_alive():
            forget("r")
        return pause(seconds)

    archive.uploader._hurry.wait = sealed_meanwhile
    waiting.start()
    waiting.join(30)
    assert given == [False], "an upload of nothing has brought nothing"


def test_a_ring_while_the_bell_is_cleared_is_not_lost():
    bell = Bell()
    bell.ring()
    real = bell._calls

    class Calls:
        """Somebody rings just after the call before was taken out."""

        def get_nowait(self):
            found = real.get_nowait()
            bell.ring()
            return found

        def __getattr__(self, name):
            return getattr(real, name)

    bell._calls = Calls()
    bell.clear()
    bell.ring()
    assert bell.wait(0), "rung, and heard"


def test_an_event_that_comes_as_the_uploading_thread_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(uploading, "_IDLE", 0.2)
    archive = archive_of(tmp_path)
    uploader, refused, real = archive.uploader, threading.Event(), threading.Lock()

    class Busy:
        """Whoever starts before it is let go of is refused, and still on the way out as the other one leaves."""

        def acquire(self, blocking=False):
            if real.acquire(blocking=False):
                return True
            refused.set()
            time.sleep(0.5)
            return False

        def release(self):
            if not refused.is_set():
                threading.Thread(target=archive.writer("r").append, args=(event("a"),)).start()
                refused.wait(0.3)
            real.release()

    uploader._busy = Busy()
    uploader.soon(lambda: None)
    until(lambda: archive.store.list("journal/r"), 10)  # nobody but the event itself has asked for it


def test_a_busy_process_lets_go_of_idle_writers_too(tmp_path, monkeypatch):
    monkeypatch.setattr(uploading, "_IDLE", 0.1)
    monkeypatch.setattr(journal_writer, "_IDLE", 0.2)
    archive = archive_of(tmp_path)
    for n in range(5):
        assert archive.writer(str(n)).append(event("a"))
    end = time.monotonic() + 10
    while len(archive.uploader._writers) > 1 and time.monotonic() < end:
        assert archive.writer("busy").append(event("b"))
        time.sleep(0.02)
    assert [writer.run_id for writer in archive.uploader._writers] == ["busy"]


def test_what_waits_in_memory_at_the_end_is_not_lost_once_the_store_is_back(no_spool, caplog):
    no_spool.store.down = True
    tracker = RunTracker("nightly", storage=TrackingStorage.around(no_spool))
    tracker.start()
    assert not tracker.track_file("a")
    assert tracker.complete() is None
    assert "neither the spool nor the store" in caplog.text
    no_spool.store.down = False
    assert no_spool.flush()
    run = no_spool.seal(tracker.run_id, now=NOW)
    assert (run.total_files, run.events_lost) == (1, 0)
