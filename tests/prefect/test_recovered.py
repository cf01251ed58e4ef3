"""Flows that were killed: what Prefect alone knows of their tasks; and an exit that hangs a process pool for good."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone

import pytest
from prefect.settings import get_current_settings

from prefect_trackrecord import events as ev
from prefect_trackrecord import recover
from prefect_trackrecord._prefect import api
from prefect_trackrecord._prefect.asking import Asker
from prefect_trackrecord._prefect.reconciling import reconciler
from prefect_trackrecord.flows import recover_runs
from prefect_trackrecord.journal.liveness import boot_id, host_name

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(180)]
SCRIPT = """
from prefect import flow, task
from prefect.task_runners import ProcessPoolTaskRunner
from prefect_trackrecord import track

@track(file="path")
@task
def one(path):
    if path == "exits":
        raise SystemExit(3)

@track
@flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
def nightly():
    one.submit("fine").wait()
    one.submit("exits").wait()

if __name__ == "__main__":
    nightly()
"""


DEPENDENT = """
import time
from prefect import flow, task
from prefect_trackrecord import track

@track(file="path")
@task
def first(path):
    if path == "bad":
        raise ValueError("no good")

@track(file="path")
@task
def slow(path):
    time.sleep(300)

@track(file="path")
@task
def later(after, path):
    pass

@track
@flow
def killed():
    bad, good, slowly = first.submit("bad"), first.submit("good"), slow.submit("slow")
    down = later.submit(bad, "down")
    for future in (bad, good, down):
        future.wait()
    later.submit(slowly, "waits").wait()

if __name__ == "__main__":
    killed()
"""


def test_tasks_that_had_not_begun_as_their_flow_was_killed(history, tmp_path):
    """`later` has told nothing itself: that it is tracked stands in the journal since it was handed over."""
    script = tmp_path / "script.py"
    script.write_text(DEPENDENT)
    settings = get_current_settings()
    env = {**os.environ, "PREFECT_API_URL": settings.api.url, "PREFECT_HOME": str(settings.home)}
    process = subprocess.Popen([sys.executable, str(script)], env=env, cwd=tmp_path, start_new_session=True)
    states = {}
    try:
        for _ in range(200):
            if runs := history.list_runs():
                with api.client() as prefect:
                    rows = api.read_task_runs(prefect, runs[0].run_id, time.monotonic() + 30)
                states = sorted(row["state_name"] for row in rows)
                if states == ["Completed", "Failed", "NotReady", "Pending", "Running"]:
                    break
            assert process.poll() is None
            time.sleep(0.3)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    asker = Asker()
    (done,) = recover(history, ask=asker, reconcile=reconciler(asker))
    found = {row.file_path: row for row in history.archive.files(done.run)}
    assert {p: row.status.value for p, row in found.items() if row.task_name != "later"} == {
        "bad": "failed", "good": "success", "slow": "failed",
    }, states  # fmt: skip
    why = {row.reason for row in found.values() if row.task_name == "later" and row.status.value == "skipped"}
    assert "the run ended before it began" in why
    assert any(str(reason).startswith("upstream failed") for reason in why)
    assert len(found) == 5
    assert sum(done.run.task_counts.values()) == 5, "nobody had counted them"
    assert done.run.task_counts["Failed"] == done.run.task_counts["Completed"] == 1


def test_the_flow_that_recovers(history):
    """It leaves a run in the history only where there was something to do."""
    begun = datetime(2026, 1, 2, tzinfo=timezone.utc)
    events = (
        ev.WriterOpened(begun, host_name(), boot_id(), 2**22 + 1, 1),
        ev.RunStarted(at=begun, run={"command": "dead"}),
    )
    history.archive.store.put("journal/dead/w.ndjson", b"".join(map(ev.encode, events)))
    assert recover_runs(str(history.url)) == ["dead"]
    assert recover_runs(str(history.url)) == []
    assert {run.command: (run.status.value, run.role) for run in history.list_runs()} == {
        "dead": ("aborted", None), "recover": ("success", "upkeep"),
    }  # fmt: skip


def test_an_exit_in_the_process_pool(history, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    settings = get_current_settings()
    env = {**os.environ, "PREFECT_API_URL": settings.api.url, "PREFECT_HOME": str(settings.home)}
    process = subprocess.Popen([sys.executable, str(script)], env=env, cwd=tmp_path, start_new_session=True)
    try:
        for _ in range(200):
            (rows,) = [_rows(history)]
            if set(rows) == {"fine", "exits"}:
                break
            assert process.poll() is None, "Prefect no longer hangs: put the case back into the matrix"
            time.sleep(0.5)
        assert recover(history, ask=Asker()) == []  # its process is alive
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for _ in range(40):  # the pool's process takes a moment to die
        if done := recover(history, ask=Asker()):
            break
        time.sleep(0.25)
    (found,) = done
    assert (found.run.status.value, found.run.total_files) == ("aborted", 2)
    rows = {row.file_path: row for row in history.archive.files(found.run)}
    assert rows["fine"].status.value == "success"
    row = rows["exits"]
    assert (row.status.value, row.error_type, row.error_message) == ("failed", "SystemExit", "3")
    assert [a.status for a in row.attempts] == ["crashed"]


def _rows(history):
    """The paths that the journal holds so far."""
    from prefect_trackrecord.documents.run_journal import RunJournal

    runs = history.list_runs()
    if not runs:
        return []
    fold = RunJournal.read(history.archive.store, runs[0].run_id).fold().fold
    return [row["file_path"] for row in fold.documents(None).files]
