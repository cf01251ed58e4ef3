"""Tasks on a Dask cluster of worker processes, the history in a bucket: rows, records and current_tracker() there.

A worker that dies at once, an upstream that failed: each is a file with its reason.
"""

from __future__ import annotations

import json
import os

import pytest

from prefect_trackrecord import Status, load_records, settings
from prefect_trackrecord.tracking import TrackingStorage

pytestmark = [pytest.mark.prefect, pytest.mark.xdist_group("dask"), pytest.mark.timeout(400)]
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def make_flow(folder, runner):
    """Local functions and classes, so that they are pickled by value."""
    from prefect import flow, task

    from prefect_trackrecord import RecordStatus, Status, ThoughtfulRecord, current_tracker, track

    class Claim(ThoughtfulRecord):
        amount: int = 0
        state: RecordStatus = Status.PENDING

    def one(path, claim=None):
        import os
        import pathlib

        if path == "dies":
            os._exit(9)
        if path == "fails":
            raise ValueError("no good")
        current_tracker().track_file(f"{path}/part", file_type="part")
        (pathlib.Path(folder) / f"pid-{os.getpid()}").touch()
        claim.amount += 7
        claim.log_trace("settled", image=PNG)
        Claim(id="shared").log_trace(f"seen beside {claim.id}")
        return path.upper()

    one = track(file="path", output="return", record="claim")(task(one))

    @track
    @flow(name="on-dask", task_runner=runner)
    def on_dask(paths):
        Claim(id="of the flow").log_trace("begun")
        futures = one.map(paths, [Claim(id=f"claim {path}") for path in paths])
        futures.wait()
        one.submit(futures[paths.index("fails")]).wait()
        one.submit("never", wait_for=[futures[paths.index("fails")]]).wait()
        return 7

    return on_dask


@pytest.fixture
def place(s3_server, bucket, monkeypatch):
    """A history in a bucket, told to all processes by the environment."""
    for name, value in (
        ("AWS_ENDPOINT_URL_S3", s3_server.endpoint), ("AWS_ACCESS_KEY_ID", "testing-key"),
        ("AWS_SECRET_ACCESS_KEY", "testing-secret"), ("AWS_DEFAULT_REGION", "us-east-1"),
        ("TRACKING_PATH", f"s3://{bucket}/history"), ("TRACKRECORD_STORE_DEADLINE", "60"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    settings.current.cache_clear()
    return f"{bucket}/history"


def test_a_cluster_of_worker_processes(place, s3_server, tmp_path):
    prefect_dask = pytest.importorskip("prefect_dask")
    pytest.importorskip("s3fs")
    runner = prefect_dask.DaskTaskRunner(
        cluster_kwargs={
            "n_workers": 2,
            "threads_per_worker": 1,
            "processes": True,
            "dashboard_address": None,
        }
    )
    fine = [f"f{n}" for n in range(6)]
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        assert make_flow(str(tmp_path), runner)([*fine, "fails", "dies"]) == 7
    storage = TrackingStorage()
    (run,) = storage.list_runs()
    rows = {row.file_path: row for row in storage.archive.files(run)}
    assert run.tracking_errors == {}
    pids = {int(p.name.removeprefix("pid-")) for p in tmp_path.glob("pid-*")}
    assert pids
    assert os.getpid() not in pids
    for path in fine:
        row = rows[path]
        assert (row.status.value, row.output_path, len(row.attempts)) == ("success", path.upper(), 1)
        assert rows[f"{path}/part"].run_id == run.run_id
    assert (rows["fails"].status.value, rows["fails"].error_message) == ("failed", "no good")
    row = rows["dies"]  # its process told no end
    assert (row.status.value, row.error_type) == ("failed", "Crashed")
    assert "told no outcome" in row.error_message
    assert [a.status for a in row.attempts][-1] == "crashed"
    (unnamed,) = [r for path, r in rows.items() if path.startswith("one-")]
    for never in (unnamed, rows["never"]):
        assert never.status.value == "skipped"
    assert run.total_files == len(rows) == 16
    _records_are_whole(s3_server.filesystem(), f"{place}/records/on-dask/{run.run_id}", fine)
    found = load_records(f"s3://{place}/records", "on-dask", run.run_id)
    assert {r.record_id for r in found} >= {"of the flow", "shared", "claim f0"}


def _records_are_whole(fs, folder, fine):
    """What several processes told of records has reached the bucket, all of it."""
    data = json.loads(fs.cat_file(f"{folder}/records_logs.json"))["data"]
    claims = {f"claim {path}" for path in [*fine, "fails", "dies"]}
    assert set(data) == {*claims, "of the flow", "shared"}
    # a result that was on the worker that died is computed again, so that things may be told twice
    assert {t["action"] for t in data["shared"]["traces"]} >= {f"seen beside claim {path}" for path in fine}
    for path in fine:
        claim = data[f"claim {path}"]
        assert claim["status"] == str(Status.COMPLETED)
        assert json.loads(claim["record"])["amount"] == 7
        assert "settled" in [t["action"] for t in claim["traces"]]
    assert data["claim fails"]["status"] == str(Status.FAILED)
    assert b"of the flow" in fs.cat_file(f"{folder}/records_report.html")
    assert [fs.cat_file(path) for path in fs.ls(f"{folder}/images")] == [PNG]
