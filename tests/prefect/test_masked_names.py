"""Names that hold a secret: of task runs, flow runs, tags. They are masked, and find what they found before."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from prefect import flow, tags, task
from prefect.client.orchestration import get_client

from prefect_trackrecord import track
from prefect_trackrecord._prefect import importing
from prefect_trackrecord._prefect.reconciling import inferred
from prefect_trackrecord._prefect.retrying import RETRY_TAG
from prefect_trackrecord.journal.masking import MASK

pytestmark = pytest.mark.prefect
SECRET = "canary-9f8e7d6c5b"
URL = f"https://h/bad.pdf?token={SECRET}"
SHOWN = f"https://h/bad.pdf?token={MASK}"


@track
@task(task_run_name="get {url}", retries=1)
def get(url):
    raise ValueError("bad")


@track(file="url")
@task(task_run_name="convert {url}")
def convert(url):
    raise ValueError("bad")


@track
@task
def log_in(user, password):
    return user


@track
@flow(flow_run_name=f"sync password={SECRET}")
def sync():
    get(URL, return_state=True)
    convert(URL, return_state=True)
    log_in("u", SECRET)


def leaks(history):
    """The files of a history in which the secret is."""
    folder = history.archive.store.local_root
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]


def artifacts_of(run_id):
    with get_client(sync_client=True) as api:
        return api.request("POST", "/artifacts/filter", json={"flow_runs": {"id": {"any_": [run_id]}}}).json()


def test_names_of_task_runs_flow_runs_and_tags(history):
    with tags(f"password={SECRET}", "plain", f"{RETRY_TAG}first"):
        sync(return_state=True)
    (run,) = history.list_runs()
    assert not leaks(history)
    assert (run.flow_run_name, run.tags) == (
        f"sync password={MASK}",
        [f"password={MASK}", "plain", f"{RETRY_TAG}first"],
    )
    assert run.retry_of == "first"
    rows = {row.task_name: row for row in history.archive.files(run)}
    assert rows["get"].file_path == rows["get"].task_run_name == f"get {SHOWN}"
    assert len(rows["get"].attempts) == 2
    assert (rows["convert"].file_path, rows["convert"].task_run_name) == (SHOWN, f"convert {SHOWN}")
    assert sorted(one.name for one in run.failed_tasks) == [f"convert {SHOWN}", f"get {SHOWN}"]
    artifacts = artifacts_of(run.run_id)
    assert artifacts
    assert SECRET not in str(artifacts)


def test_two_that_differ_in_a_secret_alone_are_two_files_each_with_its_attempts(history):
    tries = []

    @track
    @task(task_run_name="get {url}")
    def one(url):
        if len(tries) < 2 and url.endswith("B"):
            raise ValueError("bad")

    @track
    @flow(retries=1)
    def twice():
        tries.append(1)
        order = ("B", "A") if len(tries) < 2 else ("A", "B")
        states = [one(f"https://h/x?token={SECRET}{letter}", return_state=True) for letter in order]
        if any(state.is_failed() for state in states):
            raise ValueError("again")

    twice()
    (run,) = history.list_runs()
    rows = list(history.archive.files(run))
    assert sorted([a.status for a in row.attempts] for row in rows) == [["failed", "success"], ["success", "success"]]
    assert not leaks(history)


def test_what_is_known_of_a_task_run_from_prefect_alone():
    row = {"id": "1", "task_key": "get-1", "name": f"get-{URL}", "state_type": "CRASHED", "state_name": "Crashed"}
    event = inferred(row, datetime.now(timezone.utc), names=["get"])
    assert SECRET not in str(event)
    assert (event.row["file_path"], event.row["task_run_name"], event.row["task_name"]) == (
        f"get-{SHOWN}",
        f"get-{SHOWN}",
        "get",
    )


def test_an_imported_run(history):
    @task(task_run_name="get {url}")
    def old(url):
        raise ValueError("bad")

    @flow(flow_run_name=f"old password={SECRET}")
    def old_days():
        old(URL, return_state=True)

    start = datetime.now(timezone.utc)
    with tags(f"password={SECRET}"):
        old_days(return_state=True)
    done = importing.import_runs(history.archive, start, datetime.now(timezone.utc) + timedelta(seconds=1))
    assert done.added == 1
    (run,) = history.list_runs()
    assert (run.flow_run_name, run.tags) == (f"old password={MASK}", [f"password={MASK}"])
    assert not leaks(history)


def test_what_a_returned_cancelled_says(history):
    from prefect.states import Cancelled

    @track
    @flow
    def stopped():
        return Cancelled(message=f"password={SECRET}")

    stopped(return_state=True)
    (run,) = history.list_runs()
    assert run.error_message == f"password={MASK}"
    assert not leaks(history)
