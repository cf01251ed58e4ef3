"""What a terminal shows that a pipe does not: colours, numbers that stand right, what is waited for, Ctrl+C."""

from __future__ import annotations

import re

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
    tracked(command="c" * 5000, files=[(path, "failed")])
    code, text = terminal("files", "failed", "--storage", history.url, COLUMNS="80")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines()
    assert (code, len(lines) < 8) == (0, True)
    assert [line.split() for line in lines if path in line] == [["file", path]]
    assert any("ValueError" in line and f"{'c' * 60}..." in line for line in lines)
    code, text = terminal("runs", "list", "--storage", history.url, COLUMNS="80")
    assert (code, text.count("\n") < 12) == (0, True)


def test_paths_that_fit_stand_in_a_table(terminal, history, tracked):
    tracked(files=[("calls/dan.wav", "failed")])
    _, text = terminal("files", "failed", "--storage", history.url, COLUMNS="80")
    assert re.search(r"calls/dan\.wav\s+ValueError\s+too short", text)
