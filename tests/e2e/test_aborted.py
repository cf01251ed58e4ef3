"""Flows that are cancelled or killed: their runs end `aborted` in the documents, with every finished file in them."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from .conftest import PREFECT, until

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
    assert [a["key"] for a in artifacts] == ["trackrecord-nightly"]


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
