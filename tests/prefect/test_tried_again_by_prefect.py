"""A run that has ended and that Prefect tries again, as by the UI's Retry: while that goes on it is said to run."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry

from prefect_trackrecord import recover, track
from prefect_trackrecord._prefect import artifact_keys, posting, runs
from prefect_trackrecord.cli.app import run as main
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.documents.reopening import reopen
from prefect_trackrecord.documents.writing import dump_model
from prefect_trackrecord.errors import StoreError
from prefect_trackrecord.tracking import TrackingStorage

pytestmark = pytest.mark.prefect
SEEN: list[object] = []
LATER: list[object] = []


@track(file="path")
@task
def work(path):
    if path == "bad" and not LATER:
        raise ValueError("no good")


@track(items="paths")
@flow(name="tried-again")
def nightly(paths: list[str] | None = None):
    if LATER:
        LATER[0]()
    work.map(paths or ["a", "bad"]).wait()


@pytest.fixture(autouse=True)
def fresh():
    SEEN.clear()
    LATER.clear()


def shown(run_id):
    with get_client(sync_client=True) as client:
        found = posting.find(client, run_id, artifact_keys.run_key(run_id))
    return found["data"] if found else ""


def waiting_for(text, run_id):
    end = time.monotonic() + 30
    while text not in shown(run_id):
        assert time.monotonic() < end, shown(run_id)
        time.sleep(0.1)


def begin_again(run_id):
    """As the UI's button Retry, and a worker: another process knows nothing of the run."""
    runs._runs.clear()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, AwaitingRetry(), force=True)
        flow_run = client.read_flow_run(run_id)
    return run_flow(nightly, flow_run=flow_run, return_type="state")


def document_of(history, run_id):
    (run,) = [run for run in history.list_runs() if run.run_id == run_id]
    return run


def test_it_runs_again_while_the_later_attempt_does(history, monkeypatch, capsys):
    monkeypatch.setenv("PREFECT_INTEGRATIONS_TRACKRECORD_LIVE_SECONDS", "0.5")
    run_id = str(nightly(return_state=True).state_details.flow_run_id)
    with get_client(sync_client=True) as client:  # as of a run that took longer than that
        end = {"ended": "partial_success", "otherhost": '{"success": 7}'}
        posting.create(client, run_id, artifact_keys.run_key(run_id), "# ⚠️ partial success", "old", metadata=end)
    before = document_of(history, run_id)

    def meanwhile():
        SEEN.append(document_of(history, run_id))
        waiting_for("running", run_id)
        SEEN.append(shown(run_id))
        SEEN.append(main(["retry", run_id, "--deployment", "tried/again"]))
        SEEN.append(recover(history))

    LATER.append(meanwhile)
    begin_again(run_id)
    running, text, refused, recovered = SEEN
    assert (before.status.value, running.status.value, running.run_count) == ("partial_success", "running", 2)
    assert (running.completed_at, running.state, running.total_files) == (None, None, 2)
    assert "| files | 0 | 0 | 0 | 0 |" in text
    assert (refused, recovered) == (1, [])
    assert "goes on still" in capsys.readouterr().err
    after = document_of(history, run_id)
    assert (after.status.value, after.run_count, after.started_at) == ("success", 2, before.started_at)
    assert "# ✅ success" in shown(run_id)


@pytest.mark.parametrize("state", ["waits", "dead"])
def test_a_retry_asks_prefect_whether_the_run_is_over(history, capsys, state):
    """Its document does not say so before its attempt begins; a run that was found dead may be said to run."""
    from prefect.states import Running
    from prefect.utilities.callables import parameter_schema

    run_id = str(nightly(return_state=True).state_details.flow_run_id)
    with get_client(sync_client=True) as client:
        flow_id = client.request("POST", "/flows/", json={"name": "tried-again"}).json()["id"]
        schema = parameter_schema(nightly.fn).model_dump_for_openapi()
        body = {"name": state, "flow_id": flow_id, "parameter_openapi_schema": schema}
        client.request("POST", "/deployments/", json=body)
        client.set_flow_run_state(run_id, AwaitingRetry() if state == "waits" else Running(), force=True)
        count = client.read_flow_run(run_id).run_count
    run = history.archive.run(run_id)
    if state == "dead":
        dead = {"status": RunStatus.ABORTED, "reason": "recovered: the process 7 on h is gone", "run_count": count}
        history.save_run_metadata(run.model_copy(update=dead))
        path = layout.run_key(run_id, layout.day_of(run.started_at))
        history.archive.store.put(path, dump_model(run.model_copy(update=dead)))
    code = main(["retry", run_id, "--deployment", f"tried-again/{state}", "--dry-run"])
    told = capsys.readouterr()
    if state == "waits":
        assert code == 1
        assert "goes on still: Prefect says AwaitingRetry" in told.err
    else:
        assert (code, told.out) == (0, "bad\n")


def test_a_document_is_reopened_for_a_later_attempt_alone(history):
    at = datetime(2026, 1, 2, tzinfo=timezone.utc)
    history.save_run_metadata(RunMetadata(run_id="r", command="c", started_at=at, status="failed", run_count=2))
    store = history.archive.store

    def attempt(number):
        return RunMetadata(run_id="r", command="c", started_at=datetime.now(timezone.utc), run_count=number)

    for number, status in ((1, "failed"), (2, "failed"), (3, "running"), (4, "running")):
        reopen(store, attempt(number))
        assert history.list_runs()[0].status.value == status
    assert history.list_runs()[0].run_count == 3
    reopen(store, attempt(9).model_copy(update={"run_id": "unknown"}))
    assert len(history.list_runs()) == 1


def test_a_bucket_s_document_is_reopened_in_the_background(tmp_path):
    bucket = TrackingStorage(base_path=f"memory://{tmp_path.name}/reopened")
    at = datetime(2026, 1, 2, tzinfo=timezone.utc)
    bucket.save_run_metadata(RunMetadata(run_id="r", command="c", started_at=at, status="failed"))
    bucket.archive.reopen(RunMetadata(run_id="r", command="c", started_at=datetime.now(timezone.utc), run_count=2))
    end = time.monotonic() + 30
    while bucket.list_runs()[0].status.value != "running":
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_store_that_is_down_stops_no_attempt(history, monkeypatch):
    history.save_run_metadata(RunMetadata(run_id="r", command="c", started_at=datetime.now(timezone.utc)))

    def refuse(*_args):
        raise StoreError("down")

    monkeypatch.setattr(type(history.archive.store), "list", refuse)
    reopen(history.archive.store, RunMetadata(run_id="r", started_at=datetime.now(timezone.utc), run_count=2))
