"""What becomes of a tracked flow's run: retries, ends of all kinds, subflows, parameters, states."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from uuid import uuid4

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.states import Failed

from prefect_trackrecord import current_tracker, hooks, param, track
from prefect_trackrecord._prefect import posting
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.tracking import RunTracker

pytestmark = pytest.mark.prefect
both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def make(fn, is_async, **options):
    """`fn` as a flow, sync or async."""
    if not is_async:
        return flow(fn, **options)

    async def other(*args, **kwargs):
        return fn(*args, **kwargs)

    other.__name__, other.__signature__ = fn.__name__, inspect.signature(fn)
    return flow(other, **options)


def run(flow_, *args, **kwargs):
    """Run it to its state."""
    result = flow_(*args, **kwargs, return_state=True)
    return asyncio.run(result) if inspect.isawaitable(result) else result


@track(file="path")
@task
def check(path, bad=False):
    if bad:
        raise ValueError(f"bad {path}")
    return path


@both
def test_a_run_says_what_it_was(only_run, is_async):
    def nightly(folder: str, day: str = "2025-01-20", api_token: str = "s3cret"):
        return 3

    tracked = track(subcommand="batch", config_path=lambda folder: f"{folder}/config.yaml", target_date=param("day"))(
        make(nightly, is_async, name="nightly-load")
    )
    state = run(tracked, "in")
    assert state.name == "Completed"
    found, rows = only_run()
    assert rows == {}
    assert (found.command, found.subcommand, found.config_path, found.target_date) == (
        "nightly-load",
        "batch",
        "in/config.yaml",
        "2025-01-20",
    )
    assert found.parameters == {"folder": "in", "day": "2025-01-20", "api_token": "********"}
    assert (found.status.value, found.state, found.flow_name, found.run_count) == (
        "success",
        "Completed",
        "nightly-load",
        1,
    )
    assert found.run_id == str(state.state_details.flow_run_id)
    assert found.flow_run_name
    assert found.host
    assert set(found.versions) == {"python", "prefect", "prefect-trackrecord"}
    assert found.completed_at >= found.started_at
    assert found.tracking_errors == {}


@both
def test_a_flow_that_fails(only_run, is_async):
    def nightly():
        check("a")
        raise OSError("disk on fire")

    state = run(track(make(nightly, is_async)))
    assert state.name == "Failed"
    found, rows = only_run()
    assert (found.status.value, found.error_type, found.error_message) == ("failed", "OSError", "disk on fire")
    assert "in nightly" in found.traceback
    assert rows["a"].status.value == "success"


@both
def test_a_flow_that_returns_failed(only_run, is_async):
    def nightly():
        return Failed(message="not today")

    run(track(make(nightly, is_async)))
    found, _ = only_run()
    assert (found.status.value, found.error_type, found.error_message) == ("failed", "Failed", "not today")


@both
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=["exit", "interrupt"])
def test_a_flow_that_crashes(only_run, is_async, error):
    def nightly():
        check("a")
        raise error

    with pytest.raises(type(error)):
        run(track(make(nightly, is_async)))
    found, rows = only_run()
    assert (found.status.value, found.state, found.error_type) == ("aborted", "Crashed", type(error).__name__)
    assert found.reason.startswith("the flow run was stopped: Execution was aborted")
    assert rows["a"].status.value == "success"


@both
def test_a_flow_that_times_out(only_run, is_async):
    def nightly():
        check("a")
        for _ in range(100):
            time.sleep(0.05)

    async def anightly():
        check("a")
        await asyncio.sleep(5)

    tracked = track(flow(anightly if is_async else nightly, timeout_seconds=1.2))
    state = run(tracked)
    assert state.name == "TimedOut"
    found, rows = only_run()
    assert (found.status.value, found.state, found.error_type) == ("failed", "TimedOut", "FlowRunTimeoutError")
    assert rows["a"].status.value == "success"


def test_sealing_never_takes_a_flow_over_its_timeout(only_run, monkeypatch):
    from prefect_trackrecord._prefect import finishing

    slow = finishing.Finish._seal

    def stalled(self):
        time.sleep(2.5)
        return slow(self)

    monkeypatch.setattr(finishing.Finish, "_seal", stalled)

    @track
    @flow(timeout_seconds=1.5)
    def nightly():
        return 5

    state = nightly(return_state=True)
    assert (state.name, state.result()) == ("Completed", 5)
    wait_for_threads()
    found, _ = only_run()
    assert (found.status.value, found.state) == ("success", "Completed")
    with get_client(sync_client=True) as client:  # made after the flow has closed its own client
        made = posting.find(client, found.run_id, "trackrecord-nightly")
    assert made["data"].startswith("# ✅ success")


def wait_for_threads():
    """Until what was left to the background is done."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer) or thread.name == "trackrecord-finish":
            thread.join(10)


@both
def test_a_retry_of_the_flow_is_an_attempt_of_one_run(only_run, is_async):
    tries = []

    def nightly():
        tries.append(1)
        check("a")
        check.submit("same").wait()
        check.submit("same").wait()
        check("b", bad=len(tries) < 2)
        return "done"

    state = run(track(make(nightly, is_async, retries=1)))
    assert state.name == "Completed"
    found, rows = only_run()
    assert (found.status.value, found.run_count, found.total_files, found.error_message) == ("success", 2, 4, None)
    assert [(a.number, a.status, a.error_type, a.error_message) for a in found.attempts] == [
        (1, "failed", "ValueError", "bad b"),
        (2, "Completed", None, None),
    ]
    assert rows["b"].status.value == "success"
    assert [a.status for a in rows["b"].attempts] == ["failed", "success"]
    assert [a.status for a in rows["a"].attempts] == ["success", "success"]


def test_results_that_a_retry_of_the_flow_finds_cached_stay_successes(only_run):
    tries, name = [], str(uuid4())  # results may outlive a test

    @track(file="path")
    @task(cache_key_fn=lambda _, given: name + given["path"])
    def once(path):
        return path

    @track
    @flow(retries=1)
    def nightly():
        tries.append(1)
        once("a")
        if len(tries) < 2:
            raise ValueError("again")

    nightly()
    found, rows = only_run()
    assert (found.success_count, found.skipped_count) == (1, 0)
    assert rows["a"].status.value == "success"


@both
def test_a_subflow_is_a_run_of_its_own_linked_to_its_parent(history, is_async):
    @track
    @flow
    def child(path):
        check(path)

    def parent():
        check("p")
        child("c")
        with RunTracker("part", storage=history) as part:
            part.track_file("r")
        check("q")
        return current_tracker().run_id

    state = run(track(make(parent, is_async, name="parent")))
    runs = {r.command: r for r in history.list_runs()}
    assert set(runs) == {"parent", "child", "part"}
    assert runs["child"].parent_run_id == runs["part"].parent_run_id == runs["parent"].run_id
    assert runs["parent"].parent_run_id is None
    result = state.result() if not is_async else None
    assert result in (None, runs["parent"].run_id)
    paths = {name: [row.file_path for row in history.archive.files(r)] for name, r in runs.items()}
    assert paths == {"parent": ["p", "q"], "child": ["c"], "part": ["r"]}


def test_a_subflow_that_is_not_tracked_has_no_run(history):
    @flow
    def child():
        return 1

    @track
    @flow
    def parent():
        return child()

    assert parent() == 1
    (found,) = history.list_runs()
    assert found.flow_name == "parent"
    assert sum(found.task_counts.values()) == 1  # Prefect's own task run that stands for the subflow


def test_parameters_that_are_refused(only_run):
    @track
    @flow
    def nightly(n: int):
        return n

    state = nightly("many", return_state=True)
    assert state.is_failed()
    found, _ = only_run()
    assert (found.status.value, found.error_type) == ("failed", "ParameterTypeError")
    assert (found.flow_name, found.parameters) == ("nightly", {"n": "many"})


@both
def test_hooks_alone(only_run, is_async, history):
    def nightly(n: int, day: str = "2025-01-20"):
        check("a")
        check("b", bad=True)

    options = hooks(subcommand="batch", target_date=param("day"))
    state = run(make(nightly, is_async, name="hooked", **options), "5")
    assert state.name == "Failed"
    found, rows = only_run()
    assert (found.command, found.subcommand, found.target_date, found.status.value) == (
        "hooked",
        "batch",
        "2025-01-20",
        "failed",
    )
    assert found.parameters == {"n": 5, "day": "2025-01-20"}
    assert {path: row.status.value for path, row in rows.items()} == {"a": "success", "b": "failed"}


def test_hooks_that_with_options_replaced_are_put_back(only_run):
    seen = []

    @track
    @flow
    def nightly():
        check("a")

    nightly.with_options(on_completion=[lambda flow, flow_run, state: seen.append(state.name)])()
    found, _ = only_run()
    assert (seen, found.status.value, found.total_files) == (["Completed"], "success", 1)


def test_with_options_keeps_the_tracking_and_its_lists_apart(only_run):
    @track
    @flow
    def nightly():
        check.with_options(name="other")("a")

    renamed = nightly.with_options(name="renamed")
    before = [list(getattr(nightly, f"{n}_hooks")) for n in ("on_running", "on_completion", "on_failure")]
    renamed()
    assert [list(getattr(nightly, f"{n}_hooks")) for n in ("on_running", "on_completion", "on_failure")] == before
    found, rows = only_run()
    assert (found.flow_name, rows["a"].task_name) == ("renamed", "other")


@both
def test_final_state_of_a_partial_success(only_run, is_async):
    def nightly(paths):
        for path in paths:
            check(path, bad=path == "bad", return_state=True)
        return current_tracker().final_state(data=len(paths))

    state = run(track(make(nightly, is_async)), ["a", "b", "bad"])
    assert (state.type.value, state.name, state.message) == ("COMPLETED", "PartialSuccess", "1 of 3 files failed")
    assert is_async or state.result() == 3
    found, _ = only_run()
    assert (found.status.value, found.state) == ("partial_success", "PartialSuccess")


@pytest.mark.parametrize(
    ("paths", "fail_over", "kind", "name", "message"),
    [
        (["a", "b"], None, "COMPLETED", "Completed", None),
        (["a", "bad"], 0.5, "COMPLETED", "PartialSuccess", "1 of 2 files failed"),
        (["a", "bad"], 0.4, "FAILED", "Failed", "1 of 2 files failed, more than 40%"),
        (["bad"], None, "FAILED", "Failed", "1 of 1 file failed"),
    ],
)
def test_final_state(history, paths, fail_over, kind, name, message):
    @track
    @flow
    def nightly():
        for path in paths:
            check(path, bad=path == "bad", return_state=True)
        return current_tracker().final_state(data="x", fail_over=fail_over)

    state = nightly(return_state=True)
    assert (state.type.value, state.name, state.message) == (kind, name, message)


@pytest.mark.parametrize(
    ("options", "kind", "name"),
    [
        ({}, "COMPLETED", "Completed"),
        ({"partial": "completed"}, "COMPLETED", "PartialSuccess"),
        ({"partial": "failed"}, "FAILED", "PartialSuccess"),
        ({"partial": "completed", "fail_over": 0.1}, "FAILED", "Failed"),
    ],
)
@both
def test_partial(only_run, options, kind, name, is_async):
    def nightly():
        check("a")
        check.submit("bad", bad=True).wait()
        return [1, 2]

    state = run(track(**options)(make(nightly, is_async)))
    assert (state.type.value, state.name) == (kind, name)
    if kind == "COMPLETED" and not is_async:
        assert state.result() == [1, 2]
    found, _ = only_run()
    assert found.status.value == ("failed" if kind == "FAILED" else "partial_success")


def test_partial_leaves_a_flow_alone_of_which_nothing_failed(history):
    result = object()

    @track(partial="failed")
    @flow
    def nightly():
        check("a")
        return result

    assert nightly() is result


def test_partial_waits_for_the_futures_that_the_flow_returns(history):
    @track(file="path")
    @task
    def slow(path):
        time.sleep(0.5)
        raise ValueError(path)

    @track(partial="completed")
    @flow
    def nightly():
        check("a")
        return slow.submit("late")

    state = nightly(return_state=True)
    assert (state.name, state.message) == ("PartialSuccess", "1 of 2 files failed")


def test_tasks_that_nobody_waits_for_are_in_the_documents_too(only_run):
    @track(file="path")
    @task
    def slow(path):
        time.sleep(1.0)

    @track
    @flow
    def nightly():
        slow.submit("late")
        check("a")

    nightly()
    wait_for_threads()
    found, rows = only_run()
    assert set(rows) == {"a", "late"}
    assert (found.total_files, found.status.value) == (2, "success")


def test_a_flow_decides_itself_how_its_tracker_ends(history):
    @track
    @flow
    def nightly():
        tracker = current_tracker()
        with pytest.raises(UsageError, match="ends with the flow"):
            tracker.complete()
        with pytest.raises(UsageError, match="starts with the flow"):
            tracker.start()

    nightly()


def test_a_flow_that_is_not_tracked_gets_a_clear_answer(history):
    @flow
    def nightly():
        current_tracker()

    with pytest.raises(UsageError, match="put @track above @flow"):
        nightly()


@both
def test_a_generator_flow(only_run, is_async):
    def numbers():
        check("a")
        yield 1
        check("b")
        yield 2

    async def anumbers():
        check("a")
        yield 1
        check("b")
        yield 2

    async def read():
        return [n async for n in tracked()]

    tracked = track(flow(anumbers if is_async else numbers))
    assert (asyncio.run(read()) if is_async else list(tracked())) == [1, 2]
    found, rows = only_run()
    assert (found.status.value, set(rows)) == ("success", {"a", "b"})


def test_methods(only_run):
    class Load:
        prefix = "m-"

        @track(file=lambda self, path: self.prefix + path)
        @task
        def one(self, path):
            return path

        @track
        @flow
        def nightly(self, path: str):
            return self.one(path)

    assert Load().nightly("a") == "a"
    found, rows = only_run()
    assert (set(rows), found.parameters) == ({"m-a"}, {"path": "a"})
