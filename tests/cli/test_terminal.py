"""What a terminal shows that a pipe does not: colours, numbers that stand right, what is waited for, Ctrl+C."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich.cells import cell_len

from prefect_trackrecord.cli.output import table

SLOW = """
import sys, time
from prefect_trackrecord.cli import progress, runs
from prefect_trackrecord.tracking import TrackingStorage
progress.AFTER, SECONDS = 0.05, float(sys.argv.pop())
slow = TrackingStorage.list_runs
TrackingStorage.list_runs = lambda self, *given: (time.sleep(SECONDS), slow(self, *given))[1]
from prefect_trackrecord.cli import main
main(sys.argv[1:])
"""


def test_colours_and_numbers_are_for_a_terminal(terminal, program, history, tracked):
    tracked(files=[("a.wav", "failed"), ("b.wav", "success")])
    arguments = ("runs", "list", "--storage", history.url)
    code, text = terminal(*arguments)
    assert (code, "\x1b[33mpartial_success\x1b[0m" in text) == (0, True)
    assert "\x1b" not in program(*arguments).stdout
    _, plain = terminal(*arguments, NO_COLOR="1")
    assert "\x1b[33m" not in plain
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", plain)
    row = next(line for line in plain.splitlines() if "partial_success" in line)
    head = next(line for line in plain.splitlines() if "files" in line)
    assert row[: head.index("files") + len("files")].split()[-1] == "2", "numbers stand right"


def test_what_takes_long_says_so_and_ctrl_c_ends_it(terminal, history, tracked):
    run_id = tracked()
    code, text = terminal("runs", "list", "--storage", history.url, "0.5", code=SLOW)
    assert (code, f"reading {history.url} ..." in text, run_id[:8] in text) == (0, True, True)
    code, text = terminal("runs", "list", "--storage", history.url, "30", code=SLOW, until=b"reading")
    assert (code, "error: interrupted" in text, "Traceback" in text) == (130, True, False)


def test_paths_are_whole_on_a_narrow_terminal_and_long_commands_are_cut(terminal, history, tracked):
    path = f"calls/2025/01/20/{'x' * 60}.wav"
    run_id = tracked(command="c" * 5000, files=[(path, "failed")])
    code, text = terminal("files", "failed", "--storage", history.url, COLUMNS="80")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).split("\n")
    assert (code, len(lines) < 8) == (0, True)
    assert [line.split() for line in lines if path in line] == [["file", path]]
    assert [line.strip() for line in lines[1:3]] == [f"{run_id[:8]}  {'c' * 60}...", "ValueError"]
    code, text = terminal("runs", "list", "--storage", history.url, COLUMNS="80")
    assert (code, text.count("\n") < 12) == (0, True)


def test_paths_that_fit_stand_in_a_table(terminal, history, tracked):
    tracked(files=[("calls/dan.wav", "failed")])
    _, text = terminal("files", "failed", "--storage", history.url, COLUMNS="80")
    assert re.search(r"calls/dan\.wav\s+ValueError\s+too short", text)


def plain(text):
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines()]


def test_every_table_is_told_in_lines_where_it_does_not_fit(terminal, history, tracked):
    """Words were cut to letters, and columns left out without a word."""
    run_id = tracked(command="transcribe-calls", files=[("a.wav", "failed"), ("b.wav", "success")])
    place = ("--storage", history.url)
    lines = plain(terminal("runs", "list", *place, COLUMNS="40")[1])
    assert lines[0].startswith(f"{run_id[:8]}  20")
    assert lines[1] == "  transcribe-calls  partial_success"
    assert lines[2].startswith("  files 2  failed 1  took ")
    lines = plain(terminal("doctor", *place, COLUMNS="40")[1])
    assert "storage: exclusive create  ok" in lines
    assert "  message  the second one is refused" in lines
    pytest.importorskip("duckdb")
    lines = plain(terminal("sql", "select run_id, status, 1 as n, null as x from runs", *place, COLUMNS="40")[1])
    assert f"run_id  {run_id}" in lines
    assert lines[-5:] == [f"run_id  {run_id}", "status  partial_success", "n       1", "x", ""]


def test_every_table_is_one_where_it_fits(terminal, history, tracked):
    tracked(files=[("a.wav", "failed"), ("b.wav", "success")])
    lines = plain(terminal("runs", "list", "--storage", history.url, COLUMNS="80")[1])
    assert lines[0].split() == ["run", "started", "(UTC)", "command", "status", "files", "failed", "took"]
    lines = plain(terminal("doctor", "--storage", history.url, COLUMNS="80")[1])
    assert any(line.split() == ["check", "result", "message"] for line in lines)


def test_letters_that_take_two_columns_are_counted_so(monkeypatch):
    """A table that had no room for them was said to fit, and cut them."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def shown(columns, row, width, **more):
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys, "stdout", Terminal())
        table(columns, [row], **more)
        return plain(sys.stdout.getvalue())

    row = ("通話を書き起こす", "失敗した", 3)
    for width in range(18, 50):
        lines = shown(("run", "status", "n"), row, width)
        assert all(cell_len(line) <= width for line in lines)
        text = "\n".join(lines)
        assert row[0] in text, f"it is whole at {width}"
        assert row[1] in text, f"it is whole at {width}"
    lines = shown(("実行", "n"), ("通話" * 10, 3), 20, named=True)
    assert lines[:2] == ["実行  " + "通話" * 10, "n     3"]
