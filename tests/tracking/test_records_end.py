"""A run's records are complete when it ends, and after recovery where it could not."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from prefect_trackrecord.record import load_records
from prefect_trackrecord.record.tracing import tracing
from prefect_trackrecord.settings import current
from prefect_trackrecord.tracking import RunTracker, TrackingStorage, recover

PROGRAM = """
    import os, sys
    from prefect_trackrecord import RecordStatus, RunTracker, Status, ThoughtfulRecord, TrackingStorage

    class Invoice(ThoughtfulRecord):
        state: RecordStatus = Status.PENDING

    url, options, how = sys.argv[1], eval(sys.argv[2]), sys.argv[3]
    with RunTracker("intake", storage=TrackingStorage(base_path=url, options=options)) as tracker:
        for n in range(20):
            Invoice(id=f"inv-{n}").state = Status.RUNNING
        print(tracker.run_id, flush=True)
        if how == "die":
            os._exit(9)
"""


@pytest.fixture(autouse=True)
def _fresh():
    tracing.reset()
    yield
    tracing.reset()


def run_program(url, options, how):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), url, repr(options), how],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == (9 if how == "die" else 0), done.stderr
    return done.stdout.split()[0]


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRACKRECORD_STORE_DEADLINE", "30")
    current.cache_clear()
    if request.param == "folder":
        yield str(tmp_path / "history"), {}
    else:
        server, bucket = request.getfixturevalue("s3_server"), request.getfixturevalue("bucket")
        yield f"s3://{bucket}/history", dict(server.options)
    current.cache_clear()


def log_of(storage, run_id):
    blob = storage.archive.store.get(f"records/intake/{run_id}/records_logs.json")
    page = storage.archive.store.get(f"records/intake/{run_id}/records_report.html")
    return json.loads(blob.data)["data"] if blob else None, page.data if page else None


def test_complete_at_the_end(place):
    url, options = place
    run_id = run_program(url, options, "end")
    storage = TrackingStorage(base_path=url, options=options)
    log, page = log_of(storage, run_id)
    assert len(log) == 20
    assert b"inv-19" in page
    assert not list((storage.archive.spool / "records").glob("*/*")), "nothing is left in the spool"


def test_recovered_after_a_death(place):
    url, options = place
    run_id = run_program(url, options, "die")
    storage = TrackingStorage(base_path=url, options=options)
    (done,) = recover(storage)
    assert done.run.status == "aborted"
    log, page = log_of(storage, run_id)
    assert sorted(log) == sorted(f"inv-{n}" for n in range(20))
    assert b"inv-19" in page
    assert all(entry["status"] == "Running" for entry in log.values())


def test_a_run_without_records_has_no_folder_of_them(place):
    url, options = place
    storage = TrackingStorage(base_path=url, options=options)
    with RunTracker("plain", storage=storage) as tracker:
        tracker.track_file("a")
    assert not list(storage.archive.store.list("records"))
    if "://" not in url:
        assert load_records(f"{url}/records", "plain", tracker.run_id) == []
