"""`trackrecord init`: a starter that works, and never takes the place of what is there."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from prefect_trackrecord.cli.app import run as main
from prefect_trackrecord.delivery import load_config
from prefect_trackrecord.tracking import RunTracker, TrackingStorage

FILES = {"prefect.yaml", "prefect.toml", "delivery_report.yaml", "flows/nightly.py", "flows/upkeep.py", "serve.py"}


def names(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


def test_it_writes_a_starter_and_the_next_three_commands(tmp_path, capsys):
    assert main(["init", str(tmp_path), "--timezone", "Europe/Berlin"]) == 0
    assert names(tmp_path) == FILES
    commands = capsys.readouterr().out.splitlines()
    assert [c.split()[1] for c in commands] == ["work-pool", "--no-prompt", "worker"]
    told = yaml.safe_load((tmp_path / "prefect.yaml").read_text())
    assert [d["name"] for d in told["deployments"]] == ["nightly", "daily", "hourly", "for-automations"]
    for one in told["deployments"]:
        assert one["enforce_parameter_schema"] is True
        assert one["work_pool"]["job_variables"]["env"]["TRACKING_PATH"] == str(tmp_path / "history")
        when = {s["timezone"] for s in one.get("schedules", ())}
        assert when == (set() if one["name"] == "for-automations" else {"Europe/Berlin"})  # an event starts that one
        assert (tmp_path / one["entrypoint"].split(":")[0]).is_file()
    assert load_config(tmp_path / "delivery_report.yaml").timezone == "Europe/Berlin"


def test_a_folder_that_is_not_there_yet(tmp_path, capsys):
    assert main(["init", str(tmp_path / "project")]) == 0
    assert names(tmp_path / "project") == FILES
    assert f"Next, in {tmp_path / 'project'}," in capsys.readouterr().err


def test_it_overwrites_nothing(tmp_path, capsys):
    (tmp_path / "prefect.yaml").write_text("name: mine\n")
    (tmp_path / "serve.py").write_text("mine\n")
    assert main(["init", str(tmp_path)]) == 0
    assert (tmp_path / "prefect.yaml").read_text() == "name: mine\n"
    assert (tmp_path / "serve.py").read_text() == "mine\n"
    assert names(tmp_path) == {*FILES, "prefect.trackrecord.yaml"}
    assert "--prefect-file prefect.trackrecord.yaml" in capsys.readouterr().out
    (tmp_path / "prefect.toml").write_text("[api]\n")
    assert main(["init", str(tmp_path)]) == 0
    assert f"export TRACKING_PATH={tmp_path / 'history'}" in capsys.readouterr().err
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    assert main(["init", str(tmp_path)]) == 0
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


@pytest.mark.parametrize("arguments", [["no/where"], [".", "--timezone", "Mars/Base"]])
def test_what_makes_no_sense_is_refused(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert main(["init", *arguments]) != 0
    assert names(tmp_path) == set()


def test_commands_in_its_folder_find_the_history(tmp_path, monkeypatch, capsys):
    main(["init", str(tmp_path)])
    with RunTracker("nightly", storage=TrackingStorage(base_path=tmp_path / "history")):
        pass
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["runs", "list"]) == 0
    assert "nightly" in capsys.readouterr().out


@pytest.mark.prefect
def test_its_flows_can_be_loaded(tmp_path):
    main(["init", str(tmp_path)])
    code = (
        "from prefect.flows import load_flow_from_entrypoint as load; import serve, uuid, yaml\n"
        "for d in yaml.safe_load(open('prefect.yaml'))['deployments']:\n"
        "    given = {'flow_run_id': str(uuid.uuid4())} if d['name'] == 'for-automations' else {}\n"
        "    load(d['entrypoint']).validate_parameters({**(d.get('parameters') or {}), **given})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
