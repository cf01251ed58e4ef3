"""`trackrecord recover`: what a dead process left is closed, and the command tracks itself where it should."""

import json
import os
import signal
import subprocess
import sys

import pytest

from prefect_trackrecord.documents.models import RunStatus

CODE = """
import os, sys, time
from prefect_trackrecord.tracking import RunTracker
tracker = RunTracker("extract", storage=sys.argv[1]).start()
tracker.track_file("a.wav")
print(tracker.run_id, flush=True)
time.sleep(600)
"""


@pytest.fixture
def dead(history):
    """A run whose process was killed."""
    process = subprocess.Popen([sys.executable, "-c", CODE, history.url], stdout=subprocess.PIPE, text=True)
    run_id = process.stdout.readline().strip()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return run_id


def test_it_closes_what_is_dead(trackrecord, history, dead):
    assert history.archive.run(dead).status is RunStatus.RUNNING
    done = trackrecord("recover")
    assert done.code == 0
    assert done.err == f"1 runs recovered in {history.url}\n"
    assert f"{dead}\textract\taborted" in done.out
    run = history.archive.run(dead)
    assert (run.status, run.success_count) == (RunStatus.ABORTED, 1)


def test_twice_is_once(trackrecord, history, dead):
    trackrecord("recover")
    done = trackrecord("recover")
    assert (done.code, done.out, done.err) == (0, "", f"nothing to recover in {history.url}\n")


def test_json(trackrecord, dead):
    (found,) = json.loads(trackrecord("recover", "--json").out)
    assert (found["run_id"], found["error"], found["run"]["status"]) == (dead, None, "aborted")


def test_it_tracks_itself_where_tracking_path_is_set(program, history, dead):
    done = program("recover", TRACKING_PATH=history.url)
    assert (done.returncode, done.stderr) == (0, f"1 runs recovered in {history.url}\n")
    (run,) = history.list_runs(command="recover")
    assert (run.status, run.metrics) == (RunStatus.SUCCESS, {"recovered": 1.0})


def test_it_does_not_where_it_is_not(program, history, dead):
    assert program("recover", "--storage", history.url).returncode == 0
    assert [r.run_id for r in history.list_runs()] == [dead]


def test_it_does_not_load_prefect_for_runs_that_are_not_prefects(program, history, dead):
    done = program("recover", "--storage", history.url, python=("-X", "importtime"))
    assert done.returncode == 0
    assert not [line for line in done.stderr.splitlines() if line.endswith("| prefect") or "| prefect." in line]
