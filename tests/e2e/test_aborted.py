"""Flows that are cancelled or killed: their runs end `aborted` in the documents, with every finished file in them."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from .browser import CHROMIUM, opened
from .conftest import PREFECT, long, until

pytestmark = [pytest.mark.server, pytest.mark.timeout(600), pytest.mark.xdist_group("e2e")]
FILES = {"file-0", "file-1", "file-2"}


def begin(place, folder):
    """Run the deployment until its files are done and it waits; gives its run id and pid."""
    parameters = json.dumps({"folder": str(folder)})
    place.run(*PREFECT, "deployment", "run", "nightly/here", "--params", parameters)
    until((folder / "ready").exists, 180, "flow that waits")
    body = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}, "sort": "EXPECTED_START_TIME_DESC", "limit": 1}
    (row,) = place.request("/flow_runs/filter", body)
    return row["id"], int((folder / "pid").read_text())


def ended(storage, run_id):
    """The run, once its documents say that it has ended; None before."""
    found = [run for run in storage.list_runs() if run.run_id == run_id]
    return found[0] if found and found[0].status.value != "running" else None


def check(storage, run_id, state):
    run = until(lambda: ended(storage, run_id), 60, "run that has ended")
    assert (run.status.value, run.state, run.flow_name, run.run_count) == ("aborted", state, "nightly", 1)
    assert {row.file_path: row.status.value for row in storage.archive.files(run)} == dict.fromkeys(FILES, "success")
    assert (run.total_files, run.success_count) == (3, 3)
    assert run.started_at < run.completed_at
    assert run.parameters["files"] == 3
    return run


def test_the_run_is_seen_while_it_runs_and_aborted_when_cancelled(place, storage, tmp_path):
    run_id, _ = begin(place, tmp_path)
    (seen,) = [run for run in storage.list_runs() if run.run_id == run_id]
    assert seen.status.value == "running"
    place.run(*PREFECT, "flow-run", "cancel", run_id)
    run = check(storage, run_id, "Cancelled")
    assert run.reason.startswith("the flow run was cancelled")
    until(lambda: place.state_of(run_id) == "CANCELLED", 60, "state CANCELLED")


def test_its_process_is_killed(place, storage, tmp_path):
    run_id, pid = begin(place, tmp_path)
    os.kill(pid, signal.SIGKILL)
    run = check(storage, run_id, "Crashed")
    assert run.reason.startswith("the flow run was stopped")
    assert run.pid == pid
    body = {"flow_runs": {"id": {"any_": [run_id]}}}
    artifacts = until(lambda: place.request("/artifacts/filter", body), 20, "artifact")
    assert "trackrecord-nightly" in {a["key"] for a in artifacts}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_script_that_is_told_to_stop(place, storage, tmp_path, number):
    process = place.start(f"script-{number.name}", sys.executable, "flows_here.py", FOLDER=str(tmp_path))
    until((tmp_path / "ready").exists, 120, "flow that waits")
    (seen,) = [run for run in storage.list_runs() if run.status.value == "running"]
    os.kill(process.pid, number)
    process.wait(60)
    check(storage, seen.run_id, "Crashed")


def test_a_script_that_is_killed_is_closed_by_recover(place, storage, tmp_path):
    process = place.start("script-kill", sys.executable, "flows_here.py", FOLDER=str(tmp_path))
    until((tmp_path / "ready").exists, 120, "flow that waits")
    (seen,) = [run for run in storage.list_runs() if run.status.value == "running"]
    place.run(sys.executable, "-m", "prefect_trackrecord", "recover")
    assert not ended(storage, seen.run_id)  # it is alive
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    assert place.state_of(seen.run_id) == "RUNNING"  # Prefect does not know
    place.run(sys.executable, "-m", "prefect_trackrecord", "recover")
    run = check(storage, seen.run_id, None)
    assert run.reason.startswith("recovered")


def latest(place, run_id, key):
    body = {"artifacts": {"flow_run_id": {"any_": [run_id]}, "key": {"any_": [key]}}, "sort": "CREATED_DESC"}
    found = place.request("/artifacts/filter", body)
    return found[0]["data"] if found else ""


@long
@pytest.mark.skipif(not os.path.exists(CHROMIUM), reason="no Chromium")
def test_cancelled_from_the_ui(place, storage, tmp_path):
    run_id, _ = begin(place, tmp_path)
    with opened(f"http://127.0.0.1:{place.port}") as see:
        see("v1", f"/runs/flow-run/{run_id}", "Running", "Cancel")  # v2 has no button for it
        see.page.get_by_role("button", name="Cancel").first.click()
        see.page.get_by_role("button", name="Confirm").click()
        until(lambda: place.state_of(run_id) in ("CANCELLING", "CANCELLED"), 30, "state CANCELLING")
    check(storage, run_id, "Cancelled")
    until(lambda: "aborted" in latest(place, run_id, "trackrecord-nightly"), 20, "artifact that says so")


@long
def test_the_server_stops_in_mid_run_and_comes_back(place, storage, tmp_path):
    run_id, _ = begin(place, tmp_path)
    place.stop_server()
    (tmp_path / "go").touch()
    until(lambda: [r for r in storage.list_runs() if r.run_id == run_id], 60, "run")
    place.start_server()

    def told():
        run = ended(storage, run_id)
        text = latest(place, run_id, "trackrecord-nightly")
        if run is not None and not text:
            place.run(sys.executable, "-m", "prefect_trackrecord", "recover")
        return run is not None and text and run

    run = until(told, 150, "run and artifact that have ended")
    text = latest(place, run_id, "trackrecord-nightly")
    assert {row.file_path: row.status.value for row in storage.archive.files(run)} == dict.fromkeys(FILES, "success")
    assert run.status.value.replace("_", " ") in text.splitlines()[0]
    server = until(
        lambda: (s := place.state_of(run_id)) in ("COMPLETED", "CRASHED", "FAILED", "RUNNING") and s, 10, "state"
    )
    assert (run.status.value, server) in {("success", "COMPLETED"), ("aborted", "CRASHED"), ("success", "RUNNING")}
