"""What goes wrong is told in a line with a code, never by a stack: wrong input, outputs that take nothing, Ctrl+C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

EMPTY = "is empty; is a variable of the shell not set?"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("runs", "show", ""), EMPTY),
        (("runs", "open", ""), EMPTY),
        (("retry", ""), EMPTY),
        (("records", "report", ""), EMPTY),
        (("records", "pack", ""), EMPTY),
        (("sql", ""), EMPTY),
        (("sql", " -- nothing\n;"), "there is no question in it"),
        (("runs", "list", "--from", "0001-01-01T00:00:00+02:00"), "outside of the years"),
    ],
    ids=repr,
)
def test_input_that_is_none(trackrecord, tracked, arguments, message):
    tracked()
    done = trackrecord(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error TR10")
    assert message in done.err


def test_the_last_day_of_all_times_is_a_day(trackrecord, tracked):
    run_id = tracked()
    done = trackrecord("runs", "list", "--from", "2025-01-01", "--to", "9999-12-31")
    assert (done.code, run_id in done.out) == (0, True)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
def test_an_output_that_is_full(program, tracked, history):
    tracked()
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "prefect_trackrecord", "runs", "list", "--json", "--storage", history.url],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()) == (1, ["error TR000: [Errno 28] No space left on device"])


def test_a_fault_of_our_own_is_told_with_its_place(trackrecord, tracked, monkeypatch):
    """Made by a fault that is put in, since those that are known are mended."""
    from prefect_trackrecord.cli import runs

    tracked()
    monkeypatch.setattr(runs, "_cells", lambda *_: 1 / 0)
    done = trackrecord("runs", "list")
    assert (done.code, "Traceback" in done.err) == (1, False)
    assert done.err.startswith("error TR000: a fault of trackrecord's own, in cli/runs.py:")
    assert "ZeroDivisionError" in done.err
    assert "-X dev" in done.err


@pytest.mark.parametrize(
    "arguments",
    [("runs", "list"), ("files", "failed"), ("prune", "--older-than", "1d"), ("recover",), ("silence",),
     ("sql", "select 1"), ("export",), ("runs", "show", "x"), ("records", "show", "x")],
    ids=" ".join,
)  # fmt: skip
def test_a_misspelt_folder_is_no_empty_history(trackrecord, arguments, tmp_path):
    typo = tmp_path / "histroy"
    done = trackrecord(*arguments, "--storage", typo, storage=False)
    assert (done.code, str(typo) in done.err) == (1, True)
    assert "there is no folder" in done.err or arguments[1:] == (*arguments[1:-1], "x")
    assert not typo.exists()


def test_a_history_without_runs_is_no_fault(trackrecord, history):
    Path(history.url).mkdir()
    for arguments in (("runs", "list"), ("prune", "--older-than", "1d"), ("recover",), ("silence",)):
        assert trackrecord(*arguments).code == 0, arguments


def test_ctrl_c_while_modules_load(program, tmp_path):
    """A module that is loaded before any of ours catches anything gets the signal: the real one, sent to itself."""
    (tmp_path / "cyclopts.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)\n"
    )
    done = program("runs", "list", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")


def test_a_reader_that_went_away_is_told_as_of_any_program(history, tracked, tmp_path):
    tracked()
    command = f"{sys.executable} -m prefect_trackrecord runs list --storage {history.url} | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize(
    ("unfinished", "own", "words"),
    [
        (0, 0, "5 were there already"),
        (2, 0, "5 were there already; 2 without an end yet were left out"),
        (1, 0, "5 were there already; 1 without an end yet was left out"),
        (0, 3, "5 were there already; 3 of trackrecord's own flows were left out"),
        (2, 3, "5 were there already; 2 without an end yet and 3 of trackrecord's own flows were left out"),
    ],
)
@pytest.mark.parametrize("added", [0, 1])
def test_what_an_import_left_out(trackrecord, monkeypatch, added, unfinished, own, words):
    from prefect_trackrecord._prefect import importing, settings

    done = importing.Imported(known=5, unfinished=unfinished, own=own, added=added)
    monkeypatch.setattr(settings, "has_api", lambda: True)
    monkeypatch.setattr(importing, "import_runs", lambda *_, **__: done)
    told = trackrecord("import-runs", "--from", "2025-01-01")
    assert told.code == 0
    assert told.err.endswith(f"; {words}\n")
