"""StdOutCallbackHandler: lines where nobody watches, a bar on a terminal, and nothing that steers one."""

import io
import os
import pty
import re
import subprocess
import sys

from prefect_trackrecord.callbacks import CallbackManager, StdOutCallbackHandler
from prefect_trackrecord.journal.printable import printable


def batch_on(out, total, **options):
    return CallbackManager([StdOutCallbackHandler(out, **options)]).on_batch_start(total)


def test_a_line_for_each_file_and_a_sum():
    out = io.StringIO()
    with batch_on(out, 3) as batch:
        batch.on_file_end("a.wav", 0, 3, "success", duration_ms=1500)
        batch.on_file_error("b.wav", 1, 3, ValueError("too short\nsecond line"))
        batch.on_file_end("b.wav", 1, 3, "failed")
        batch.on_file_end("c.wav", 2, 3, "skipped", reason="empty")
    lines = out.getvalue().splitlines()
    assert lines[:4] == [
        "batch of 3 files",
        "[1/3] success a.wav (1,500 ms)",
        "[2/3] failed  b.wav: ValueError: too short",
        "[3/3] skipped c.wav: empty",
    ]
    assert re.fullmatch(r"3 files in \d+\.\d s: 1 success, 1 failed, 1 skipped", lines[4])
    assert len(lines) == 5


def test_every_nth_line_but_all_failures():
    out = io.StringIO()
    with batch_on(out, 10, every=4) as batch:
        for n in range(10):
            batch.on_file_end(f"{n}.wav", n, 10, "failed" if n == 4 else "success")
    assert [line.split()[0] for line in out.getvalue().splitlines()[1:-1]] == ["[4/10]", "[5/10]", "[8/10]", "[10/10]"]


def test_standard_output_is_looked_up_at_each_call(capsys):
    batch_on(None, None).on_file_end("a.wav")
    assert capsys.readouterr().out == "batch of files\n[1] success a.wav\n"


def test_no_standard_output_at_all(monkeypatch, caplog):
    monkeypatch.setattr(sys, "stdout", None)
    with batch_on(None, 1) as batch:
        batch.on_file_end("a.wav", 0, 1)
    assert not caplog.records


def test_paths_and_errors_can_not_steer_a_terminal():
    out = io.StringIO()
    with batch_on(out, 1) as batch:
        batch.on_file_end("a\x1b[2J\udcff.wav", 0, 1, "failed", error="x\x1b]0;owned\x07")
    assert "\x1b" not in out.getvalue()
    assert r"a\x1b[2J\udcff.wav" in out.getvalue()


def test_secrets_are_masked():
    out = io.StringIO()
    with batch_on(out, 3) as batch:
        batch.on_file_end("https://h/a?token=geheim", 0, 3, "failed", error="password=geheim")
        batch.on_file_error("b", 1, 3, ValueError("password=geheim"))
        batch.on_file_end("c", 2, 3, "skipped", reason="password: geheim")
    assert out.getvalue().count("********") == 4
    assert "geheim" not in out.getvalue()


def test_printable_leaves_other_scripts_alone():
    assert printable("Überweisung 2025 日本.wav") == "Überweisung 2025 日本.wav"


CODE = """
from prefect_trackrecord.callbacks import CallbackManager, StdOutCallbackHandler
with CallbackManager([StdOutCallbackHandler()]).on_batch_start(3) as batch:
    batch.on_file_start("[red]a.wav", 0, 3)
    batch.on_file_end("[red]a.wav", 0, 3, "success")
    batch.on_file_error("[/b].wav", 1, 3, ValueError("[bold]too short"))
    batch.on_file_end("[/b].wav", 1, 3, "failed")
    batch.on_file_end("c.wav", 2, 3, "success")
"""


def on_terminal(code, **env):
    main, side = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-c", code], stdout=side, stderr=subprocess.PIPE, env={**os.environ, "COLUMNS": "100", **env}
    )
    os.close(side)
    shown = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(main)
    errors = done.stderr.read().decode()
    return done.wait(30), shown.decode(), errors


def test_a_bar_on_a_terminal():
    code, shown, errors = on_terminal(CODE, TERM="xterm-256color")
    assert (code, errors) == (0, "")
    assert "3/3" in shown
    assert "━" in shown
    assert "[/b].wav: ValueError: [bold]too short" in shown
    assert shown.count("too short") == 1
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l"), "the cursor is shown again"
    assert re.search(r"3 files in .* s: 2 success, 1 failed", shown)


def test_lines_on_a_dumb_terminal():
    code, shown, errors = on_terminal(CODE, TERM="dumb")
    assert (code, errors) == (0, "")
    assert "[3/3] success c.wav" in shown
    assert "\x1b" not in shown


def test_a_batch_left_open_leaves_the_terminal_with_its_cursor():
    code = """
from prefect_trackrecord.callbacks import CallbackManager, StdOutCallbackHandler
batch = CallbackManager([StdOutCallbackHandler()]).on_batch_start(3)
batch.on_file_end("a.wav", 0, 3)
raise SystemExit(7)
"""
    code, shown, errors = on_terminal(code, TERM="xterm-256color")
    assert (code, errors) == (7, "")
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
