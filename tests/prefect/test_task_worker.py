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
from prefect_trackrecord._prefect import api
from prefect_trackrecord._prefect.asking import Asker
from prefect_trackrecord._prefect.reconciling import reconciler
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
    late = rows.get("late")  # it may not even have begun
    assert late is None or (late.status.value, late.error_type) == ("skipped", None), "its process lives"
    records = {r.record_id: r for r in load_records(f"{history.url}/records", "delaying", run.run_id)}
    assert {name: str(r.status) for name, r in records.items()} == {
        "a": str(Status.COMPLETED), "b": str(Status.COMPLETED), "bad": str(Status.FAILED),
    }  # fmt: skip
    assert [t.action for t in records["bad"].traces].count("settled") == 2

    # what came after the flow's end is in the journal at once, and in the documents with the next recovery
    go_on.touch()
    until(lambda: outcome_of(history, run.run_id, "late"))
    until_over(run.run_id)
    asker = Asker()
    (done,) = recover(history, ask=asker, reconcile=reconciler(asker))
    assert (done.run_id, done.run.generation, done.run.state) == (run.run_id, 2, "Completed")
    assert done.run.task_counts == {"Completed": 3, "Failed": 1}
    assert [task.name.partition("-")[0] for task in done.run.failed_tasks] == ["settle"]
    assert recover(history, ask=asker, reconcile=reconciler(asker)) == []
    late = next(row for row in history.archive.files(done.run) if row.file_path == "late")
    assert (late.status.value, late.output_path, late.reason) == ("success", str(worker.pid), None)

    # a worker that dies leaves its file failed
    served_tasks.dying(worker.pid)
    assert worker.wait(60) == 9
    (run,) = history.list_runs(command="dying")
    row = next(row for row in history.archive.files(run) if row.file_path == "dies")
    assert (row.status.value, row.error_type) == ("failed", "Crashed")


def outcome_of(history, run_id, path):
    fold = RunJournal.read(history.archive.store, run_id).fold().fold
    return any(row["file_path"] == path and row["status"] == "success" for row in fold.documents(None).files)


def until_over(run_id):
    """Until the API has heard of the end of all its task runs."""

    def over():
        with api.client() as prefect:
            rows = api.read_task_runs(prefect, run_id, time.monotonic() + 30)
        return len(rows) == 4 and all(map(api.is_final, rows))

    until(over)


def until(what):
    end = time.monotonic() + 120
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
