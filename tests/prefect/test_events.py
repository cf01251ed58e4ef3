"""Events that automations act on: what is sent, how it hangs together, and that it can be turned off."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import defaultdict
from uuid import uuid4

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas import FlowRun
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import get_current_settings
from prefect.states import Crashed

from prefect_trackrecord import recover, track
from prefect_trackrecord._prefect import events_out, events_queue, untold
from prefect_trackrecord._prefect.asking import Asker
from prefect_trackrecord._prefect.reconciling import reconciler
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
    EventsWorker.drain_all()  # or the next test's events go to this one's client
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
    monkeypatch.setitem(events_queue.MOST, "trackrecord.file.failed", 3)
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


def test_a_file_that_the_flows_own_retry_brings_through_has_not_failed(history, sent):
    tried = []

    @track(file="path")
    @task
    def work(path):
        tried.append(path)
        if path == "never" or len(tried) <= 2:
            raise ValueError(path)

    @track
    @flow(retries=1)
    def again():
        work.map(["later", "never"]).wait()
        raise ValueError("once more")

    again(return_state=True)
    assert sorted(tried) == ["later", "later", "never", "never"]
    failed, end = sent()
    assert (failed.event, failed.payload["file_path"], failed.payload["attempts"]) == (
        "trackrecord.file.failed",
        "never",
        2,
    )
    assert (end.event, end.follows) == ("trackrecord.run.failed", failed.id)


def test_what_two_processes_tell_alike_has_one_id(history, monkeypatch):
    """Prefect keeps one event of an id, and its automations act on one; a hook and a recovery may both tell."""
    nightly(["bad", "a"], return_state=True)
    (run,) = history.list_runs()
    (row,) = [row.model_dump() for row in history.archive.files(run) if row.file_path == "bad"]
    told = defaultdict(list)
    monkeypatch.setattr(events_queue, "emit_event", lambda kind, *_, id, **_more: told[kind].append(id))  # noqa: A006
    for count in (1, 1, 2):
        events_queue._said.clear()  # as in another process
        again = run.model_copy(update={"run_count": count})
        events_out.file_failed(run.run_id, row, history.archive.settings)
        events_out.run_ended(again, "place", history.archive.settings)
    assert [len(ids) for ids in told.values()] == [3, 3]
    first, second, third = told["trackrecord.run.partial"]
    assert first == second != third, "one for each attempt of the run"
    assert len(set(told["trackrecord.file.failed"])) == 1
    assert None not in {first, third, *told["trackrecord.file.failed"]}


KILLED = """
import time
from prefect import flow, task
from prefect_trackrecord import track

@track(file="path")
@task
def work(path):
    if path == "bad":
        raise ValueError("told by its own process")
    time.sleep(300)

@track
@flow
def killed():
    work.submit("bad").wait()
    runs = work.map(["one", "two"])
    print("goes on", flush=True)
    runs.wait()

killed()
"""


def test_files_of_a_process_that_was_killed(history, sent, tmp_path):
    settings = get_current_settings()
    env = {**os.environ, "PREFECT_API_URL": settings.api.url, "PREFECT_HOME": str(settings.home)}
    process = subprocess.Popen([sys.executable, "-c", KILLED], env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert "goes on" in process.stdout.readline()
        wait_until(lambda: history.list_runs() and begun(history, "two"))
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    asker = Asker()
    (found,) = recover(history, ask=asker, reconcile=reconciler(asker))
    assert (found.run.failed_count, found.run.total_files) == (3, 3)
    assert untold.tell(history, [found.run]) == 1
    *files, end = sent()
    assert [e.event for e in files] == ["trackrecord.file.failed"] * 2
    assert {e.payload["file_path"] for e in files} == {"one", "two"}
    assert all(r.role != "task-run" or r.id for e in files for r in e.related)
    assert {e.payload["error_type"] for e in files} == {"Crashed"}
    assert (end.event, end.follows) == ("trackrecord.run.recovered", files[-1].id)


def wait_until(what):
    for _ in range(200):
        if what():
            return
        asyncio.run(asyncio.sleep(0.1))
    raise AssertionError("waited in vain")


def begun(history, path):
    folder = history.archive.store.local_root / "journal"
    return any(f'"{path}"'.encode() in file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_where_a_flow_run_was_to_run_is_related(history, sent):
    ids = {"work_pool_id": uuid4(), "work_queue_id": uuid4()}
    run_id = str(nightly(["good"], return_state=True).state_details.flow_run_id)
    events_out.know(FlowRun(id=run_id, flow_id=uuid4(), **ids))
    events_out.run_ended(history.archive.run(run_id), history.url, history.archive.settings)
    related = {r.role: r.id for r in sent()[-1].related}
    assert related["work-pool"] == f"prefect.work-pool.{ids['work_pool_id']}"
    assert related["work-queue"] == f"prefect.work-queue.{ids['work_queue_id']}"


def test_a_process_that_only_runs_the_hook_sends_before_it_ends(history, sent, monkeypatch):
    emit = AssertingEventsClient.emit

    async def slow(self, event):
        await asyncio.sleep(0.5)
        return await emit(self, event)

    monkeypatch.setattr(AssertingEventsClient, "emit", slow)
    with get_client(sync_client=True) as client:
        flow_run = client.create_flow_run(nightly, parameters={"paths": []})
        nightly.on_crashed_hooks[-1](nightly, flow_run, Crashed(message="killed"))
    found = [e.event for c in AssertingEventsClient.all for e in c.events if e.event.startswith("trackrecord.")]
    assert found == ["trackrecord.run.aborted"]
