"""States that functions return, tasks that nobody waits for, untracked subflows, and `fail_over` alone."""

from __future__ import annotations

import contextlib
import time

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.states import Cancelled

from prefect_trackrecord import track
from prefect_trackrecord.tracking import RunStatus

pytestmark = pytest.mark.prefect


@track(file="path")
@task
def check(path):
    if path == "bad":
        raise ValueError("bad")
    if path == "cancelled":
        return Cancelled(message="stop")
    if path == "late":
        time.sleep(1)
        raise ValueError("late")
    return path


def wait_until(true, seconds=30):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    assert true()


@pytest.mark.parametrize("submit", [False, True])
def test_a_task_that_returns_cancelled_is_a_file(only_run, submit):
    @track
    @flow
    def nightly():
        if submit:
            check.submit("cancelled").wait()
        else:
            check("cancelled", return_state=True)
        return "done"

    nightly()
    run, rows = only_run()
    assert rows["cancelled"].status.value == "failed"
    assert (rows["cancelled"].error_type, rows["cancelled"].error_message) == ("Cancelled", "stop")


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_flow_that_returns_cancelled_is_aborted(only_run, history, kind):
    if kind == "sync":

        @track
        @flow
        def nightly():
            check("a")
            return Cancelled(message="stop")

        nightly(return_state=True)
    else:

        @track
        @flow
        async def later():
            check("a")
            return Cancelled(message="stop")

        await later(return_state=True)
    wait_until(lambda: history.list_runs()[0].status is RunStatus.ABORTED)
    run, rows = only_run()
    assert list(rows) == ["a"]
    assert run.error_message == "stop"


def test_a_task_that_nobody_waits_for_is_in_the_documents_and_the_artifact(history):
    @track
    @flow
    def nightly():
        check.submit("late")
        check("a")
        return "done"

    state = nightly(return_state=True)
    wait_until(lambda: history.list_runs()[0].total_files == 2)
    (run,) = history.list_runs()
    assert (run.status.value, run.failed_count, run.tracking_errors) == ("partial_success", 1, {})
    body = {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}}

    def texts():
        with get_client(sync_client=True) as client:
            return [a["data"] for a in client.request("POST", "/artifacts/filter", json=body).json()]

    wait_until(lambda: any("partial success" in text for text in texts()))


def test_what_an_untracked_subflow_does_belongs_to_the_run_around_it(only_run):
    @flow
    def inner():
        check("inside")

    @track
    @flow
    def nightly():
        check("outside")
        inner()

    nightly()
    _, rows = only_run()
    assert set(rows) == {"inside", "outside"}


@pytest.mark.parametrize(("share", "name"), [(0.4, "Failed"), (0.6, "Completed")])
def test_fail_over_alone_fails_the_flow_and_changes_nothing_below_it(history, share, name):
    @track(fail_over=share)
    @flow
    def nightly():
        check("a")
        check("bad", return_state=True)
        return "done"

    state = nightly(return_state=True)
    assert state.name == name
    if name == "Completed":
        assert state.result() == "done"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("options", "bad", "state"),
    [
        ({"partial": "completed"}, "bad", "PartialSuccess"),
        ({"partial": "failed"}, "bad", "PartialSuccess"),
        ({"fail_over": 0.2}, "bad", "Failed"),
        ({"fail_over": 0.9}, "bad", "Completed"),
        ({"partial": "completed"}, "good", "Completed"),
    ],
)
async def test_a_generator_flow_gets_the_state_of_a_partial_success(history, is_async, options, bad, state):
    paths = ("a", bad)
    seen = []
    if is_async:

        @track(**options)
        @flow
        async def several():
            for path in paths:
                check(path, return_state=True)
                yield path
    else:

        @track(**options)
        @flow
        def several():
            for path in paths:
                check(path, return_state=True)
                yield path

    fails = state == "Failed" or options.get("partial") == "failed"
    with pytest.raises(Exception, match="1 of 2 files failed") if fails else contextlib.nullcontext():
        if is_async:
            async for path in several():
                seen.append(path)
        else:
            seen.extend(several())
    assert len(seen) in (0, 2)
    (run,) = history.list_runs()
    async with get_client() as client:
        flow_run = await client.read_flow_run(run.run_id)
    assert flow_run.state.name == state
    assert run.state == state


def of_kind(kind, work):
    """A function of that kind that does the work."""
    if kind == "sync":

        def fn():
            work()
    elif kind == "async":

        async def fn():
            work()
    elif kind == "generator":

        def fn():
            work()
            yield 1
    else:

        async def fn():
            work()
            yield 1

    return fn


async def called(kind, tracked):
    """Call a flow of that kind, to its end."""
    if kind == "sync":
        tracked()
    elif kind == "async":
        await tracked()
    elif kind == "generator":
        list(tracked())
    else:
        assert [one async for one in tracked()]


@pytest.mark.parametrize("mended", [True, False])
@pytest.mark.parametrize("kind", ["sync", "async", "generator", "async generator"])
async def test_a_flow_that_failed_by_its_files_is_tried_again(history, kind, mended):
    """Prefect would leave one whose state it is given in AwaitingRetry, and nobody would run it."""
    attempts = []

    def bad():
        attempts.append(1)
        return "bad" if len(attempts) == 1 or not mended else "good"

    @track(file="path")
    @task
    def item(path, name):
        if name == "bad":
            raise ValueError(name)

    def work():
        item("a", "good", return_state=True)
        item("b", bad(), return_state=True)

    tracked = track(partial="failed")(flow(of_kind(kind, work), retries=1))
    with contextlib.nullcontext() if mended else pytest.raises(Exception, match="1 of 2 files failed"):
        await called(kind, tracked)
    assert len(attempts) == 2
    (run,) = history.list_runs()
    expected = "Completed" if mended else "PartialSuccess"
    async with get_client() as client:
        flow_run = await client.read_flow_run(run.run_id)
    assert (flow_run.state.name, run.state, run.run_count) == (expected, expected, 2)
    assert (run.status.value, run.failed_count, run.total_files) == (
        "success" if mended else "failed",
        0 if mended else 1,
        2,
    )
    assert run.tracking_errors == {}


@pytest.mark.parametrize("kind", ["sync", "async", "generator"])
async def test_a_later_attempt_that_completes_in_part_does_not_raise_what_an_earlier_did(history, kind):
    """Prefect does, once the flow ends with a state."""
    attempts = []

    def work():
        attempts.append(1)
        for path in ("a", "bad"):
            check(path, return_state=True)
        if len(attempts) == 1:
            raise OSError("once")

    tracked = track(partial="completed")(flow(of_kind(kind, work), retries=1))
    await called(kind, tracked)
    assert len(attempts) == 2
    (run,) = history.list_runs()
    assert run.state == "PartialSuccess"
