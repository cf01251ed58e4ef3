"""Tasks whose process shares no spool with their flow's: their events are in the store before they return."""

from __future__ import annotations

import asyncio
import json
import os

import pytest
from prefect import flow, task
from prefect.task_runners import ProcessPoolTaskRunner
from tests.record.conftest import PNG

from prefect_trackrecord import current_tracker, settings, track
from prefect_trackrecord.record import ThoughtfulRecord
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


class Invoice(ThoughtfulRecord):
    amount: int = 0


@track(file="path", record="invoice")
@task
def book(path, invoice, picture):
    invoice.log_trace("booked", image=picture)
    return os.environ["TRACKRECORD_SPOOL"]


@track(file="path")
@task
async def book_async(path):
    Invoice(id=path, amount=7).log_trace("booked without waiting")


@flow(name="bookings", task_runner=ProcessPoolTaskRunner(max_workers=2))
def bookings(spool, picture):
    os.environ["TRACKRECORD_SPOOL"] = spool
    futures = [book.submit(f"{n}.pdf", Invoice.model_construct(id=f"{n}", amount=n), picture) for n in range(3)]
    futures.append(book_async.submit("4"))
    [future.wait() for future in futures]
    return futures[0].result()


@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def elsewhere(spool):
    os.environ["TRACKRECORD_SPOOL"] = spool  # for the pool's workers; this process has its own open
    futures = [work.submit("good"), work.submit("bad"), work_async.submit("async")]
    [future.wait() for future in futures]
    return futures[0].result(), None


@pytest.fixture
def on_s3(s3_server, bucket, monkeypatch):
    """The history of this process and its children is in a bucket; nothing is uploaded that nobody waits for."""
    pytest.importorskip("s3fs")
    for name, value in (
        ("AWS_ENDPOINT_URL_S3", s3_server.endpoint), ("AWS_ACCESS_KEY_ID", "testing-key"),
        ("AWS_SECRET_ACCESS_KEY", "testing-secret"), ("AWS_DEFAULT_REGION", "us-east-1"),
        ("TRACKING_PATH", f"s3://{bucket}/history"), ("TRACKRECORD_STORE_DEADLINE", "60"),
        ("TRACKRECORD_UPLOAD_SECONDS", "600"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRACKRECORD_SPOOL", os.environ["TRACKRECORD_SPOOL"])  # put back afterwards
    settings.current.cache_clear()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.usefixtures("on_s3")
def test_the_first_seal_holds_what_workers_with_a_spool_of_their_own_told(shared):
    mine = os.environ["TRACKRECORD_SPOOL"]
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


@pytest.mark.usefixtures("on_s3")
@pytest.mark.parametrize("shared", [False, True])
def test_the_flows_end_has_the_records_of_such_workers(shared):
    mine = os.environ["TRACKRECORD_SPOOL"]
    other = mine if shared else f"{mine}-elsewhere"
    assert track(bookings)(other, PNG) == other
    store = TrackingStorage().archive.store
    names = {entry.key.rsplit("/", 1)[-1]: entry.key for entry in store.list("records/bookings")}
    log = json.loads(store.get(names["records_logs.json"]).data)["data"]
    assert set(log) == {"0", "1", "2", "4"}
    for name in ("0", "1", "2"):
        (booked,) = (trace for trace in log[name]["traces"] if trace["action"] == "booked")
        assert log[name]["traces"][-1]["action"] == "Book completed"
        assert store.get(names[booked["image"].rpartition("/")[2]]).data == PNG
    assert log["4"]["traces"][-1]["action"] == "booked without waiting"
    assert "records_report.html" in names


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
