"""Outputs that are closed, full, or read by nobody any more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")


@pytest.fixture
def shell(tmp_path, history, tracked):
    """Runs a command of this package as a shell does, with what stands behind it."""
    tracked()

    def call(line):
        return subprocess.run(
            f'"{sys.executable}" -m prefect_trackrecord {line}',
            shell=True,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=tmp_path,
            env={**os.environ, "PREFECT_HOME": str(tmp_path / "home"), "TRACKING_PATH": history.url},
        )

    return call


@pytest.mark.parametrize("words", [["--help"], ["runs", "list", "--help"], ["--version"], ["runs", "list"]])
def test_a_reader_that_has_gone_away(history, tracked, words):
    tracked()
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(
        [sys.executable, "-m", "prefect_trackrecord", *words],
        stdout=writes,
        stderr=subprocess.PIPE,
        check=False,
        env={**os.environ, "TRACKING_PATH": history.url},
    )
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, b"")


def test_outputs_that_are_closed(shell):
    done = shell("runs list 2>&-")
    assert (done.returncode, len(done.stdout.splitlines()), done.stderr) == (0, 2, "")
    for line in ("runs list >&-", "runs list >&- 2>&-", "runs list --json <&- >&- 2>&-", "--version >&-", "--help >&-"):
        done = shell(line)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), line
    assert shell("files failed --null >&-").returncode == 0
    assert shell("runs show nope 2>&-").returncode == 1


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_outputs_that_are_full(shell):
    for line in ("--version", "--help", "runs list", "files failed --json"):
        done = shell(f"{line} >/dev/full")
        assert (done.returncode, "Traceback" in done.stderr, "No space left" in done.stderr) == (1, False, True), line
    assert shell("files failed 2>/dev/full").returncode == 0
    assert shell("runs show nope 2>/dev/full").returncode == 1
