"""Events that automations act on: what is sent, how it hangs together, and that it can be turned off."""

from __future__ import annotations

import pytest
from prefect import flow, task
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker

from prefect_trackrecord import track
from prefect_trackrecord._prefect import events_out
from prefect_trackrecord.record import RecordStatus, ThoughtfulRecord

pytestmark = pytest.mark.prefect


@pytest.fixture
def sent():
    """Our events of this test, once those of Prefect's queue are worked off."""
    if not hasattr(EventsWorker, "set_client_override"):
        pytest.skip("this Prefect's queue can't be looked into")
    EventsWorker.set_client_override(AssertingEventsClient)
    AssertingEventsClient.reset()

    def read():
        EventsWorker.drain_all()
        found = [e for c in AssertingEventsClient.all for e in c.events if e.event.startswith("trackrecord.")]
        return sorted(found, key=lambda e: e.occurred)

    yield read
    EventsWorker.set_client_override(None)


@track(file="path")
@task
def check(path):
    if path.startswith("bad"):
        raise ValueError(f"{path} is bad")


@track
@flow
def nightly(paths):
    check.map(paths).wait()


def test_a_partial_run_and_its_failed_files(history, sent):
    run_id = str(nightly(["good", "bad"], return_state=True).state_details.flow_run_id)
    failed, partial = sent()
    assert (failed.event, partial.event) == ("trackrecord.file.failed", "trackrecord.run.partial")
    assert partial.resource.id == f"trackrecord.run.{run_id}"
    assert partial.resource["trackrecord.flow"] == "nightly"
    assert f"prefect.flow-run.{run_id}" in {r.id for r in partial.related}
    assert {"flow-run", "flow"} <= {r.role for r in partial.related}
    assert partial.follows == failed.id
    assert (partial.payload["files"], partial.payload["failed"], partial.payload["status"]) == (2, 1, "partial_success")
    assert partial.payload["errors"][0]["example"] == "bad"
    assert (failed.payload["file_path"], failed.payload["error_type"]) == ("bad", "ValueError")
    assert [r.id for r in failed.related if r.role == "task-run"]


@pytest.mark.parametrize(
    ("paths", "kind"), [(["good"], "trackrecord.run.completed"), (["bad"], "trackrecord.run.failed")]
)
def test_each_end_has_a_kind_of_its_own(history, sent, paths, kind):
    nightly(paths, return_state=True)
    assert sent()[-1].event == kind


def test_many_failed_files_are_rationed_and_the_rest_is_counted(history, sent, monkeypatch):
    monkeypatch.setitem(events_out.MOST, "trackrecord.file.failed", 3)
    nightly([f"bad-{n}" for n in range(8)], return_state=True)
    *files, end = sent()
    assert [e.event for e in files] == ["trackrecord.file.failed"] * 3
    assert end.payload["failed"] == 8


class Claim(ThoughtfulRecord):
    amount: int = 0
    status: RecordStatus = RecordStatus("New")


def test_a_record_that_changes_its_status(history, sent):
    @track
    @flow
    def claims():
        claim = Claim(id="c-1")
        claim.status = RecordStatus("Paid")

    run_id = str(claims(return_state=True).state_details.flow_run_id)
    changed, end = sent()
    assert changed.event == "trackrecord.record.status-changed"
    assert (changed.payload["old_status"], changed.payload["new_status"]) == ("New", "Paid")
    assert changed.resource.id.endswith(".c-1")
    assert changed.payload["run_id"] == run_id
    assert end.event == "trackrecord.run.completed"


def test_none_are_sent_where_the_setting_says_so(history, sent, monkeypatch):
    monkeypatch.setenv("PREFECT_INTEGRATIONS_TRACKRECORD_EVENTS", "false")
    nightly(["good", "bad"], return_state=True)
    assert sent() == []


def test_a_setting_that_is_none_of_its_kind_breaks_nothing(history, sent, monkeypatch, caplog):
    monkeypatch.setenv("PREFECT_INTEGRATIONS_TRACKRECORD_LIVE_SECONDS", "often")
    assert nightly(["good"], return_state=True).is_completed()
    assert sent()[-1].event == "trackrecord.run.completed"
    assert "LIVE_SECONDS" in caplog.text or "live_seconds" in caplog.text
