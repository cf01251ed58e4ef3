"""Tracked tasks where no tracked flow is: in untracked flows, in scripts, in task workers."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta, timezone

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.states import Crashed, Running
from prefect.task_worker import TaskWorker

from prefect_trackrecord import current_tracker, recover, track
from prefect_trackrecord._prefect import runs
from prefect_trackrecord._prefect.asking import Asker, verdict
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.tracking import RunTracker

pytestmark = pytest.mark.prefect


@pytest.fixture
def tracked_task():
    @track(file="path")
    @task
    def one(path):
        return path

    return one


def test_a_flow_that_is_not_tracked_is_warned_of_once_and_closed_by_recover(history, tracked_task, caplog):
    @flow
    def nightly(day: str = "today"):
        tracked_task("a")
        tracked_task.submit("b").wait()

    with caplog.at_level(logging.WARNING, "prefect_trackrecord"):
        state = nightly(return_state=True)
    warnings = [r.getMessage() for r in caplog.records if r.name == "prefect_trackrecord"]
    assert len(warnings) == 1
    assert "put @track above its @flow" in warnings[0]
    run_id = str(state.state_details.flow_run_id)
    (recovered,) = recover(history, ask=Asker())
    assert (recovered.run_id, recovered.error) == (run_id, None)
    (found,) = history.list_runs()
    assert (found.run_id, found.status.value, found.state, found.flow_name) == (
        run_id,
        "success",
        "Completed",
        "nightly",
    )
    assert (found.command, found.parameters) == ("nightly", {"day": "today"})
    assert {row.file_path for row in history.archive.files(found)} == {"a", "b"}
    assert recover(history, ask=Asker()) == []


def test_recover_waits_for_a_flow_that_is_not_tracked_and_still_runs(history, tracked_task):
    seen = []

    @flow
    def nightly():
        tracked_task("a")
        seen.append(recover(history, ask=Asker()))

    nightly()
    assert seen == [[]]
    assert len(recover(history, ask=Asker())) == 1


def test_a_tracker_in_a_flow_that_is_not_tracked_installs_no_handler(history):
    import signal

    seen = []

    @flow
    def nightly():
        before = signal.getsignal(signal.SIGTERM)
        with RunTracker("part", storage=history) as part:
            part.track_file("a")
            seen.append(signal.getsignal(signal.SIGTERM) is before)

    state = nightly(return_state=True)
    assert seen == [True]
    (found,) = history.list_runs()
    assert (found.command, found.parent_run_id) == ("part", str(state.state_details.flow_run_id))


def test_current_tracker_in_a_task_of_an_untracked_flow(history):
    @task
    def asks():
        with pytest.raises(UsageError, match="put @track above @flow"):
            current_tracker()

    @flow
    def nightly():
        asks()
        asks.submit().wait()

    assert nightly(return_state=True).is_completed()


def test_a_task_of_a_script_goes_to_the_tracker_around_it(history, tracked_task):
    with RunTracker("script", storage=history):
        assert tracked_task("a") == "a"
    (found,) = history.list_runs()
    assert [row.file_path for row in history.archive.files(found)] == ["a"]


def test_a_task_of_a_script_alone_runs_and_is_warned_of_once(history, tracked_task, caplog):
    with caplog.at_level(logging.WARNING, "prefect_trackrecord"):
        assert tracked_task("a") == "a"
        assert tracked_task("b") == "b"
    assert len([r for r in caplog.records if "in no flow and no RunTracker" in r.getMessage()]) == 1
    assert history.list_runs() == []


def test_a_flow_inside_of_a_tracker_is_linked_to_it(history, tracked_task):
    @track
    @flow
    def nightly():
        tracked_task("a")
        return current_tracker().run_id

    with RunTracker("script", storage=history) as outer:
        outer.track_file("x")
        inner = nightly()
        outer.track_file("y")
    found = {run.command: run for run in history.list_runs()}
    assert (found["nightly"].run_id, found["nightly"].parent_run_id) == (inner, outer.run_id)
    assert [r.file_path for r in history.archive.files(found["script"])] == ["x", "y"]
    assert [r.file_path for r in history.archive.files(found["nightly"])] == ["a"]


def test_a_task_worker_finds_the_task_and_its_flow(history, tracked_task):
    """A worker looks tasks up by keys that it derives from their functions; a run that it can't find it deletes."""

    @track
    @flow
    def nightly():
        return tracked_task.delay("late").task_run_id

    async def work(task_run_id):
        async with get_client() as client:
            waiting = await client.read_task_run(task_run_id)
        await TaskWorker(tracked_task).execute_task_run(waiting)

    state = nightly(return_state=True)
    runs._runs.clear()  # a worker is another process, which has not seen the flow
    asyncio.run(work(state.result()))
    recover(history, ask=Asker())
    (found,) = history.list_runs()
    (row,) = history.archive.files(found)
    assert (row.file_path, row.status.value, row.task_run_id) == ("late", "success", str(state.result()))


def test_a_delayed_task_of_no_flow_runs(history, tracked_task):
    async def work():
        future = tracked_task.delay("alone")
        async with get_client() as client:
            waiting = await client.read_task_run(future.task_run_id)
        await TaskWorker(tracked_task).execute_task_run(waiting)
        return future.task_run_id

    task_run_id = asyncio.run(work())
    with get_client(sync_client=True) as client:
        for _ in range(50):
            found = client.read_task_run(task_run_id)
            if found.state is not None and found.state.is_final():  # the API lags
                break
            import time

            time.sleep(0.2)
    assert found.state.name == "Completed"
    assert history.list_runs() == []


def test_what_the_api_says_of_runs(history):
    from prefect_trackrecord._prefect.asking import ask

    @flow
    def nightly():
        return 1

    with get_client(sync_client=True) as client:
        done = nightly(return_state=True).state_details.flow_run_id
        crashed = client.create_flow_run(nightly, state=Running()).id
        client.set_flow_run_state(crashed, Crashed(message="gone"), force=True)
        running = client.create_flow_run(nightly, state=Running()).id
        waiting = client.create_flow_run(nightly).id
    unknown = "11111111-1111-4111-8111-111111111111"
    answers = ask([str(done), str(crashed), str(running), str(waiting), unknown, "no-uuid"])
    assert answers.error is None
    assert answers.known == {str(done), str(crashed), str(running), str(waiting)}
    verdicts = answers.verdicts
    assert (verdicts[str(done)].status, verdicts[str(done)].state) == (None, "Completed")
    assert (verdicts[str(crashed)].status, verdicts[str(crashed)].error_message) == ("aborted", "gone")
    assert verdicts[str(running)] == "running"
    assert verdicts[str(waiting)] == "running", "no worker comes for it: only its script could go on"
    assert verdicts[unknown] is None


@pytest.mark.parametrize(
    ("kind", "name", "deployed", "hours", "said"),
    [
        ("SCHEDULED", "AwaitingRetry", False, -1, "running"),
        ("SCHEDULED", "AwaitingRetry", True, -1, "alive"),
        ("SCHEDULED", "Late", True, -25, "running"),
        ("SCHEDULED", "Scheduled", True, 400, "alive"),
        ("PENDING", "Pending", True, None, "alive"),
        ("PAUSED", "Paused", False, None, "running"),
        ("PAUSED", "Paused", True, None, "alive"),
        ("PAUSED", "Suspended", False, None, "alive"),
    ],
)
def test_what_waits_goes_on_by_a_worker_or_by_its_process(kind, name, deployed, hours, said):
    now = datetime.now(timezone.utc)
    due = None if hours is None else (now + timedelta(hours=hours)).isoformat()
    details = {"scheduled_time": due}
    state = {"type": kind, "name": name, "timestamp": now.isoformat(), "state_details": details}
    assert verdict({"state": state, "deployment_id": "d" if deployed else None}) == said


def test_an_api_that_does_not_answer_is_said_once(history, monkeypatch, caplog):
    from prefect_trackrecord._prefect import api

    def refuse(*_args):
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(api, "client", refuse)
    ask = Asker()
    with caplog.at_level(logging.WARNING, "prefect_trackrecord"):
        assert [ask("11111111-1111-4111-8111-111111111111") for _ in range(3)] == [None] * 3
    assert len(caplog.records) == 1
    assert "ConnectionRefusedError: nobody there" in caplog.records[0].getMessage()
