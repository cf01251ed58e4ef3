"""A real Prefect server and process worker, one for all of these tests, and a project that is deployed to it.

Processes take most of the time on two cores: what need not be a command line of its own is asked of the API, and what
only waits is begun together.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

long = pytest.mark.skipif(not os.environ.get("E2E_ALL"), reason="takes minutes: make e2e")
PREFECT = [sys.executable, "-m", "prefect"]
OURS = [sys.executable, "-m", "prefect_trackrecord"]
LONG = 300
BEGUN = ("PENDING", "RUNNING", "COMPLETED")
SCHEDULE = 'cron: "0 2 * * *"\n        timezone: Europe/Berlin'
WAITING = """
  - name: here
    entrypoint: flows_here.py:waiting
    work_pool: *work_pool
"""
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mNk+M9Qz0AEYBxVSF+FABJADveWkH6oAAAAAElFTkSuQmCC"
RECORDS = """
    from prefect_trackrecord.record import RecordStatus, ThoughtfulRecord
    import base64

    class Letter(ThoughtfulRecord):
        status: RecordStatus = RecordStatus("New")

    letter = Letter(id="letter-1")
    letter.log_trace("Scanned", image=base64.b64decode("%s"))
    letter.status = RecordStatus("Read")
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(condition, seconds, what):
    """Wait for something; gives what `condition` gave."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.25)
    raise AssertionError(f"no {what} within {seconds} s")


class Place:
    """A server's environment, and processes in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "TRACKING_"))},
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_CLI_PROMPT": "false",
            "TRACKING_PATH": str(folder / "history"),
            "TRACKRECORD_SPOOL": str(folder / "spool"),
            "PREFECT_INTEGRATIONS_TRACKRECORD_LIVE_SECONDS": "1",
            "NO_COLOR": "1",
        }
        self.processes: list[subprocess.Popen] = []

    def start(self, name, *command, **env):
        log = (self.folder / f"{name}.log").open("a")
        process = subprocess.Popen(
            command, env={**self.env, **env}, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
        )
        self.processes.append(process)
        return process

    def start_server(self):
        """Start it, again too, and wait until it answers."""
        self.server = self.start("server", *PREFECT, "server", "start", "--port", str(self.port))
        until(self.healthy, 240, "healthy server")

    def stop_server(self):
        os.killpg(self.server.pid, signal.SIGTERM)
        self.server.wait(30)

    def run(self, *command, cwd=None, **env):
        done = subprocess.run(
            command, env={**self.env, **env}, cwd=cwd or self.folder, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def request(self, path, body=None):
        """What the API answers; one that is busy says 503, and is asked again."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        end = time.monotonic() + LONG
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as exc:
                if exc.code != 503 or time.monotonic() > end:
                    raise
            time.sleep(1)

    def healthy(self):
        try:
            return self.request("/health") is True
        except OSError:
            return False

    def state_of(self, run_id):
        return self.request(f"/flow_runs/{run_id}")["state_type"]

    def start_run(self, deployment, **parameters):
        """Start a deployment ("flow/name"), as the button in the UI does; its flow run's id."""
        found = self.request(f"/deployments/name/{deployment}")
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return self.request(f"/deployments/{found['id']}/create_flow_run", body)["id"]

    def scheduled_run(self):
        """The first run that the example's schedule has begun; None before."""
        asked = {"flows": {"name": {"any_": ["word-count"]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": 200}
        rows = self.request("/flow_runs/filter", asked)
        return next((r for r in rows if r["auto_scheduled"] and r["state_type"] in BEGUN), None)

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A server that is up, and a process worker at the pool `trackrecord`."""
    where = Place(tmp_path_factory.mktemp("e2e"))
    try:
        where.start_server()
        where.request("/work_pools/", {"name": "trackrecord", "type": "process"})
        where.start("worker", *PREFECT, "worker", "start", "--pool", "trackrecord")
        yield where
    finally:
        where.stop()


@pytest.fixture(scope="session")
def project(place):
    """What `trackrecord init` writes, deployed by `deploy --all`; its example soon by schedule, and with a record.

    The flow of `flows_here.py` is added to it.
    """
    folder = Path(tempfile.mkdtemp(prefix="project-", dir=place.folder))
    (folder / "inbox").mkdir()
    for n in range(4):
        (folder / "inbox" / f"{n}.txt").write_text("so many words")
    (folder / "inbox" / "bad.txt").write_bytes(b"\xff\xfe\xff")
    history = str(place.folder / "history")
    place.run(*OURS, "init", str(folder), "--timezone", "Europe/Berlin", "--history", history)
    written = (folder / "prefect.yaml").read_text()
    assert written.count(SCHEDULE) == 1
    written = written.replace(SCHEDULE, "interval: 20")
    (folder / "prefect.yaml").write_text(written + WAITING)
    source = Path(__file__).with_name("flows_here.py")
    (folder / source.name).write_text(source.read_text())
    flow = (folder / "flows" / "word_count.py").read_text()
    flow = flow.replace("    count.map(", RECORDS % PNG + "\n    count.map(", 1).replace("retries=1", "retries=0")
    (folder / "flows" / "word_count.py").write_text(flow)
    place.run(*PREFECT, "--no-prompt", "deploy", "--all", cwd=folder)
    return folder


class Waiting:
    """A run of the flow that waits: its files are done, and it goes on until it is told to stop, or stopped."""

    def __init__(self, place, name, **how):
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=place.folder))  # new where a setup is tried again
        self.process = None
        if "script" in how:
            self.process = place.start(name, sys.executable, how["script"], FOLDER=str(self.folder))
        else:
            place.start_run("waiting/here", folder=str(self.folder))

    def ready(self):
        """Its run id and its pid, once it waits."""
        until((self.folder / "ready").exists, LONG, f"flow that waits in {self.folder.name}")
        return (self.folder / "run").read_text(), int((self.folder / "pid").read_text())


@dataclass
class Begun:
    """What is begun at once: the flows that wait, by name, and a run by hand of the example, of which a file fails."""

    waiting: dict[str, Waiting]
    partial: str


@pytest.fixture(scope="session")
def begun(place, project):
    """All runs that need no other before them; the schedule is paused once it has begun one."""
    script = str(project / "flows_here.py")
    found = Begun(
        {
            **{name: Waiting(place, name) for name in ("cancelled", "killed")},
            **{name: Waiting(place, name, script=script) for name in ("SIGINT", "SIGTERM", "SIGKILL")},
        },
        place.start_run("word-count/every-night", folder=str(project / "inbox")),
    )
    until(lambda: place.scheduled_run(), LONG, "scheduled run")
    place.request(f"/deployments/{place.scheduled_run()['deployment_id']}/pause_deployment", {})
    return found


@pytest.fixture
def storage(place):
    """The history that the worker's flows write."""
    from prefect_trackrecord.tracking import TrackingStorage

    return TrackingStorage(base_path=place.folder / "history")
