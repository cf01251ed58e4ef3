"""Recovery seals what a dead process left, and never what is alive."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from datetime import datetime, timezone

import pytest

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents.run_journal import newest_record
from prefect_trackrecord.tracking import RunTracker, TrackingStorage, recover


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
