"""A run whose later attempts have processes of their own, as by the UI's Retry, has one artifact of each kind."""

from __future__ import annotations

from collections import Counter

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry

from prefect_trackrecord import track
from prefect_trackrecord._prefect import posting, runs, showing, shown_before

pytestmark = pytest.mark.prefect
GOOD: set[str] = set()


@track(file="path")
@task
def again(path):
    if path not in GOOD:
        raise ValueError(f"{path} is no good")


@track
@flow
def attempted():
    again.map(["a", "b", "c"]).wait()


@pytest.fixture(autouse=True)
def _a_busy_machine(monkeypatch):
    """Nothing is left out for want of time."""
    monkeypatch.setattr(showing, "SECONDS", 60.0)
    monkeypatch.setattr(shown_before, "SECONDS", 60.0)
    monkeypatch.setenv("PREFECT_INTEGRATIONS_TRACKRECORD_LIVE_SECONDS", "0")


@pytest.fixture
def asked(monkeypatch):
    """How often the API was asked for what earlier attempts have shown."""
    made = []
    under = posting.under
    monkeypatch.setattr(posting, "under", lambda *a: made.append(a) or under(*a))
    return made


def artifacts_of(run_id):
    body = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "CREATED_DESC"}
    with get_client(sync_client=True) as client:
        return client.request("POST", "/artifacts/filter", json=body).json()


def begin_again(run_id):
    """As the UI's button Retry, and a worker: another process knows nothing of the run."""
    runs._runs.clear()
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id, AwaitingRetry(), force=True)
        flow_run = client.read_flow_run(run_id)
    return run_flow(attempted, flow_run=flow_run, return_type="state")


def test_later_attempts_change_what_the_first_one_has_shown(history, asked, monkeypatch):
    GOOD.clear()
    GOOD.add("a")
    run_id = str(attempted(return_state=True).state_details.flow_run_id)
    first = {a["key"]: a["id"] for a in artifacts_of(run_id)}
    assert asked == []
    begin_again(run_id)
    found = artifacts_of(run_id)
    assert len(asked) == 1
    files = [a for a in found if a["key"] == "trackrecord-file-attempted"]
    assert Counter(a["key"] for a in found) == {
        "trackrecord-attempted": 1,
        "trackrecord-failures-attempted": 1,
        "trackrecord-file-attempted": 2,
    }
    assert {a["id"] for a in found if a not in files} == set(first.values()) - {first["trackrecord-file-attempted"]}
    with get_client(sync_client=True) as client:
        turns = {client.read_task_run(a["task_run_id"]).flow_run_run_count for a in files}
    assert turns == {2}
    GOOD.update("abc")
    monkeypatch.setattr(showing, "SECONDS", 0.0)  # a slow API leaves out what is new, not what holds no more
    begin_again(run_id)
    (only,) = artifacts_of(run_id)
    assert only["id"] == first["trackrecord-attempted"]
    assert "# ✅ success" in only["data"]


def test_an_api_that_does_not_tell_leaves_them_as_they_are(history, monkeypatch):
    def refuse(*_args):
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(posting, "under", refuse)
    monkeypatch.setattr(posting, "delete", refuse)
    GOOD.clear()
    GOOD.update("ab")
    run_id = str(attempted(return_state=True).state_details.flow_run_id)
    begin_again(run_id)
    summaries = [a for a in artifacts_of(run_id) if a["key"] == "trackrecord-attempted"]
    assert len(summaries) == 2
    run = history.archive.run(run_id)
    shown = {"trackrecord-failures-attempted": "x"}
    shown_before.remove_outdated(None, run, [], shown)
    assert shown


def test_the_progress_of_an_earlier_attempt_makes_place_for_the_summary(history, monkeypatch):
    GOOD.clear()
    GOOD.update("ab")
    run_id = str(attempted(return_state=True).state_details.flow_run_id)
    key = f"trackrecord-run-{run_id}"
    with get_client(sync_client=True) as client:
        posting.create(client, run_id, key, "old", "old", metadata={"ended": "failed"})
    begin_again(run_id)
    (progress,) = [a for a in artifacts_of(run_id) if a["key"] == key]
    assert "# ⚠️ partial success" in progress["data"]
