"""RunTracker and the seal on S3, Azure and Google: through the spool, against other sealers, across kills and forks."""

from __future__ import annotations

import itertools
import pickle
import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from prefect_trackrecord.documents.seal import seal
from prefect_trackrecord.settings import current
from prefect_trackrecord.tracking import RunStatus, RunTracker, TrackingStorage, recover

_numbers = itertools.count()


@pytest.fixture(
    params=[
        "s3",
        pytest.param("azure", marks=pytest.mark.xdist_group("azure")),
        pytest.param("gcs", marks=pytest.mark.xdist_group("gcs")),
    ]
)
def place(request):
    """URL and options of a new bucket of each kind."""
    name = f"runs-{next(_numbers)}"
    if request.param == "s3":
        pytest.importorskip("s3fs")
        server = request.getfixturevalue("s3_server")
        server.filesystem().call_s3("create_bucket", Bucket=name)
        return f"s3://{name}/history", server.options
    options = request.getfixturevalue(f"{request.param}_options")
    if request.param == "azure":
        import adlfs

        adlfs.AzureBlobFileSystem(**options, skip_instance_cache=True).mkdir(name)
        return f"azure://{name}/history", options
    import gcsfs

    gcsfs.GCSFileSystem(**options, skip_instance_cache=True).mkdir(name)
    return f"gs://{name}/history", options


@pytest.fixture
def storage(place, monkeypatch):
    monkeypatch.setenv("TRACKRECORD_STORE_DEADLINE", "30")
    current.cache_clear()
    url, options = place
    return TrackingStorage(base_path=url, options=options)


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


def test_a_killed_process_is_recovered_from_the_spool(storage, place):
    code = f"""
        import os, signal
        from prefect_trackrecord.tracking import RunTracker, TrackingStorage
        storage = TrackingStorage(base_path={place[0]!r}, options={place[1]!r})
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


def test_a_forked_child_and_its_parent_both_go_on(storage, place):
    code = f"""
        import os
        from prefect_trackrecord.tracking import RunTracker, TrackingStorage
        storage = TrackingStorage(base_path={place[0]!r}, options={place[1]!r})
        with RunTracker("c", storage=storage) as tracker:
            assert tracker.track_file("parent") and storage.archive.flush()
            pid = os.fork()
            if pid == 0:
                ok = False
                try:
                    ok = tracker.track_file("child") and storage.archive.flush()
                finally:
                    os._exit(0 if ok else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            assert tracker.track_file("parent again") and storage.archive.flush()
        print(tracker.run_id)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    recover(storage)
    run = storage.archive.run(done.stdout.strip())
    assert {row.file_path for row in storage.archive.files(run)} == {"parent", "child", "parent again"}


def test_an_opened_storage_goes_to_another_process(storage):
    with RunTracker("c", storage=storage) as tracker:
        tracker.track_file("a")
    again = pickle.loads(pickle.dumps(storage))
    assert again.url == storage.url
    assert [r.run_id for r in again.list_runs()] == [tracker.run_id]
