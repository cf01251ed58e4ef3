"""A flow run that is suspended, and goes on in another process: Prefect counts that as the same attempt."""

from __future__ import annotations

import pytest
from prefect import flow, suspend_flow_run, task
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


def test_its_own_end_counts_where_the_seal_was_lost(history, resumed):
    store = history.archive.store
    for entry in store.list(""):
        if entry.key.startswith(layout.RUNS) or "/seal-" in entry.key or "/done-" in entry.key:
            store.delete(entry.key)
    (done,) = recover(history)
    assert (done.run.status.value, done.run.state, done.run.reason) == ("partial_success", "Completed", None)
