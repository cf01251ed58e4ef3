"""The command line in this process (`trackrecord`) and in one of its own (`program`), and a history to read."""

from __future__ import annotations

import os
import subprocess
import sys
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
