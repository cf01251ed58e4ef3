"""The program itself: exit codes, help, version, start-up, and the place that it looks at."""

import os
import subprocess
import sys

import pytest

from prefect_trackrecord import __version__

COMMANDS = [(), ("runs",), ("runs", "list"), ("runs", "show"), ("recover",), ("delivery-report",)]


def test_version(program):
    done = program("--version")
    assert (done.returncode, done.stdout) == (0, f"trackrecord {__version__}\n")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_has_a_help_with_an_example(trackrecord, command):
    done = trackrecord(*command, "--help", storage=False)
    assert done.code == 0
    assert f"Usage: trackrecord {' '.join(command)}".rstrip() in done.out
    assert "Example:\n  trackrecord " in done.out


def test_the_examples_of_the_helps_are_commands_that_parse(trackrecord):
    from prefect_trackrecord.cli.app import app

    for command in COMMANDS:
        text = trackrecord(*command, "--help", storage=False).out
        for line in text.split("Example:")[1].splitlines():
            words = line.strip().split(" | ")[0].split()
            if words[:1] == ["trackrecord"]:
                app.parse_args(words[1:], exit_on_error=False, print_error=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rums",), 'Unknown command "rums". Did you mean "runs"?'),
        (("runs", "list", "--status", "bad"), '"bad" for --status'),
        (("runs", "list", "--limit", "-1"), "--limit -1: a number of runs, or 0 for all"),
        (("runs", "list", "--from", "2025-02-30"), "'2025-02-30' is no date"),
        (("runs", "list", "--from", "2025-02-03", "--to", "2025-01-01"), "the range runs backwards"),
        (("runs", "list", "--storage", "nosuch://bucket"), "nosuch://"),
        (("runs", "show"), "RUN"),
    ],
)
def test_a_wrong_call_is_told_without_a_stack(trackrecord, arguments, message):
    done = trackrecord(*arguments, storage="--storage" not in arguments and "show" not in arguments)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("prune", "--older-than", "1d", "--delete", "--storage", ""), "--storage"),
        (("prune", "--older-than", "1d", "--delete", "--storage="), "--storage"),
        (("runs", "list", "--storage", "  "), "--storage"),
        (("export", "--folder", ""), "--folder"),
        (("demo", "--output="), "--output"),
        (("delivery-report", "--config", ""), "--config"),
        (("delivery-report", "--config", "x.yaml", "--preview", ""), "--preview"),
        (("records", "show", "INV-1", "--folder", ""), "--folder"),
        (("init", ""), "init"),
        (("init", "--history", ""), "--history"),
        (("silence", "", "2h"), "silence"),
        (("--install-completion", "--output", ""), "--output"),
    ],
    ids=" ".join,
)
def test_an_empty_value_is_none_and_not_another_place(trackrecord, tmp_path, monkeypatch, arguments, named):
    """The shell's variable was not set, and `prune --delete` would have deleted in the default history."""
    monkeypatch.setattr(
        "prefect_trackrecord.cli.place.resolve_storage", lambda *_: pytest.fail("a place was looked at")
    )
    done = trackrecord(*arguments, storage=False)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"error TR107: what is given after {named} is empty; is a variable of the shell not set?\n"
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_has_an_equals_sign_is_not_empty(trackrecord, tracked):
    pytest.importorskip("duckdb")
    tracked()
    assert trackrecord("sql", "select 1 as one where 'a'='a'").out == "one\n1\n"


def test_exit_codes_of_the_program(program, tmp_path):
    assert program("runs", "list").returncode == 0
    assert program("runs", "show", "nope").returncode == 1
    assert program("runs", "lst").returncode == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_store_that_can_not_be_read(program, tmp_path):
    folder = tmp_path / "history" / "run_metadata"
    folder.mkdir(parents=True, mode=0)
    done = program("runs", "list", "--storage", tmp_path / "history")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_a_store_that_is_a_file(program, tmp_path):
    (tmp_path / "history").write_text("no folder")
    done = program("runs", "list", "--storage", tmp_path / "history")
    assert done.returncode in {0, 1}
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("--help",), ("runs", "list"), ("runs", "show", "x"), ("recover",)], ids=" ".join)
def test_reading_loads_neither_prefect_nor_drivers_nor_templates(program, tracked, history, command):
    run_id = tracked()
    arguments = [run_id if a == "x" else a for a in command]
    done = program(*arguments, python=("-X", "importtime"), TRACKING_PATH=history.url if "list" in command else "")
    modules = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    loaded = {name.partition(".")[0] for name in modules}
    assert "prefect_trackrecord" in loaded
    if command == ("runs", "list"):
        assert "prefect_trackrecord.documents.models" in modules
        assert not {f"prefect_trackrecord.{m}" for m in ("events", "documents.seal", "tracking.run_tracker")} & modules
    assert not loaded & {"prefect", "fsspec", "jinja2", "httpx", "sqlalchemy"}


@pytest.mark.parametrize(
    "text",
    [
        "[tool.prefect.integrations.trackrecord]\nstorage = {place}\n",
        "[tool.prefect.integrations]\ntrackrecord = {{ storage = {place} }}\n",
    ],
)
def test_it_looks_where_prefects_settings_say(program, tracked, history, tmp_path, text):
    run_id = tracked()
    (tmp_path / "pyproject.toml").write_text(text.format(place=f'"{history.url}"'))
    assert run_id in program("runs", "list").stdout


def test_it_looks_where_a_prefect_profile_says(program, tracked, history, tmp_path):
    run_id = tracked()
    home = tmp_path / "prefect_home"
    home.mkdir()
    (home / "profiles.toml").write_text(
        f'active = "mine"\n[profiles.mine]\nPREFECT_INTEGRATIONS_TRACKRECORD_STORAGE = "{history.url}"\n'
    )
    assert run_id in program("runs", "list").stdout


def test_without_any_setting_it_looks_under_the_prefect_home(program, tmp_path):
    done = program("runs", "list")
    assert done.stderr == (
        "nothing has been tracked yet; the first tracked run makes the history\n"
        f"no such runs in {tmp_path / 'prefect_home' / 'trackrecord' / 'history'}\n"
    )


@pytest.mark.skipif(sys.version_info < (3, 11), reason="without tomllib Prefect is asked")
def test_in_the_folder_of_a_project_prefect_is_not_loaded(program, tracked, history, tmp_path):
    """`trackrecord init` writes a prefect.toml, and every command there took more than a second."""
    run_id = tracked()
    (tmp_path / "prefect.toml").write_text(f'[integrations.trackrecord]\nstorage = "{history.url}"\n')
    done = program("runs", "list", python=("-X", "importtime"))
    assert run_id in done.stdout
    assert "| prefect_trackrecord" in done.stderr
    assert "| prefect\n" not in done.stderr


@pytest.mark.parametrize(
    "command", [("runs", "list"), ("files", "failed"), ("prune", "--older-than", "1y"), ("silence",)]
)
def test_a_history_that_is_not_there_yet(program, tmp_path, command):
    """A misspelt --storage would pass for an empty history; a place that the settings name is made by the first run."""
    done = program(*command, TRACKING_PATH=tmp_path / "later")
    assert (done.returncode, done.stderr.startswith("nothing has been tracked yet")) == (0, True)
    done = program(*command, "--storage", tmp_path / "misspelt")
    assert (done.returncode, "is it spelled right?" in done.stderr) == (1, True)


def test_a_reader_that_stops_reading(history, tracked):
    for _ in range(3):
        tracked()
    done = subprocess.run(
        f"{sys.executable} -m prefect_trackrecord runs list --json --storage {history.url} | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "["
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_terminal_that_can_not_show_a_letter(program, history, tracked):
    run_id = tracked(files=[("日本.wav", "failed")])
    done = program("runs", "show", run_id, "--storage", history.url, PYTHONIOENCODING="latin-1")
    assert done.returncode == 0
    assert r"\u65e5\u672c.wav" in done.stdout


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("demo", "two copies that it breaks. Of a Prefect flow it would look the same; nothing of yours is touched"),
        ("delivery-report", "Where neither is given the configuration says it."),
        ("recover", "What became of a Prefect flow run is asked of Prefect's API first."),
    ],
)
def test_only_the_terminals_width_breaks_a_help(program, command, words):
    assert words in program(command, "--help", COLUMNS="400").stdout
