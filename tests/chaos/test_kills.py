"""Ten kills of the matrix, and its control; `make chaos` and `make chaos-full` play the rest.

`TRACKRECORD_CHAOS=60` for more, with every victim and store.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.server,
    pytest.mark.timeout(3600 if os.environ.get("TRACKRECORD_CHAOS") else 300),
]
SCRIPT = Path(__file__).with_name("kills.py")
MORE = os.environ.get("TRACKRECORD_CHAOS")
MUST_BE_ZERO = ("lost", "running", "damaged", "disagree", "errors in recovery", "rounds that failed")


def play(tmp_path, *flags):
    out = tmp_path / "figures.json"
    command = [sys.executable, str(SCRIPT), "--seed", "1", "--out", str(out), *flags]
    log = tmp_path / "kills.log"
    with log.open("wb") as told:  # no pipe: whoever outlives a kill would keep it open
        done = subprocess.run(
            command, stdout=told, stderr=told, env={**os.environ, "PREFECT_HOME": str(tmp_path)}, timeout=3000
        )
    text = log.read_text(errors="replace")[-5_000:]
    assert out.exists(), text
    print(text)
    return json.loads(out.read_text()), done.returncode


def test_nothing_is_lost(tmp_path):
    few = ("--kills", "10", "--victims", "flow,sealer", "--stores", "local")
    found, code = play(tmp_path, *(("--kills", MORE) if MORE else few))
    assert {name: found[name] for name in MUST_BE_ZERO} == dict.fromkeys(MUST_BE_ZERO, 0)
    assert code == 0
    assert found["acknowledged"] > 0
    assert found["kills"] >= 5


@pytest.mark.skipif(not MORE, reason="the control of a longer run: set TRACKRECORD_CHAOS")
def test_the_control_loses(tmp_path):
    found, code = play(tmp_path, "--kills", "10", "--victims", "sealer,flow", "--stores", "local", "--sabotage")
    assert code == 0
    assert found["lost"] > 0
