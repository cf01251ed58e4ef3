"""What a store may do to a run: it ends in its own state, in bounded time; what it acknowledged is there afterwards."""

from __future__ import annotations

import re
import threading
import time
import uuid
from datetime import timedelta

import pytest

from faulty import FaultProxy
from prefect_trackrecord.settings import current
from prefect_trackrecord.store import _deadline, _swift
from prefect_trackrecord.tracking import RunStatus, RunTracker, TrackingStorage, recover
from services import azure_endpoint_options

pytest.importorskip("s3fs")  # its import is no part of what is measured


@pytest.fixture
def proxy(s3_server):
    with FaultProxy(s3_server.endpoint).running() as running:
        yield running


@pytest.fixture
def options(s3_server, proxy):
    return {**s3_server.options, "endpoint_url": proxy.url}


@pytest.fixture
def place(bucket):
    return f"s3://{bucket}/history"


@pytest.fixture(params=["through obstore", "the driver's own way"])
def way(request, monkeypatch):
    """How single requests are made; obstore is tried for each of them, whatever it failed at before."""
    if request.param == "through obstore":
        pytest.importorskip("obstore")
        monkeypatch.setattr(_swift, "_REST", 0.0)
    else:
        request.getfixturevalue("no_obstore")


def opened(place, options, monkeypatch, **env):
    for name, value in env.items():
        monkeypatch.setenv(f"TRACKRECORD_{name.upper()}", str(value))
    current.cache_clear()
    return TrackingStorage(base_path=place, options=options)


def until(what, seconds=60):
    """Wait for what comes by itself; how long that takes is the machine's business."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def worked(tracker, names):
    return [name for name in names if tracker.track_file(name)]


def recovered(place, options, monkeypatch, run_id):
    """The run as `recover` makes it once the store is back, through a storage that knows nothing of the trouble."""
    storage = opened(place, options, monkeypatch, store_deadline=30, call_deadline=60)
    for done in recover(storage):
        assert done.error is None
    assert list(storage.archive.spooled()) == []
    run = storage.archive.run(run_id)
    return run, {row.file_path for row in storage.archive.files(run)}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("fault", ["503", "429", "silent", "reset"])
def test_a_store_that_fails_in_the_middle(proxy, place, options, monkeypatch, fault):
    storage = opened(place, options, monkeypatch, upload_seconds=0.05, call_deadline=1, store_deadline=30)
    tracker = RunTracker("c", storage=storage)
    tracker.start()
    kept = worked(tracker, ["before"])
    until(storage.archive.flush)
    proxy.fault, asked = fault, proxy.seen.total()
    kept += worked(tracker, [f"during {n}" for n in range(50)])
    until(lambda: proxy.seen.total() > asked)  # an upload is tried
    began = time.monotonic()
    assert tracker.complete(RunStatus.SUCCESS) is None
    assert time.monotonic() - began < 20, "a call or two of 1 s, and much room for a busy machine"
    proxy.fault = ""
    run, files = recovered(place, options, monkeypatch, tracker.run_id)
    assert files == {"before", *(f"during {n}" for n in range(50))} == set(kept)
    assert run.status is RunStatus.SUCCESS
    assert any("the store could not be written at the run's end" in cause for cause in run.tracking_errors)
    assert run.events_lost == 0


@pytest.fixture(
    params=[
        pytest.param("azure", marks=pytest.mark.xdist_group("azure")),
        pytest.param("gcs", marks=pytest.mark.xdist_group("gcs")),
    ]
)
def other(request):
    """A bucket of another service behind a proxy: the proxy, its URL, the options for it."""
    own = request.getfixturevalue(f"{request.param}_options")
    name = f"faults-{uuid.uuid4().hex[:8]}"
    if request.param == "azure":
        import adlfs

        adlfs.AzureBlobFileSystem(**own, skip_instance_cache=True).mkdir(name)
        target = re.search(r"BlobEndpoint=(http://[^/]+)", own["connection_string"])[1]
        with FaultProxy(target).running() as running:
            yield running, f"azure://{name}/history", azure_endpoint_options(running.url)
        return
    import gcsfs

    gcsfs.GCSFileSystem(**own, skip_instance_cache=True).mkdir(name)
    with FaultProxy(own["endpoint_url"]).running() as running:
        yield running, f"gs://{name}/history", {**own, "endpoint_url": running.url}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("fault", ["503", "silent"])
def test_another_service_that_fails_in_the_middle(other, monkeypatch, fault):
    test_a_store_that_fails_in_the_middle(*other, monkeypatch, fault)


@pytest.mark.usefixtures("way")
def test_another_service_that_drops_the_connection_once_a_write_was_done(other, monkeypatch):
    proxy, place, options = other
    storage = opened(place, options, monkeypatch, upload_seconds=0.05, store_deadline=60)
    proxy.fault = "reset-after"
    with RunTracker("c", storage=storage) as tracker:
        assert worked(tracker, map(str, range(20)))
    proxy.fault = ""
    run, files = recovered(place, options, monkeypatch, tracker.run_id)
    assert (run.status, files) == (RunStatus.SUCCESS, set(map(str, range(20))))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("fault", ["every-other-503", "reset-after", "slow"])
def test_a_store_that_fails_now_and_then(proxy, place, options, monkeypatch, fault):
    tries = {"retries": {"max_attempts": 0}}  # the driver's own wait up to a second each; ours are what is tested
    storage = opened(place, {**options, "config_kwargs": tries}, monkeypatch, upload_seconds=0.05, store_deadline=30)
    proxy.fault = fault
    with RunTracker("c", storage=storage) as tracker:
        kept = worked(tracker, [str(n) for n in range(20)])
        storage.archive.flush()
        kept += worked(tracker, ["last"])
    run = storage.archive.run(tracker.run_id)
    assert (run.status, run.total_files, run.generation) == (RunStatus.SUCCESS, 21, 1)
    assert len(kept) == 21
    assert list(storage.archive.spooled()) == []


def test_credentials_that_are_revoked_in_the_middle(proxy, place, options, monkeypatch, caplog):
    storage = opened(place, options, monkeypatch, upload_seconds=0.05, store_deadline=30)
    with RunTracker("c", storage=storage) as tracker:
        kept = worked(tracker, ["a"])
        until(storage.archive.flush)
        proxy.revoked.add(options["key"])
        kept += worked(tracker, ["b"])
        began = time.monotonic()
    assert time.monotonic() - began < 20, "a refusal is no reason to wait"
    assert any("credentials" in record.message for record in caplog.records)
    fresh = {**options, "key": "another-key"}
    run, files = recovered(place, fresh, monkeypatch, tracker.run_id)
    assert files == set(kept) == {"a", "b"}
    assert run.status is RunStatus.SUCCESS
    assert any("credentials" in cause for cause in run.tracking_errors)


def test_a_clock_that_is_off(proxy, place, options, monkeypatch, caplog):
    storage = opened(place, options, monkeypatch, store_deadline=30)
    proxy.clock = timedelta(hours=3)
    with RunTracker("c", storage=storage) as tracker:
        assert tracker.track_file("a")
    assert any("clock" in record.message for record in caplog.records)
    proxy.clock = timedelta(minutes=10)  # what S3 lets pass
    run, files = recovered(place, options, monkeypatch, tracker.run_id)
    assert files == {"a"}
    assert any("clock" in cause for cause in run.tracking_errors)


@pytest.mark.parametrize("fault", ["silent", "nobody listens"])
def test_a_store_that_never_answers_costs_its_deadline_once(proxy, place, options, monkeypatch, fault, caplog):
    """In all under five seconds with the three of the default: one deadline, and half of it for a second try."""
    waited = []

    def wait_for(future, seconds, real=_deadline.wait_for):
        try:
            return real(future, seconds)
        except TimeoutError:
            if threading.current_thread() is threading.main_thread():
                waited.append(seconds)
            raise

    monkeypatch.setattr(_deadline, "wait_for", wait_for)
    proxy.fault = fault if fault == "silent" else "reset"
    storage = opened(place, options, monkeypatch, store_deadline=1)
    began = time.monotonic()
    with RunTracker("c", storage=storage) as tracker:
        assert tracker.track_file("a")
    assert time.monotonic() - began < 20, "much room for a busy machine"
    assert sum(waited) < 5 / 3, "what the flow itself waited, whatever the machine was busy with"
    assert any("can't be written" in r.message and "trackrecord.recover(storage)" in r.message for r in caplog.records)
    proxy.fault = ""
    run, files = recovered(place, options, monkeypatch, tracker.run_id)
    assert (run.status, files) == (RunStatus.SUCCESS, {"a"})
