"""Flows that are cancelled or killed: their runs end `aborted` in the documents, with every finished file in them."""

from __future__ import annotations

import os
import signal

import pytest

from .browser import CHROMIUM, UIS, opened
from .conftest import LONG, OURS, Waiting, long, until

pytestmark = [pytest.mark.server, pytest.mark.timeout(600), pytest.mark.xdist_group("e2e")]
FILES = {"file-0", "file-1", "file-2"}


def ended(storage, run_id):
    """The run, once its documents say that it has ended; None before."""
    found = [run for run in storage.list_runs() if run.run_id == run_id]
    return found[0] if found and found[0].status.value != "running" else None


def check(storage, run_id, state):
    run = until(lambda: ended(storage, run_id), LONG, "run that has ended")
    assert (run.status.value, run.state, run.flow_name, run.run_count) == ("aborted", state, "waiting", 1)
    assert {row.file_path: row.status.value for row in storage.archive.files(run)} == dict.fromkeys(FILES, "success")
    assert (run.total_files, run.success_count) == (3, 3)
    assert run.started_at < run.completed_at
    assert run.parameters["files"] == 3
    return run


def artifact_of(place, run_id, key):
    """The newest of a run under a key, with its id and its text; None where there is none."""
    body = {"artifacts": {"flow_run_id": {"any_": [run_id]}, "key": {"any_": [key]}}, "sort": "CREATED_DESC"}
    return next(iter(place.request("/artifacts/filter", body)), None)


def says_aborted(place, run_id, *keys):
    found = [artifact_of(place, run_id, key) for key in keys]
    return all(one is not None and one["data"].startswith("# 🛑 aborted") for one in found)


@pytest.mark.skipif(not os.path.exists(CHROMIUM), reason="no Chromium")
def test_a_run_is_seen_while_it_runs_and_aborted_when_it_is_cancelled_from_the_ui(place, begun, storage):
    run_id, _ = begun.waiting["cancelled"].ready()
    (seen,) = [run for run in storage.list_runs() if run.run_id == run_id]
    assert seen.status.value == "running"
    progress = f"trackrecord-run-{run_id}"
    shown = until(lambda: artifact_of(place, run_id, progress), LONG, "progress")["id"]
    with opened(f"http://127.0.0.1:{place.port}") as see:
        for ui in UIS:
            see(ui, f"/artifacts/artifact/{shown}", "goes on", "succeeded", picture="progress")
        see("v1", f"/runs/flow-run/{run_id}", "Running", "Cancel", picture="cancel")  # v2 has no button for it
        see.page.get_by_role("button", name="Cancel").first.click()
        see.page.get_by_role("button", name="Confirm").click()
        until(lambda: place.state_of(run_id) in ("CANCELLING", "CANCELLED"), LONG, "state CANCELLING")
        run = check(storage, run_id, "Cancelled")
        assert run.reason.startswith("the flow run was cancelled")
        until(lambda: says_aborted(place, run_id, progress, "trackrecord-waiting"), LONG, "artifacts that say so")
        for ui in UIS:
            see(ui, f"/artifacts/artifact/{shown}", "aborted", picture="aborted")
    until(lambda: place.state_of(run_id) == "CANCELLED", LONG, "state CANCELLED")


def test_its_process_is_killed(place, begun, storage):
    run_id, pid = begun.waiting["killed"].ready()
    os.kill(pid, signal.SIGKILL)
    run = check(storage, run_id, "Crashed")
    assert run.reason.startswith("the flow run was stopped")
    assert run.pid == pid
    until(lambda: says_aborted(place, run_id, "trackrecord-waiting"), LONG, "artifact that says so")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_script_that_is_told_to_stop(begun, storage, number):
    script = begun.waiting[number.name]
    run_id, pid = script.ready()
    os.kill(pid, number)
    script.process.wait(LONG)
    check(storage, run_id, "Crashed")


def test_a_script_that_is_killed_is_closed_by_recover(place, begun, storage):
    script = begun.waiting["SIGKILL"]
    run_id, pid = script.ready()
    place.run(*OURS, "recover")
    assert not ended(storage, run_id)  # it is alive
    os.kill(pid, signal.SIGKILL)
    script.process.wait(LONG)
    assert place.state_of(run_id) == "RUNNING"  # Prefect does not know
    place.run(*OURS, "recover")
    run = check(storage, run_id, None)
    assert run.reason.startswith("recovered")


@long
def test_the_server_stops_in_mid_run_and_comes_back(place, project, storage):
    waiting = Waiting(place, "server")
    run_id, _ = waiting.ready()
    place.stop_server()
    (waiting.folder / "go").touch()
    until(lambda: [r for r in storage.list_runs() if r.run_id == run_id], LONG, "run")
    place.start_server()

    def told():
        run = ended(storage, run_id)
        made = artifact_of(place, run_id, "trackrecord-waiting")
        if run is not None and made is None:
            place.run(*OURS, "recover")
        return run is not None and made and run

    run = until(told, LONG, "run and artifact that have ended")
    text = artifact_of(place, run_id, "trackrecord-waiting")["data"]
    assert {row.file_path: row.status.value for row in storage.archive.files(run)} == dict.fromkeys(FILES, "success")
    assert run.status.value.replace("_", " ") in text.splitlines()[0]
    server = until(
        lambda: (s := place.state_of(run_id)) in ("COMPLETED", "CRASHED", "FAILED", "RUNNING") and s, LONG, "state"
    )
    assert (run.status.value, server) in {("success", "COMPLETED"), ("aborted", "CRASHED"), ("success", "RUNNING")}
