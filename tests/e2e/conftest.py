"""A real Prefect server and process worker of these tests' own, each in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

long = pytest.mark.skipif(not os.environ.get("E2E_ALL"), reason="takes minutes: make e2e")
PREFECT = [sys.executable, "-m", "prefect"]


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
            command, env={**self.env, **env}, cwd=cwd or self.folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def request(self, path, body=None):
        import json

        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def healthy(self):
        try:
            return self.request("/health") is True
        except OSError:
            return False

    def state_of(self, run_id):
        return self.request(f"/flow_runs/{run_id}")["state_type"]

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
    """A server that is up, with the flows of `flows_here.py` deployed to a process worker."""
    where = Place(tmp_path_factory.mktemp("e2e"))
    source = Path(__file__).with_name("flows_here.py")
    (where.folder / source.name).write_text(source.read_text())
    try:
        where.start_server()
        where.start("worker", *PREFECT, "worker", "start", "--pool", "here", "--type", "process")
        until(lambda: where.request("/work_pools/filter", {}), 120, "work pool")
        where.run(*PREFECT, "--no-prompt", "deploy", "flows_here.py:nightly", "--name", "here", "--pool", "here")
        yield where
    finally:
        where.stop()


@pytest.fixture
def storage(place):
    """The history that the worker's flows write."""
    from prefect_trackrecord.tracking import TrackingStorage

    return TrackingStorage(base_path=place.folder / "history")
