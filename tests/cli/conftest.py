"""The command line in this process (`trackrecord`) and in one of its own (`program`), and a history to read."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from prefect_trackrecord.tracking import RunTracker, TrackingStorage


@pytest.fixture
def history(tmp_path):
    return TrackingStorage(base_path=tmp_path / "history")


@pytest.fixture
def trackrecord(history, capsys, tmp_path, monkeypatch):
    """Runs a command on `history` and returns its exit code and what it printed."""
    from prefect_trackrecord.cli.app import run

    monkeypatch.chdir(tmp_path)

    def call(*arguments, storage=True):
        capsys.readouterr()
        place = ["--storage", history.url] if storage else []
        code = run([*map(str, arguments), *place])
        printed = capsys.readouterr()
        return SimpleNamespace(code=code, out=printed.out, err=printed.err)

    return call


@pytest.fixture
def program(tmp_path):
    """Runs a command in a process of its own."""

    def call(*arguments, python=(), **env):
        return subprocess.run(
            [sys.executable, *python, "-m", "prefect_trackrecord", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            timeout=120,
            env={**os.environ, "PREFECT_HOME": str(tmp_path / "prefect_home"), **env},
        )

    return call


@pytest.fixture
def tracked(history):
    """Tracks a run with these files (path to status) and returns its id."""

    def make(command="extract", files=(("a.wav", "success"),), **options):
        with RunTracker(command, storage=history, **options) as tracker:
            for path, status in files:
                error = {"error_type": "ValueError", "error_message": "too short"} if status == "failed" else {}
                tracker.track_file(path, status, **error)
        return tracker.run_id

    return make


@pytest.fixture
def terminal(tmp_path):
    """Runs a command on a terminal of 120 columns and returns its exit code and all that it wrote there."""

    def call(*arguments, code=None, until=None, **env):
        master, slave = pty.openpty()
        start = [sys.executable, "-c", code] if code else [sys.executable, "-m", "prefect_trackrecord"]
        home = {"PREFECT_HOME": str(tmp_path / "prefect_home"), "COLUMNS": "120", "TERM": "xterm-256color"}
        own = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
        process = subprocess.Popen(
            [*start, *map(str, arguments)], stdin=slave, stdout=slave, stderr=slave, env={**own, **home, **env}
        )
        os.close(slave)
        text, ends = b"", time.monotonic() + 60
        while time.monotonic() < ends:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    text += os.read(master, 65536)
                except OSError:  # the other side is closed
                    break
            if until is not None and until in text:
                process.send_signal(signal.SIGINT)
                until = None
        os.close(master)
        return process.wait(30), text.decode()

    return call
