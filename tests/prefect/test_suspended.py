"""A flow run that is suspended, and goes on in another process: Prefect counts that as the same attempt."""

from __future__ import annotations

import time

import pytest
from prefect import flow, runtime, suspend_flow_run, task
from prefect.client.orchestration import get_client
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow

from prefect_trackrecord import recover, track
from prefect_trackrecord._prefect import runs
from prefect_trackrecord.documents import layout

pytestmark = pytest.mark.prefect


@track(file="path")
@task
def work(path):
    if path == "bad":
        raise ValueError("no good")


@track(items="paths")
@flow(name="suspended")
def nightly(paths: list[str]):
    work.map(paths).wait()
    suspend_flow_run(timeout=60)
    work.submit("after").wait()


def _artifacts(client, run_id):
    body = {"flow_runs": {"id": {"any_": [run_id]}}, "artifacts": {"key": {"like_": "trackrecord-run-%"}}}
    return client.request("POST", "/artifacts/filter", json=body).json()


def _see_suspended(client, run_id, files=2):
    """Its artifact says so, and how far it came, although it had no time for one while it ran."""
    end = time.monotonic() + 20
    while not (found := _artifacts(client, run_id)) and time.monotonic() < end:
        time.sleep(0.1)
    (shown,) = found
    assert shown["data"].startswith("# ⏸ suspended\n")
    assert "waits to be resumed" in shown["data"]
    assert f"{files} file" in shown["data"]


@pytest.fixture
def resumed(history):
    """A run of a deployment that was suspended, and resumed by a person; its id."""
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow(nightly), "here", job_variables={})
        flow_run = client.create_flow_run_from_deployment(deployment, parameters={"paths": ["a", "bad"]})
        with pytest.raises(Pause):
            run_flow(nightly, flow_run=flow_run, parameters=flow_run.parameters, return_type="state")
        (run,) = history.list_runs()
        assert run.status.value == "running"
        assert recover(history) == []
        _see_suspended(client, run.run_id)
        client.resume_flow_run(flow_run.id)
        runs._runs.clear()  # another process knows nothing of it
        flow_run = client.read_flow_run(flow_run.id)
        run_flow(nightly, flow_run=flow_run, parameters=flow_run.parameters, return_type="state")
        assert client.read_flow_run(flow_run.id).run_count == 1
    return str(flow_run.id)


def test_each_file_is_there_once_in_one_attempt(history, resumed):
    (run,) = history.list_runs()
    assert (run.run_id, run.run_count, run.attempts) == (resumed, 1, [])
    assert (run.status.value, run.total_files, run.failed_count) == ("partial_success", 3, 1)
    rows = {row.file_path: row for row in history.archive.files(run)}
    assert set(rows) == {"a", "bad", "after"}
    assert [len(rows[path].attempts) for path in ("a", "bad", "after")] == [2, 2, 1]


def test_its_artifact_tells_the_end_then(resumed):
    with get_client(sync_client=True) as client:
        (shown,) = _artifacts(client, resumed)
    assert shown["data"].startswith("# ⚠️ partial success\n")


def test_its_own_end_counts_where_the_seal_was_lost(history, resumed):
    store = history.archive.store
    for entry in store.list(""):
        if entry.key.startswith(layout.RUNS) or "/seal-" in entry.key or "/done-" in entry.key:
            store.delete(entry.key)
    (done,) = recover(history)
    assert (done.run.status.value, done.run.state, done.run.reason) == ("partial_success", "Completed", None)


def test_its_artifact_says_that_it_goes_on(history, monkeypatch):
    """Not only once another file has ended: Prefect says that it runs."""
    seen = []

    @track
    @flow(name="slow-later")
    def slow(paths: list[str]):
        work.map(paths).wait()
        suspend_flow_run(timeout=60)
        with get_client(sync_client=True) as client:
            end = time.monotonic() + 20
            while not seen and time.monotonic() < end:
                (shown,) = _artifacts(client, str(runtime.flow_run.id))
                seen.extend(shown["data"] for _ in [0] if "goes on" in shown["data"])
                time.sleep(0.1)

    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow(slow), "here", job_variables={})
        flow_run = client.create_flow_run_from_deployment(deployment, parameters={"paths": ["a"]})
        monkeypatch.setenv("PREFECT_INTEGRATIONS_TRACKRECORD_LIVE_SECONDS", "60")
        with pytest.raises(Pause):
            run_flow(slow, flow_run=flow_run, parameters=flow_run.parameters, return_type="state")
        _see_suspended(client, str(flow_run.id), 1)
        client.resume_flow_run(flow_run.id)
        runs._runs.clear()
        for note in (history.archive.settings.spool / "live").iterdir():
            note.unlink()  # as after a while
        flow_run = client.read_flow_run(flow_run.id)
        run_flow(slow, flow_run=flow_run, parameters=flow_run.parameters, return_type="state")
    assert seen
    assert seen[0].startswith("# … running\n")
