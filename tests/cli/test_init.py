"""`trackrecord init`: a starter that works, and never takes the place of what is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from prefect_trackrecord import settings
from prefect_trackrecord.cli.app import run as main
from prefect_trackrecord.cli.place import settings_in
from prefect_trackrecord.delivery import load_config
from prefect_trackrecord.tracking import RunTracker, TrackingStorage

ROOT = Path(__file__).parents[2]
FILES = {"prefect.yaml", "prefect.toml", "delivery_report.yaml", "flows/word_count.py", "serve.py"}
NAMES = ["every-night", "daily", "every-15-minutes", "for-automations"]
REPORT = "title: Text files\nwindow: today\nrecipients: [you@example.com]\n"


@pytest.fixture(autouse=True)
def no_history(tmp_path_factory, monkeypatch):
    """Nothing was tracked on this machine so far."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("home")))
    settings.current.cache_clear()


def names(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


def test_it_writes_a_starter_and_the_next_three_commands(tmp_path, capsys):
    assert main(["init", str(tmp_path), "--timezone", "Europe/Berlin"]) == 0
    assert names(tmp_path) == FILES
    commands = capsys.readouterr().out.splitlines()
    assert [c.split()[1] for c in commands] == ["work-pool", "--no-prompt", "worker"]
    told = yaml.safe_load((tmp_path / "prefect.yaml").read_text())
    assert [d["name"] for d in told["deployments"]] == NAMES
    for one in told["deployments"]:
        assert one["enforce_parameter_schema"] is True
        assert one["work_pool"]["job_variables"]["env"]["TRACKING_PATH"] == str(tmp_path / "history")
        when = {s["timezone"] for s in one.get("schedules", ())}
        assert when == (set() if one["name"] == "for-automations" else {"Europe/Berlin"})  # an event starts that one
        file, _, _ = one["entrypoint"].partition(":")
        assert file.startswith("prefect_trackrecord.flows.") or (tmp_path / file).is_file()
    assert load_config(tmp_path / "delivery_report.yaml").timezone == "Europe/Berlin"


def test_a_folder_that_is_not_there_yet(tmp_path, capsys):
    assert main(["init", str(tmp_path / "project")]) == 0
    assert names(tmp_path / "project") == FILES
    assert f"Next, in {tmp_path / 'project'}," in capsys.readouterr().err


def test_parents_that_are_not_there_are_made(tmp_path):
    assert main(["init", str(tmp_path / "new" / "deep")]) == 0
    assert names(tmp_path / "new" / "deep") == FILES


@pytest.mark.parametrize("url", ["ftp://x:s3cr3t@h/p", "sftp://x:s3cr3t@h/p", "s3://bucket/p?sig=s3cr3t"])
@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_history_whose_url_holds_a_secret_is_refused(tmp_path, capsys, monkeypatch, url, by):
    """It would stand in files that go into a repository."""
    if by == "environment":
        monkeypatch.setenv("TRACKING_PATH", url)
        settings.current.cache_clear()
    assert main(["init", str(tmp_path / "p"), *(["--history", url] if by == "option" else [])]) == 2
    told = capsys.readouterr()
    assert "--history trackrecord-storage/NAME" in told.err
    assert "s3cr3t" not in told.out + told.err
    assert not (tmp_path / "p").exists()


def test_it_overwrites_nothing(tmp_path, capsys):
    (tmp_path / "prefect.yaml").write_text("name: mine\n")
    (tmp_path / "serve.py").write_text("mine\n")
    assert main(["init", str(tmp_path)]) == 0
    assert (tmp_path / "prefect.yaml").read_text() == "name: mine\n"
    assert (tmp_path / "serve.py").read_text() == "mine\n"
    assert names(tmp_path) == {*FILES, "prefect.trackrecord.yaml"}
    said = capsys.readouterr()
    assert "--prefect-file prefect.trackrecord.yaml" in said.out
    assert "python serve.py" not in said.err
    (tmp_path / "prefect.toml").write_text("[api]\n")
    assert main(["init", str(tmp_path)]) == 0
    assert f"export TRACKING_PATH={tmp_path / 'history'}" in capsys.readouterr().err
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    assert main(["init", str(tmp_path)]) == 0
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


@pytest.mark.parametrize("arguments", [["file/where"], [".", "--timezone", "Mars/Base"]])
def test_what_makes_no_sense_is_refused(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    assert main(["init", *arguments]) != 0
    assert names(tmp_path) == {"file"}


def test_commands_in_its_folder_find_the_history(tmp_path, monkeypatch, capsys):
    main(["init", str(tmp_path)])
    with RunTracker("nightly", storage=TrackingStorage(base_path=tmp_path / "history")):
        pass
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert main(["runs", "list"]) == 0
    assert "nightly" in capsys.readouterr().out


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A Prefect home without a history yet, and a project to be in."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    settings.current.cache_clear()
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "home"


def places(folder):
    """Where the deployments' runs and the folder's commands keep the history."""
    told = yaml.safe_load((folder / "prefect.yaml").read_text())
    (path,) = {d["work_pool"]["job_variables"]["env"]["TRACKING_PATH"] for d in told["deployments"]}
    return path, settings_in(folder).prefect_storage


def test_what_was_tracked_so_far_is_not_lost_from_sight(home, capsys):
    """The README's reader has runs under the Prefect home; after `init` they were gone."""
    with RunTracker("nightly"):
        pass
    assert main(["init"]) == 0
    so_far = str(home / "trackrecord" / "history")
    assert places(home.parent / "project") == (so_far, so_far)
    assert f"the history stays where it is: {so_far}" in capsys.readouterr().err
    assert main(["runs", "list"]) == 0
    assert "nightly" in capsys.readouterr().out


def test_a_new_history_is_in_the_project(home, capsys):
    assert main(["init"]) == 0
    own = str(home.parent / "project" / "history")
    assert places(home.parent / "project") == (own, own)
    assert "the history stays" not in capsys.readouterr().err
    assert main(["runs", "list"]) == 0
    assert "nothing has been tracked yet" in capsys.readouterr().err


@pytest.mark.parametrize("named", ["variable", "prefect.toml", "block"])
def test_a_history_that_the_settings_name(home, monkeypatch, named):
    project = home.parent / "project"
    place = {"block": "trackrecord-storage/prod", "variable": "elsewhere", "prefect.toml": "s3://bucket/h"}[named]
    if named == "variable":
        monkeypatch.setenv("TRACKING_PATH", place)
        settings.current.cache_clear()
    else:
        (project / "prefect.toml").write_text(f'[integrations.trackrecord]\nstorage = "{place}"\n')
    assert main(["init"]) == 0
    assert places(project)[0] == (str(project / place) if named == "variable" else place)


def test_a_report_that_is_there_is_the_one_that_is_sent(home, capsys):
    project = home.parent / "project"
    (project / "report.yaml").write_text(REPORT)
    assert main(["init"]) == 0
    said = capsys.readouterr().err
    assert "the report's deployment uses your report.yaml" in said
    assert "its window is today" in said
    assert names(project) == (FILES - {"delivery_report.yaml"}) | {"report.yaml"}
    told = yaml.safe_load((project / "prefect.yaml").read_text())
    assert {(d.get("parameters") or {}).get("config") for d in told["deployments"]} == {None, "report.yaml"}
    assert '{"config": "report.yaml"}' in (project / "serve.py").read_text()


def test_a_report_of_another_tool_is_left_aside(home, capsys):
    project = home.parent / "project"
    (project / "report.yaml").write_text("coverage: 90\n")
    assert main(["init"]) == 0
    assert "report.yaml is left aside" in capsys.readouterr().err
    assert "config: delivery_report.yaml" in (project / "prefect.yaml").read_text()


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("def word_count(): ...\n", False),
        ("from prefect import flow\n@flow\ndef other(): ...\n", False),
        ("def (\n", False),
        ("import prefect\n@prefect.flow(name='mine')\nasync def word_count(): ...\n", True),
    ],
)
def test_a_file_of_the_users_own_where_the_example_goes(home, capsys, text, there):
    """Its deployment named a flow that was not in it, and `deploy --all` ended there."""
    project = home.parent / "project"
    (project / "flows").mkdir()
    (project / "flows" / "word_count.py").write_text(text)
    assert main(["init"]) == 0
    assert (project / "flows" / "word_count.py").read_text() == text
    assert ("the example is left out" in capsys.readouterr().err) is not there
    told = yaml.safe_load((project / "prefect.yaml").read_text())
    assert [d["name"] for d in told["deployments"]] == (NAMES if there else NAMES[1:])
    served = (project / "serve.py").read_text()
    assert ("word_count" in served) is there
    compile(served, "serve.py", "exec")


def test_no_mark_of_the_starter_is_left_in_it(home):
    assert main(["init"]) == 0
    for name in FILES:
        text = (home.parent / "project" / name).read_text()
        assert not re.search("#<|#</|TIME_ZONE|PROJECT_NAME|DIRECTORY|HISTORY|CONFIG", text), name


@pytest.mark.prefect
@pytest.mark.parametrize("served", ["serve.py", ROOT / "flows" / "serve.py"], ids=["starter", "repository"])
def test_serving_without_a_server_ends_at_once_and_says_why(tmp_path, served):
    """It waited for ever: Prefect's own temporary server makes no run of a schedule."""
    main(["init", str(tmp_path)])
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(tmp_path / "home")
    }
    done = subprocess.run(
        [sys.executable, str(served)], cwd=tmp_path, capture_output=True, text=True, timeout=120, env=env
    )
    assert done.returncode == 1
    assert "no schedule ever runs" in done.stderr


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
