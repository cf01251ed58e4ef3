"""Tasks whose process shares no spool with their flow's: their events are in the store before they return."""

from __future__ import annotations

import asyncio
import os

import pytest
from prefect import flow, task
from prefect.task_runners import ProcessPoolTaskRunner

from prefect_trackrecord import current_tracker, settings, track
from prefect_trackrecord.tracking import TrackingStorage


@track(file="path")
@task
def work(path):
    current_tracker().track_file(f"own {path}")
    if path == "bad":
        raise ValueError("no good")
    return os.environ["TRACKRECORD_SPOOL"]


@track(file="path")
@task
async def work_async(path):
    await asyncio.sleep(0)
    current_tracker().track_file(f"own {path}")


@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def elsewhere(spool):
    os.environ["TRACKRECORD_SPOOL"] = spool  # for the pool's workers; this process has its own open
    futures = [work.submit("good"), work.submit("bad"), work_async.submit("async")]
    [future.wait() for future in futures]
    return futures[0].result(), None


@pytest.mark.parametrize("shared", [False, True])
def test_the_first_seal_holds_what_workers_with_a_spool_of_their_own_told(s3_server, bucket, monkeypatch, shared):
    pytest.importorskip("s3fs")
    for name, value in (
        ("AWS_ENDPOINT_URL_S3", s3_server.endpoint), ("AWS_ACCESS_KEY_ID", "testing-key"),
        ("AWS_SECRET_ACCESS_KEY", "testing-secret"), ("AWS_DEFAULT_REGION", "us-east-1"),
        ("TRACKING_PATH", f"s3://{bucket}/history"), ("TRACKRECORD_STORE_DEADLINE", "60"),
        ("TRACKRECORD_UPLOAD_SECONDS", "600"),  # nothing is uploaded that nobody waits for
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    mine = os.environ["TRACKRECORD_SPOOL"]
    monkeypatch.setenv("TRACKRECORD_SPOOL", mine)  # put back afterwards
    settings.current.cache_clear()
    other = mine if shared else f"{mine}-elsewhere"
    assert track(elsewhere)(other) == (other, None)
    storage = TrackingStorage()
    (run,) = storage.list_runs()
    rows = {row.file_path: row.status.value for row in storage.archive.files(run)}
    assert rows == {
        "good": "success", "own good": "success", "bad": "failed", "own bad": "success",
        "async": "success", "own async": "success",
    }  # fmt: skip
    assert (run.total_files, run.tracking_errors) == (6, {})


def test_home_is_the_spool_of_this_host(tmp_path, monkeypatch):
    def home(spool, url="memory://homes"):
        return TrackingStorage(
            base_path=url, settings=settings.Settings.from_env({"TRACKRECORD_SPOOL": str(spool)})
        ).archive.home()

    here = home(tmp_path / "a")
    assert here == home(tmp_path / "a")
    assert here != home(tmp_path / "b")
    assert home(tmp_path / "a", str(tmp_path / "history")) is None, "a folder is shared by all"
    (tmp_path / "file").touch()
    assert home(tmp_path / "file") is None
    monkeypatch.setattr("prefect_trackrecord.documents.archive.host_name", lambda: "elsewhere")
    assert here != home(tmp_path / "a")
