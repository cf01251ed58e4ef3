"""import-runs: what Prefect knows of the past, brought into the history; twice is once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.futures import wait
from prefect.states import Completed, Scheduled

from prefect_trackrecord._prefect import api, importing
from prefect_trackrecord._prefect.asking import Asker
from prefect_trackrecord._prefect.reconciling import reconciler
from prefect_trackrecord.documents import layout
from prefect_trackrecord.tracking import RunTracker, recover

pytestmark = pytest.mark.prefect


@task
def read(path):
    if path == "bad":
        raise ValueError("can't read it")
    return path


@flow(name="old-days")
def old_days(paths):
    futures = read.map(paths)
    futures.wait()
    if "bad" in paths:
        raise KeyError("gone")


def test_runs_of_the_past(history, monkeypatch):
    start = datetime.now(timezone.utc)
    monkeypatch.setattr(importing, "PAGE", 2)
    for n in range(5):
        old_days([f"{n}-a", f"{n}-b"])
    with pytest.raises(KeyError):
        old_days(["good", "bad"])
    end = datetime.now(timezone.utc) + timedelta(seconds=1)
    seen = []
    done = importing.import_runs(history.archive, start, end, progress=lambda n, total: seen.append((n, total)))
    assert (done.found, done.added, done.known, done.unfinished) == (6, 6, 0, 0)
    assert seen[-1] == (6, 6)
    runs = history.list_runs(command="old-days")
    assert [run.status.value for run in runs] == ["success"] * 5 + ["failed"]
    assert len({run.run_id for run in runs}) == 6
    bad = runs[-1]
    assert (bad.error_type, bad.error_message, bad.state) == ("KeyError", "'gone'", "Failed")
    assert bad.reason == importing.SOURCE
    assert bad.parameters == {"paths": ["good", "bad"]}
    assert start <= bad.started_at <= bad.completed_at <= end
    again = importing.import_runs(history.archive, start, end)
    assert (again.found, again.added, again.known) == (6, 0, 6)
    assert len(history.list_runs()) == 6


@flow(name="inner-days")
def inner_days():
    read("inside")


@flow(name="outer-days")
def outer_days():
    read("outside")
    inner_days()


def test_a_run_inside_of_another(history):
    start = datetime.now(timezone.utc)
    outer_id = str(outer_days(return_state=True).state_details.flow_run_id)
    deadline = time.monotonic() + 60
    with api.client() as prefect:
        while len(api.read_task_runs(prefect, outer_id, deadline)) < 2:
            time.sleep(0.1)
    importing.import_runs(history.archive, start, datetime.now(timezone.utc) + timedelta(seconds=1))
    (outer,) = history.list_runs(command="outer-days")
    (inner,) = history.list_runs(command="inner-days")
    assert (inner.parent_run_id, outer.parent_run_id) == (outer_id, None)
    assert [row.file_type for row in history.archive.files(outer)] == ["task"]
    assert (outer.total_files, inner.total_files) == (1, 1)
    assert inner.task_counts == {"Completed": 1}


def test_pages_that_end_with_runs_which_have_not_begun(history, monkeypatch):
    """The server sorts those by when they are to begin."""
    monkeypatch.setattr(importing, "PAGE", 2)
    start = datetime.now(timezone.utc)
    old_days(["a"])
    with get_client(sync_client=True) as client:
        for _ in range(3):
            client.create_flow_run(old_days, state=Scheduled(scheduled_time=datetime.now(timezone.utc)))
    for name in ("b", "c"):
        old_days([name])
    done = importing.import_runs(history.archive, start, datetime.now(timezone.utc) + timedelta(seconds=1))
    assert (done.found, done.added, done.unfinished) == (3, 3, 3)


def test_more_runs_of_one_moment_than_the_api_gives_at_once(history):
    """Schedules make them; the API refuses to give more than 200 at a time."""
    start = datetime.now(timezone.utc)
    old_days(["a"])
    moment = datetime.now(timezone.utc)
    with get_client(sync_client=True) as client:
        for _ in range(205):
            client.create_flow_run(old_days, state=Scheduled(scheduled_time=moment))
    old_days(["b"])
    done = importing.import_runs(history.archive, start, datetime.now(timezone.utc) + timedelta(seconds=1))
    assert (done.found, done.added, done.unfinished) == (2, 2, 205)


@flow(name="recover-runs")
def upkeep():
    """Runs 96 times a day where the starter's deployments are."""


def test_our_own_flows_are_no_work_of_anybodys(history):
    start = datetime.now(timezone.utc)
    upkeep()
    old_days(["a"])
    done = importing.import_runs(history.archive, start, datetime.now(timezone.utc) + timedelta(seconds=1))
    assert (done.found, done.added, done.own) == (1, 1, 1)
    assert [run.command for run in history.list_runs()] == ["old-days"]


def test_a_run_whose_deployment_and_parent_are_gone(history, prefect_api):
    start = datetime.now(timezone.utc)
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(old_days)
        deployment = client.create_deployment(flow_id, "short-lived", job_variables={})
        for _ in range(2):
            run = client.create_flow_run_from_deployment(deployment, parameters={"paths": ["a"]})
            client.set_flow_run_state(run.id, Completed(), force=True)
        client.delete_deployment(deployment)
    end = datetime.now(timezone.utc) + timedelta(seconds=1)
    done = importing.import_runs(history.archive, start, end)
    assert (done.found, done.added) == (2, 2)
    assert {found.deployment_name for found in history.list_runs()} == {None}


def test_a_run_whose_events_are_in_the_store_is_left_to_recover(history):
    start = datetime.now(timezone.utc)
    run_id = str(old_days(["a"], return_state=True).state_details.flow_run_id)
    history.archive.store.put(f"journal/{run_id}/elsewhere-1-0.ndjson", b"{}\n")
    done = importing.import_runs(history.archive, start, datetime.now(timezone.utc) + timedelta(seconds=1))
    assert (done.found, done.added, done.known) == (1, 0, 1)


@task
def upstream():
    raise ValueError("no such thing")


@flow(name="untracked")
def dependent():
    bad = upstream.submit()
    after = read.submit("later", wait_for=[bad])
    wait([bad, after])
    raise KeyError("gone")


def test_tasks_that_never_began(history):
    start = datetime.now(timezone.utc)
    run_id = dependent(return_state=True).state_details.flow_run_id
    deadline = time.monotonic() + 60
    with api.client() as prefect:  # the API hears of task runs a little later
        while not {"NotReady", "Failed"} <= {
            r["state_name"] for r in api.read_task_runs(prefect, str(run_id), deadline)
        }:
            time.sleep(0.1)
    importing.import_runs(history.archive, start, datetime.now(timezone.utc) + timedelta(seconds=1))
    (run,) = history.list_runs(command="untracked")
    found = {row.task_run_name.rpartition("-")[0]: row for row in history.archive.files(run)}
    assert found["upstream"].status.value == "failed"
    assert found["read"].status.value == "skipped"
    assert found["read"].reason.startswith("upstream failed: ")


def test_a_run_that_is_known_is_left_alone(history):
    with RunTracker("mine", storage=history) as tracker:
        tracker.track_file("a")
    done = importing.import_runs(
        history.archive, datetime(2020, 1, 1, tzinfo=timezone.utc), datetime(2020, 1, 2, tzinfo=timezone.utc)
    )
    assert (done.found, done.added) == (0, 0)
    assert history.archive.run(tracker.run_id).command == "mine"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Flow run encountered an exception: ValueError: no good", ("ValueError", "no good")),
        ("Task run encountered an exception ValueError: no: good", ("ValueError", "no: good")),
        ("Flow run encountered an exception. KeyError('gone')", ("KeyError", "gone")),
        ("2 of 3 files failed", (None, "2 of 3 files failed")),
        ("https://joe:secret@host is down", (None, "https://joe:********@host is down")),
        (None, (None, None)),
    ],
)
def test_errors_in_messages(message, expected):
    assert importing._error(message) == expected


def test_recover_leaves_imported_runs_as_they_are(history):
    """Also where the mark that they are done is gone, or fits no more, as in a copy of the history."""
    start = datetime.now(timezone.utc)
    run_id = str(old_days(["a", "b"], return_state=True).state_details.flow_run_id)
    deadline = time.monotonic() + 60
    with api.client() as prefect:
        while len([r for r in api.read_task_runs(prefect, run_id, deadline) if api.is_final(r)]) < 2:
            time.sleep(0.1)
    importing.import_runs(history.archive, start, datetime.now(timezone.utc) + timedelta(seconds=1))
    store = history.archive.store
    before = {e.key: store.get(e.key).data for e in store.list("") if "/done-" not in e.key}
    for entry in store.list(layout.JOURNAL):
        if "/done-" in entry.key:
            store.delete(entry.key)
    asker = Asker()
    assert recover(history, ask=asker, reconcile=reconciler(asker)) == []
    assert {e.key: store.get(e.key).data for e in store.list("") if "/done-" not in e.key} == before
    (run,) = history.list_runs()
    assert (run.command, run.total_files) == ("old-days", 2)


def test_two_imports_at_once_bring_each_run_once(history):
    start = datetime.now(timezone.utc)
    for n in range(5):
        old_days([str(n)])
    end = datetime.now(timezone.utc) + timedelta(seconds=1)
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda _: importing.import_runs(history.archive, start, end), range(3)))
    assert sum(one.added for one in done) == 5
    assert {one.added + one.known for one in done} == {5}
    assert [run.generation for run in history.list_runs()] == [1] * 5
