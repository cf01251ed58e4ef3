"""A few kills of the matrix, and its control; `make chaos` and `make chaos-full` play the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.settings import get_current_settings

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(600)]
SCRIPT = Path(__file__).parents[1] / "chaos" / "kills.py"
MUST_BE_ZERO = ("lost", "running", "damaged", "disagree", "errors in recovery", "rounds that failed")


def play(tmp_path, *flags, seed=1):
    tmp_path.mkdir(exist_ok=True)
    out, log = tmp_path / "figures.json", tmp_path / "kills.log"
    command = [sys.executable, str(SCRIPT), "--seed", str(seed), "--stores", "local", "--add", str(out), *flags]
    with log.open("wb") as told:  # no pipe: whoever outlives a kill would keep it open
        done = subprocess.run(command, stdout=told, stderr=told, timeout=400)
    assert out.exists(), log.read_text(errors="replace")[-5_000:]
    (found,) = json.loads(out.read_text()).values()
    return found, done.returncode


def test_nothing_is_lost(tmp_path):
    api = get_current_settings().api.url
    found, code = play(tmp_path, "--kills", "10", "--victims", "flow,sealer", "--api", api)
    assert {name: found[name] for name in MUST_BE_ZERO} == dict.fromkeys(MUST_BE_ZERO, 0)
    assert code == 0
    assert found["acknowledged"] > 0
    assert found["kills"] >= 5
    assert {"flow local", "sealer local"} <= {where for where, counts in found["by"].items() if counts.get("kills")}


def test_the_control_loses(tmp_path):
    """About every second time, as the moments are drawn at random."""
    for seed in range(1, 11):
        found, code = play(tmp_path / str(seed), "--kills", "3", "--victims", "sealer", "--sabotage", seed=seed)
        assert code == int(not any(found[name] for name in MUST_BE_ZERO))
        if found["lost"]:
            return
    pytest.fail("ten times nothing was lost")
