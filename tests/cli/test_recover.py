"""`trackrecord recover`: what a dead process left is closed, and the command tracks itself where it should."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading

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
    assert done.err == f"1 run recovered in {history.url}\n"
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
    assert (done.returncode, done.stderr) == (0, f"1 run recovered in {history.url}\n")
    (run,) = history.list_runs(command="recover")
    assert (run.status, run.metrics) == (RunStatus.SUCCESS, {"recovered": 1.0})


def test_it_does_not_where_it_is_not(program, history, dead):
    assert program("recover", "--storage", history.url).returncode == 0
    assert [r.run_id for r in history.list_runs()] == [dead]


def test_it_does_not_load_prefect_for_runs_that_are_not_prefects(program, history, dead):
    done = program("recover", "--storage", history.url, python=("-X", "importtime"))
    assert done.returncode == 0
    assert not [line for line in done.stderr.splitlines() if line.endswith("| prefect") or "| prefect." in line]


@pytest.fixture
def dead_flow(history, tmp_path):
    """What a tracked flow leaves whose process was killed: events that say it is Prefect's, and no end."""
    run_id = "3f2a81c0-0000-4000-8000-000000000001"
    code = f"""
import sys, os
from datetime import datetime, timezone
from prefect_trackrecord import events as ev
from prefect_trackrecord.tracking import TrackingStorage
now = datetime.now(timezone.utc)
run = {{"command": "nightly", "flow_name": "nightly", "started_at": now}}
writer = TrackingStorage(base_path=sys.argv[1]).archive.writer("{run_id}")
writer.append(ev.RunStarted(at=now, run=run))
os._exit(9)
"""
    subprocess.run([sys.executable, "-c", code, history.url], check=False)
    return run_id


@pytest.fixture
def fake_api():
    """An API that knows one flow run, and gives its address."""
    servers = []

    def start(run_id, kind, name):
        class Api(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if "csrf" in self.path:
                    self.answer({"detail": "CSRF protection is disabled."}, 422)
                else:
                    self.answer("3.8.8")

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                state = {"type": kind, "name": name, "message": None, "timestamp": "2025-01-25T09:00:00Z"}
                self.answer([{"id": run_id, "run_count": 1, "end_time": None, "state": state}])

            def answer(self, value, code=200):
                body = json.dumps(value).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/api"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_without_an_api_nobody_is_asked(program, history, dead_flow):
    done = program("recover", "--storage", history.url, PREFECT_API_URL="")
    assert (done.returncode, done.stderr) == (0, f"1 run recovered in {history.url}\n")
    assert history.archive.run(dead_flow).status is RunStatus.ABORTED


def test_an_api_that_does_not_answer_leaves_it_to_the_process(program, history, dead_flow):
    done = program("recover", "--storage", history.url, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 0
    assert "asking Prefect what became of its runs..." in done.stderr
    assert "Prefect can't be asked what became of runs" in done.stderr
    assert "Traceback" not in done.stderr
    assert history.archive.run(dead_flow).status is RunStatus.ABORTED


def test_what_the_api_says_counts(program, history, dead_flow, fake_api):
    done = program("recover", "--storage", history.url, PREFECT_API_URL=fake_api(dead_flow, "CANCELLED", "Cancelled"))
    assert done.returncode == 0, done.stderr
    run = history.archive.run(dead_flow)
    assert (run.status, run.state) == (RunStatus.ABORTED, "Cancelled")
    assert "Prefect says that the flow run ended Cancelled" in run.reason


def test_a_run_that_waits_is_left_alone(program, history, dead_flow, fake_api):
    done = program("recover", "--storage", history.url, PREFECT_API_URL=fake_api(dead_flow, "PAUSED", "Suspended"))
    assert f"nothing to recover in {history.url}" in done.stderr
    assert history.archive.run(dead_flow).status is RunStatus.RUNNING


def test_no_run_of_its_own_where_there_was_nothing_to_do(program, history, dead):
    for _ in range(2):
        assert program("recover", TRACKING_PATH=history.url).returncode == 0
    assert sorted(run.command for run in history.list_runs()) == ["extract", "recover"]
