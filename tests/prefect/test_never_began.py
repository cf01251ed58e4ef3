"""Runs that ended too soon: the items that they never came to are files, and are tried again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from prefect import flow, tags, task
from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Failed

from prefect_trackrecord import failed_files, recover, track
from prefect_trackrecord._prefect.asking import Asker
from prefect_trackrecord._prefect.reconciling import reconciler
from prefect_trackrecord.cli.app import run as main

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(180)]
PATHS = [f"in/{n:02}.txt" for n in range(45)]


@track(file="path")
@task
def work(path):
    if path == "in/05.txt":
        raise ValueError("no good")


@track(items="paths")
@flow(name="cut-short")
def cut_short(paths: list[str], how: str = "raise", upto: int = 34):
    for future in [work.submit(path) for path in paths[:upto]]:
        future.wait()
    if how == "raise":
        raise RuntimeError("no more")
    return {"cancel": Cancelled, "fail": lambda: Failed(message="as I like")}.get(how, lambda: None)()


def id_of(state):
    return str(state.state_details.flow_run_id)


def summary_of(run_id):
    with get_client(sync_client=True) as client:
        body = {"flow_runs": {"id": {"any_": [run_id]}}, "artifacts": {"key": {"any_": ["trackrecord-cut-short"]}}}
        (found,) = client.request("POST", "/artifacts/filter", json=body).json()
    return found["data"]


@pytest.mark.parametrize("how", ["raise", "cancel"])
def test_items_that_the_flow_did_not_come_to_are_tried_again(history, capsys, how):
    run_id = id_of(cut_short(PATHS, how, return_state=True))
    (run,) = history.list_runs()
    assert (run.total_files, run.success_count, run.failed_count, run.never_began) == (45, 33, 1, 11)
    left = ["in/05.txt", *PATHS[34:]]
    assert [row.file_path for row in failed_files(run_id, history)] == left
    told = summary_of(run_id)
    assert "73.3 %" in told
    assert "**11 files never began**" in told
    assert main(["runs", "show", run_id]) == 0
    assert "in/44.txt\tnever began\tthe run ended before it began\n" in capsys.readouterr().out
    assert main(["files", "failed", "--still", "--json"]) == 0
    assert sorted(row["file_path"] for row in json.loads(capsys.readouterr().out)) == left
    with tags(f"retry-of:{run_id}"):
        cut_short(left, "end", 1, return_state=True)
    assert "Fixed since" not in summary_of(run_id)
    assert "**Tried again**: 0 of its 12 files" in summary_of(run_id)
    with tags(f"retry-of:{run_id}"):
        cut_short(left[1:], "end", return_state=True)
    assert "**Tried again**: 11 of its 12 files" in summary_of(run_id)


@pytest.mark.parametrize("how", ["end", "fail"])
def test_what_a_flow_left_out_that_came_to_its_end_is_none_of_it(history, how):
    cut_short(PATHS, how, return_state=True)
    (run,) = history.list_runs()
    assert (run.total_files, run.never_began) == (34, 0)


KILLED = """
import time
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner
from prefect_trackrecord import track

@track(file="path")
@task
def work(path):
    if path > "3":
        time.sleep(300)

@track(items="paths")
@flow(name="cut-short", task_runner=ThreadPoolTaskRunner(max_workers=4))
def killed(paths: list[str]):
    work.map(paths).wait()

if __name__ == "__main__":
    killed([str(n) for n in range(3, 123)])
"""


def test_a_killed_flow_s_items_are_all_files(history, tmp_path):
    """More than its document tells of its parameters: Prefect is asked."""
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    settings = get_current_settings()
    env = {**os.environ, "PREFECT_API_URL": settings.api.url, "PREFECT_HOME": str(settings.home)}
    process = subprocess.Popen([sys.executable, str(script)], env=env, cwd=tmp_path, start_new_session=True)
    try:
        for _ in range(200):
            if (runs := history.list_runs()) and (runs[0].total_files or _begun(history, runs[0].run_id)):
                break
            assert process.poll() is None
            time.sleep(0.3)
        time.sleep(2)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    asker = Asker()
    (done,) = recover(history, ask=asker, reconcile=reconciler(asker))
    rows = history.archive.files(done.run)
    names = {str(n) for n in range(3, 123)}
    assert {row.file_path for row in rows} == names
    assert len(rows) == 120
    good = {row.file_path for row in rows if row.status.value == "success"}
    assert {row.file_path for row in failed_files(done.run_id, history)} == names - good
    assert done.run.never_began == 120 - len(good) - done.run.failed_count > 100
    assert recover(history, ask=asker, reconcile=reconciler(asker)) == []


def _begun(history, run_id):
    from prefect_trackrecord.documents.run_journal import RunJournal

    fold = RunJournal.read(history.archive.store, run_id).fold().fold
    return fold.task_runs()
