"""Recovery seals what a dead process left, and never what is alive."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.run_journal import RunJournal, newest_record
from prefect_trackrecord.documents.silent import WENT_ON
from prefect_trackrecord.documents.unbegun import NOT_BEGUN
from prefect_trackrecord.journal.liveness import boot_id, host_name, pid_namespace, start_ticks
from prefect_trackrecord.tracking import RunTracker, TrackingStorage, recover, recovery

T0 = datetime(2026, 1, 2, 3, tzinfo=timezone.utc)


def outcome(path, second) -> ev.FileTracked:
    return ev.FileTracked(at=T0 + timedelta(seconds=second), row={"file_path": path, "status": "success"})


def run_child(place, body: str) -> subprocess.Popen:
    code = f"""
        import os, signal, sys, time
        from prefect_trackrecord.tracking import RunTracker, TrackingStorage
        tracker = RunTracker("child", storage=TrackingStorage(base_path={str(place)!r}))
        tracker.start()
        for n in range(5):
            assert tracker.track_file(str(n), "failed" if n == 2 else "success")
        print(tracker.run_id, flush=True)
    """
    script = textwrap.dedent(code) + textwrap.dedent(body)
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def test_a_killed_process(tmp_path):
    child = run_child(tmp_path / "s", "time.sleep(60)")
    run_id = child.stdout.readline().strip()
    storage = TrackingStorage(base_path=tmp_path / "s")
    assert recover(storage) == [], "it is alive"
    child.send_signal(signal.SIGKILL)
    child.wait()
    (done,) = recover(storage)
    assert done.run_id == run_id
    assert done.run.status == "aborted"
    assert "gone" in done.run.reason
    assert (done.run.total_files, done.run.failed_count) == (5, 1)
    assert recover(storage) == [], "twice does nothing"
    assert storage.list_runs(status="aborted")[0].run_id == run_id


def test_a_killed_process_whose_store_is_no_folder(tmp_path):
    """Its events wait in this host's spool. (A file in the way stands for a bucket; see the S3 test of the stores.)"""
    place = tmp_path / "s"
    place.write_text("in the way")
    child = run_child(place, "os.kill(os.getpid(), signal.SIGKILL)")
    run_id = child.stdout.readline().strip()
    child.wait()
    place.unlink()
    (done,) = recover(TrackingStorage(base_path=place))
    assert (done.run_id, done.run.status, done.run.total_files) == (run_id, "aborted", 5)


@pytest.mark.parametrize("verdict", ["alive", "ended", None])
def test_a_prefect_run_is_asked_for(tmp_path, verdict):
    child = run_child(
        tmp_path / "s",
        """
        from prefect_trackrecord import events as ev
        from datetime import datetime, timezone
        tracker._emit(ev.RunUpdated(at=datetime.now(timezone.utc), run={"flow_name": "f"}))
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    child.wait()
    ended = ev.RunEnded(at=datetime.now(timezone.utc), status="aborted", state="Crashed", reason="recovered: crashed")
    asked = []

    def ask(run_id):
        asked.append(run_id)
        return ended if verdict == "ended" else verdict

    done = recover(TrackingStorage(base_path=tmp_path / "s"), ask=ask)
    assert len(asked) == 1
    if verdict == "alive":
        assert done == []
    else:
        assert done[0].run.status == "aborted"
        assert done[0].run.state == ("Crashed" if verdict == "ended" else None)


def test_late_events_make_the_next_generation(tmp_path):
    storage = TrackingStorage(base_path=tmp_path / "s")
    with RunTracker("c", storage=storage) as tracker:
        tracker.track_file("a")
    tracker.track_file("late", "failed")
    (done,) = recover(storage)
    assert done.run.generation == 2
    assert done.run.total_files == 2
    assert newest_record(storage.archive.store, tracker.run_id).generation == 2
    assert recover(storage) == []


def test_a_process_that_dies_between_its_end_and_its_seal(tmp_path):
    child = run_child(
        tmp_path / "s",
        """
        tracker._seal = lambda ended: os.kill(os.getpid(), signal.SIGKILL)
        tracker.complete()
        """,
    )
    child.wait()
    (done,) = recover(TrackingStorage(base_path=tmp_path / "s"))
    assert done.run.status == "partial_success", "it had said how it ended"


def write(storage, run_id, *events, host="elsewhere", name="w"):
    """A segment of another host's."""
    opened = ev.WriterOpened(events[0].at, host, "", 1, 1)
    body = b"".join(map(ev.encode, (opened, *events)))
    storage.archive.store.put(f"{layout.journal_prefix(run_id)}/{name}.ndjson", body)


def test_nothing_is_read_of_runs_that_are_done(tmp_path, monkeypatch):
    storage = TrackingStorage(base_path=tmp_path / "s")
    for n in range(5):
        with RunTracker(f"c{n}", storage=storage) as tracker:
            tracker.track_file("a")
    write(storage, "open", ev.RunStarted(at=T0, run={"command": "other", "host": "elsewhere"}))
    store = storage.archive.store
    read = []
    real = RunJournal.fold
    monkeypatch.setattr(RunJournal, "fold", lambda self, *more: read.append(self.run_id) or real(self, *more))
    assert recover(storage, now=lambda: T0) == []
    assert read == ["open"]
    run = storage.list_runs(command="c0")[0]
    key = layout.run_key(run.run_id, layout.day_of(run.started_at))
    store.put(key, store.get(key).data + b" ")  # somebody changed its document
    read.clear()
    (done,) = recover(storage, now=lambda: T0)
    assert done.run_id == run.run_id
    assert set(read) == {"open", run.run_id}


def test_a_long_silence_of_another_host(tmp_path):
    storage = TrackingStorage(base_path=tmp_path / "s")
    write(storage, "far", ev.RunStarted(at=T0, run={"command": "c", "host": "elsewhere"}), outcome("a", 1))
    assert recover(storage, now=lambda: T0 + timedelta(hours=23)) == []
    (done,) = recover(storage, now=lambda: T0 + timedelta(hours=25))
    assert (done.run.status, done.run.success_count) == ("aborted", 1)
    assert done.run.reason == "recovered: no sign of life for 25 hours from elsewhere"
    write(storage, "far", outcome("b", 2), ev.RunEnded(at=T0 + timedelta(hours=30)), name="late")
    (late,) = recover(storage)
    assert (late.run.status, late.run.success_count, late.run.reason) == ("success", 2, None), "it lived after all"


def test_prefect_says_that_it_runs_elsewhere(tmp_path):
    """As of a pod that was killed: nobody will ever tell Prefect. A flow that only is silent for long is not harmed."""
    storage = TrackingStorage(base_path=tmp_path / "s")
    start = ev.RunStarted(at=T0, run={"command": "c", "flow_name": "f", "host": "elsewhere"})
    write(storage, "pod", start)
    write(storage, "unknown", start)
    says = {"pod": "running", "unknown": None}
    done = recover(storage, ask=says.get, now=lambda: T0 + timedelta(hours=71))
    assert [one.run_id for one in done] == ["unknown"], "nobody knows it"
    week = T0 + timedelta(days=7)
    assert recover(storage, ask=says.get, now=lambda: week, running_silence=timedelta(days=8)) == []
    assert recover(storage, ask=says.get, now=lambda: week, silence=timedelta(days=8)) == [], "never the shorter one"
    (done,) = recover(storage, ask=says.get, now=lambda: week)
    assert done.run.status == "aborted"
    assert done.run.reason == (
        "recovered: no sign of life for 168 hours from elsewhere, though Prefect says that it is running"
    )
    write(storage, "pod", outcome("b", 2), ev.RunEnded(at=week + timedelta(days=1)), name="late")
    (late,) = recover(storage)
    assert (late.run.status, late.run.reason) == ("success", None), "it lived after all"


def test_a_worker_that_keeps_its_segment_gives_nothing_new(tmp_path):
    """As one of a Dask cluster that outlives the flow."""
    storage = TrackingStorage(base_path=f"memory://{tmp_path.name}/{os.getpid()}")
    me = ev.WriterOpened(T0, host_name(), boot_id(), os.getpid(), start_ticks(os.getpid()))
    folder = storage.archive.spool / "r"
    folder.mkdir(parents=True)
    segment = folder / "worker-1-0.ndjson"
    ended = ev.RunEnded(at=T0 + timedelta(seconds=9))
    started = ev.RunStarted(at=T0, run={"command": "c"})
    segment.write_bytes(b"".join(map(ev.encode, (me, started, outcome("a", 1), ended))))
    assert [one.run.total_files for one in recover(storage)] == [1]
    assert segment.exists()
    assert recover(storage) == []
    with segment.open("ab") as file:
        file.write(ev.encode(outcome("b", 20)))
    assert [one.run.total_files for one in recover(storage)] == [2]
    assert recover(storage) == []


def test_many_recoveries_at_once_close_a_run_once(tmp_path):
    storage = TrackingStorage(base_path=tmp_path / "s")
    for n in range(5):
        write_ours(storage, f"gone-{n}")
    start = threading.Barrier(4)

    def one(_):
        start.wait()
        return [done.run_id for done in recover(TrackingStorage(base_path=tmp_path / "s"))]

    with ThreadPoolExecutor(4) as pool:
        found = [run_id for ids in pool.map(one, range(4)) for run_id in ids]
    assert sorted(found) == [f"gone-{n}" for n in range(5)]


def test_a_spool_that_outlives_its_container_is_tidied_after_the_silence(tmp_path):
    storage = TrackingStorage(base_path=f"memory://{tmp_path.name}/outlived")
    folder = storage.archive.spool / "r"
    folder.mkdir(parents=True)
    segment = folder / "worker-1-0.ndjson"
    opened = ev.WriterOpened(T0, "a-pod-of-before", boot_id(), 7, 1)
    ended = ev.RunEnded(at=T0 + timedelta(seconds=9))
    segment.write_bytes(b"".join(map(ev.encode, (opened, ev.RunStarted(at=T0, run={"command": "c"}), ended))))
    assert [one.run_id for one in recover(storage)] == ["r"]
    assert (recover(storage), segment.exists()) == ([], True), "its process may write on"
    os.utime(segment, (0, time.time() - 25 * 3600))
    assert (recover(storage), segment.exists(), folder.exists()) == ([], False, False)


def write_ours(storage, run_id, namespace="", **run):
    """A segment of a process of this host that is gone: with a pid that none has."""
    opened = ev.WriterOpened(T0, host_name(), boot_id(), 2**22 + 1, 1, namespace=namespace)
    start = ev.RunStarted(at=T0, run={"command": "c", "host": host_name(), "pid": 1, **run})
    body = b"".join(map(ev.encode, (opened, start)))
    storage.archive.store.put(f"{layout.journal_prefix(run_id)}/w.ndjson", body)


def test_a_run_of_another_container_that_shares_the_hosts_name(tmp_path):
    """Its pid means nothing here: somebody else has it, or nobody."""
    storage = TrackingStorage(base_path=tmp_path / "s")
    for run_id, namespace in (("other", "pid:[1]"), ("ours", pid_namespace()), ("old-format", "")):
        write_ours(storage, run_id, namespace)
    done = recover(storage, now=lambda: T0 + timedelta(hours=1))
    assert all("gone" in one.run.reason for one in done)
    assert {one.run_id for one in done} == (
        {"ours", "old-format"} if pid_namespace() else {"other", "ours", "old-format"}
    )
    if pid_namespace():
        (silent,) = recover(storage, now=lambda: T0 + timedelta(hours=25))
        assert (silent.run_id, silent.run.status) == ("other", "aborted")


def test_a_run_that_was_taken_for_dead_ends_after_all(tmp_path):
    """As where a pid could not be found; what Prefect said stays."""
    storage = TrackingStorage(base_path=tmp_path / "s")
    write_ours(storage, "gone")
    write_ours(storage, "told", flow_name="f")
    crashed = ev.RunEnded(at=T0, status="aborted", state="Crashed", reason="recovered: Prefect says so")
    assert [one.run.status.value for one in recover(storage, ask=lambda _: crashed)] == ["aborted"] * 2
    for run_id in ("gone", "told"):
        write(storage, run_id, outcome("a", 5), ev.RunEnded(at=T0 + timedelta(seconds=9)), name="late")
    found = {one.run_id: one.run for one in recover(storage)}
    assert (found["gone"].status, found["gone"].reason, found["gone"].total_files) == ("success", None, 1)
    assert (found["told"].status, found["told"].state, found["told"].total_files) == ("aborted", "Crashed", 1)


def in_a_namespace(*command) -> list[str]:
    """A command in a pid namespace of its own; skips where this machine does not allow one."""
    root = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    way = ["unshare", *root, "--pid", "--fork", "--mount-proc"]
    try:
        allowed = subprocess.run([*way, "true"], capture_output=True, timeout=30, check=False).returncode == 0
    except OSError:
        allowed = False
    if not allowed:
        pytest.skip("no pid namespaces here")
    return [*way, *command]


def test_a_run_in_a_container_is_alive(tmp_path):
    place = tmp_path / "s"
    body = """
        import sys
        from prefect_trackrecord.tracking import RunTracker
        with RunTracker("contained", storage=sys.argv[1]) as tracker:
            tracker.track_file("a")
            print("begun", flush=True)
            sys.stdin.readline()
            tracker.track_file("b")
    """
    command = in_a_namespace(sys.executable, "-c", textwrap.dedent(body), str(place))
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "begun\n"
    storage = TrackingStorage(base_path=place)
    assert recover(storage) == [], "it is alive, by a pid that is not ours"
    child.communicate("go on\n", timeout=60)
    (run,) = storage.list_runs()
    assert (run.status, run.total_files, run.generation) == ("success", 2, 1)


def test_a_file_that_began_and_a_task_that_never_did(tmp_path):
    storage = TrackingStorage(base_path=tmp_path / "s")
    begun = {"file_path": "a", "task_run_id": "t1", "started_at": T0}
    waits = {"file_path": "one-x", "task_run_id": "t2", "status": "skipped", "reason": "upstream failed"}
    write(
        storage,
        "r",
        ev.RunStarted(at=T0, run={"command": "c", "flow_name": "f"}),
        ev.FileStarted(at=T0, row=begun, item="one\0a"),
        ev.FileInferred(at=T0, row=waits, item="one\0one-x"),
    )
    ended = ev.RunEnded(at=T0 + timedelta(minutes=1), status="aborted", reason="recovered: Crashed")
    (done,) = recover(storage, ask=lambda _: ended)
    rows = {row.file_path: row for row in storage.archive.files(done.run)}
    assert (rows["a"].status.value, rows["a"].error_type) == ("failed", "Crashed")
    assert (rows["one-x"].status.value, rows["one-x"].reason) == ("skipped", "upstream failed")
    later = ev.FileTracked(at=T0, row={**begun, "status": "success"}, item="one\0a")
    write(storage, "r", later, name="late")
    (done,) = recover(storage)
    assert (done.run.success_count, done.run.failed_count, done.run.skipped_count) == (1, 0, 1), "its own word counts"


def test_recoveries_do_not_recover_each_other(tmp_path, monkeypatch):
    """One that was open as the store was listed, and ends before its turn has come."""
    storage = TrackingStorage(base_path=tmp_path / "s")
    other = RunTracker("recover", storage=storage, role="upkeep").start()
    killed = {"command": "recover", "role": "upkeep"}
    write(storage, "killed", ev.RunStarted(at=T0, run=killed))
    listed = recovery._open_runs

    def then_it_ends(archive):
        found = listed(archive)
        other.complete()
        return found

    monkeypatch.setattr(recovery, "_open_runs", then_it_ends)
    (done,) = recover(storage, now=lambda: T0 + timedelta(days=400))
    assert (done.run_id, done.run.status) == ("killed", "aborted")
    assert storage.archive.run(other.run_id).status == "success"


def test_a_file_that_went_on_after_its_flow(tmp_path):
    """As in a task worker that lives: skipped, with that reason, until its own outcome comes."""
    storage = TrackingStorage(base_path=tmp_path / "s")
    begun = {"file_path": "a", "task_run_id": "t1", "started_at": T0}
    said = {"file_path": "one-x", "task_run_id": "t1", "status": "skipped", "reason": WENT_ON}
    write(
        storage,
        "r",
        ev.RunStarted(at=T0, run={"command": "c", "flow_name": "f"}),
        ev.FileStarted(at=T0, row=begun, item="one\0a"),
        ev.FileInferred(at=T0, row=said, item="one\0one-x"),
        ev.RunEnded(at=T0 + timedelta(minutes=1), state="Completed", run_count=1),
    )
    (done,) = recover(storage)
    (row,) = storage.archive.files(done.run)
    assert (row.file_path, row.status.value, row.reason, row.error_type) == ("a", "skipped", WENT_ON, None)
    write(storage, "r", ev.FileTracked(at=T0, row={**begun, "status": "success"}, item="one\0a"), name="late")
    (done,) = recover(storage)
    (row,) = storage.archive.files(done.run)
    assert (row.file_path, row.status.value, row.reason) == ("a", "success", None)


def test_a_crash_of_the_attempt_before_is_no_end_of_the_one_that_lives(tmp_path):
    """A worker has told it of a child that died, without its number; then somebody pressed Retry."""
    storage = TrackingStorage(base_path=tmp_path / "s")
    flow = {"command": "c", "flow_name": "c"}
    crash = ev.RunEnded(at=T0 + timedelta(seconds=9), status="aborted", state="Crashed")
    write(storage, "r", ev.RunStarted(at=T0, run={**flow, "run_count": 1}), crash, outcome("a", 1))
    (done,) = recover(storage)
    assert (done.run.status.value, done.run.run_count) == ("aborted", 1)
    opened = ev.WriterOpened(T0, host_name(), boot_id(), os.getpid(), start_ticks(os.getpid()))
    again = ev.RunStarted(at=T0 + timedelta(minutes=1), run={**flow, "run_count": 2, "host": host_name()})
    key = f"{layout.journal_prefix('r')}/again.ndjson"
    storage.archive.store.put(key, b"".join(map(ev.encode, (opened, again))))
    assert recover(storage, ask=lambda _id: "running") == []
    assert storage.archive.seal("r", ended=crash).status.value == "running", "the worker's own hook comes late"
    own = ev.RunEnded(at=T0 + timedelta(minutes=2), state="Completed", run_count=2)
    storage.archive.store.put(key, b"".join(map(ev.encode, (opened, again, own))))
    run = storage.archive.seal("r")
    assert (run.status.value, run.run_count) == ("success", 2)
    assert [(a.number, a.status) for a in run.attempts] == [(1, "aborted"), (2, "Completed")]


def test_a_copy_of_a_history_is_as_whole_as_it_was(tmp_path):
    """Else each restored backup would tell people of all its runs once more."""
    storage = TrackingStorage(base_path=tmp_path / "s")
    for name in "abc":
        with RunTracker(name, storage=storage) as tracker:
            tracker.track_file("x", "failed" if name == "b" else "success")
    shutil.copytree(tmp_path / "s", tmp_path / "copy")
    copy = TrackingStorage(base_path=tmp_path / "copy")
    before = [run.model_dump() for run in copy.list_runs()]
    asked = []
    assert recover(copy, reconcile=lambda *more: asked.append(more)) == []
    assert [run.model_dump() for run in copy.list_runs()] == before
    (one, *_) = copy.list_runs(command="b")
    key = layout.run_key(one.run_id, layout.day_of(one.started_at))
    copy.archive.store.delete(key)
    assert [found.run_id for found in recover(copy)] == [one.run_id], "what is not there is made again, and told"


def test_what_others_have_put_there_keeps_nobody_from_recovering(tmp_path):
    storage = TrackingStorage(base_path=tmp_path / "s")
    store = storage.archive.store
    store.put("journal/foo.ndjson", b"{}\n")
    store.put("journal/no run of ours/a.ndjson", b"{}\n")
    write(storage, "r", ev.RunStarted(at=T0, run={"command": "c"}), ev.RunEnded(at=T0 + timedelta(seconds=1)))
    assert [(one.run_id, one.error) for one in recover(storage)] == [("r", None)]
    assert recover(storage) == []


def test_a_run_of_which_nothing_began_is_no_success(tmp_path):
    storage = TrackingStorage(base_path=tmp_path / "s")
    refused = {"file_path": "a", "task_run_id": "t1", "status": "skipped", "reason": NOT_BEGUN}
    start = ev.RunStarted(at=T0, run={"command": "c", "flow_name": "f"})
    end = ev.RunEnded(at=T0 + timedelta(minutes=1), state="Completed", run_count=1)
    write(storage, "r", start, ev.FileInferred(at=T0, row=refused), end)
    (done,) = recover(storage)
    assert (done.run.total_files, done.run.never_began, done.run.status.value) == (1, 1, "failed")
    write(storage, "s", start, ev.FileInferred(at=T0, row=refused), outcome("b", 1), end)
    (done,) = recover(storage)
    assert (done.run.total_files, done.run.never_began, done.run.status.value) == (2, 1, "partial_success")
