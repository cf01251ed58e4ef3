"""RunTracker and the seal on S3: through the spool, against other sealers, and with the server gone."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from prefect_trackrecord.documents.seal import seal
from prefect_trackrecord.settings import current
from prefect_trackrecord.tracking import RunStatus, RunTracker, TrackingStorage, recover


@pytest.fixture
def storage(s3_server, bucket, patient, monkeypatch):
    monkeypatch.setenv("TRACKRECORD_STORE_DEADLINE", "30")
    current.cache_clear()
    return TrackingStorage(base_path=f"s3://{bucket}/history", options=s3_server.options)


def test_a_run(storage):
    with RunTracker("c", storage=storage) as tracker:
        for n in range(50):
            tracker.track_file(str(n), "failed" if n == 7 else "success", error_type="E" if n == 7 else None)
        tracker.record_email_results({"sent": [{"email": "a@b.c"}]})
    run = storage.archive.run(tracker.run_id)
    assert (run.status, run.total_files, run.failed_count) == ("partial_success", 50, 1)
    assert len(storage.archive.files(run)) == 50
    assert storage.archive.emails(run)[0].email == "a@b.c"
    assert [r.run_id for r in storage.list_runs()] == [tracker.run_id]
    assert list(storage.archive.spooled()) == []


def test_direct_saves_and_late_events(storage):
    with RunTracker("c", storage=storage) as tracker:
        tracker.track_file("a")
    storage.save_email_logs({"failed": [{"email": "x@y.z", "error": "full"}]}, tracker.run_id)
    tracker.track_file("late")
    (done,) = recover(storage)
    assert (done.run.total_files, done.run.emails_failed, done.run.generation) == (2, 1, 3)


def test_sealers_race(storage):
    tracker = RunTracker("c", storage=storage)
    tracker.start()
    for n in range(20):
        tracker.track_file(str(n))
    run_id, archive = tracker.run_id, storage.archive
    tracker.complete()
    problems = []

    def again(n):
        try:
            tracker.track_file(f"late {n}")
            archive.seal(run_id)
            seal(archive.store, run_id, now=tracker._now())
        except Exception as exc:
            problems.append(exc)

    threads = [threading.Thread(target=again, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert problems == []
    archive.seal(run_id)
    run = archive.run(run_id)
    assert run.total_files == len(archive.files(run)) == 24


def test_a_killed_process_is_recovered_from_the_spool(storage, s3_server):
    code = f"""
        import os, signal
        from prefect_trackrecord.tracking import RunTracker, TrackingStorage
        storage = TrackingStorage(base_path={storage.url!r}, options={s3_server.options!r})
        tracker = RunTracker("child", storage=storage)
        tracker.start()
        for n in range(5):
            assert tracker.track_file(str(n))
        print(tracker.run_id, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    child = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert child.returncode == -signal.SIGKILL
    (done,) = recover(storage)
    assert (done.run_id, done.run.status, done.run.total_files) == (child.stdout.strip(), RunStatus.ABORTED, 5)
    assert list(storage.archive.spooled()) == []
