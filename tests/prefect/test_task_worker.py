"""Tasks that `task.serve` runs in a process of its own: hooks, rows, records and current_tracker() there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prefect.settings import get_current_settings

from prefect_trackrecord import Status, load_records, recover
from prefect_trackrecord.documents.run_journal import RunJournal

from . import served_tasks

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(400)]


@pytest.fixture
def worker(history):
    settings = get_current_settings()
    env = {**os.environ, "PREFECT_API_URL": settings.api.url, "PREFECT_HOME": str(settings.home)}
    env["PYTHONPATH"] = str(Path(__file__).parents[2])  # arguments are pickled by the name of this package
    process = subprocess.Popen([sys.executable, served_tasks.__file__], env=env, start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_task_worker(worker, history, tmp_path):
    go_on = tmp_path / "go on"
    served_tasks.delaying(["a", "b", "bad"], "late", str(go_on))
    (run,) = history.list_runs()
    rows = {row.file_path: row for row in history.archive.files(run)}
    for path in ("a", "b"):
        row = rows[path]
        assert (row.status.value, row.output_path, len(row.attempts)) == ("success", str(worker.pid), 1)
        assert rows[f"{path}/part"].run_id == run.run_id
    assert (rows["bad"].status.value, rows["bad"].error_message, len(rows["bad"].attempts)) == ("failed", "no good", 2)
    assert run.tracking_errors == {}
    records = {r.record_id: r for r in load_records(f"{history.url}/records", "delaying", run.run_id)}
    assert {name: str(r.status) for name, r in records.items()} == {
        "a": str(Status.COMPLETED), "b": str(Status.COMPLETED), "bad": str(Status.FAILED),
    }  # fmt: skip
    assert [t.action for t in records["bad"].traces].count("settled") == 2

    # what came after the flow's end is in the journal at once, and in the documents with the next recovery
    go_on.touch()
    until(lambda: outcome_of(history, run.run_id, "late"))
    (done,) = recover(history)
    assert (done.run_id, done.run.generation, done.run.state) == (run.run_id, 2, "Completed")
    late = next(row for row in history.archive.files(done.run) if row.file_path == "late")
    assert (late.status.value, late.output_path, late.reason) == ("success", str(worker.pid), None)

    # a worker that dies leaves its file failed
    served_tasks.dying()
    assert worker.wait(60) == 9
    (run,) = history.list_runs(command="dying")
    row = next(row for row in history.archive.files(run) if row.file_path == "dies")
    assert (row.status.value, row.error_type) == ("failed", "Crashed")


def outcome_of(history, run_id, path):
    fold = RunJournal.read(history.archive.store, run_id).fold().fold
    return any(row["file_path"] == path and row["status"] == "success" for row in fold.documents(None).files)


def until(what):
    end = time.monotonic() + 120
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
