"""`make demo` on a small folder, in a process of its own: the flow twice on a real Prefect API, report and mail."""

import email
import email.policy
import json
import os
import re
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from prefect_trackrecord.documents.models import FileStatus, RunStatus
from prefect_trackrecord.tracking import TrackingStorage

DEMO = Path(__file__).parents[2] / "flows" / "demo.py"
FILES = {
    "bad_coding.py": b"# -*- coding: uft-8 -*-\n",
    "bad_syntax.py": b"for for in in:\n    pass\nand more of it\n",
    "latin_1.py": b"name = '\xfcber'\n",
    "nul.py": b"x = 1\x00\n",
    "empty.py": b"",
    "sub/__init__.py": b"",
    "sub/warns.py": b"if 1 is 1: pass\n",
    "sub/latin_1_declared.py": b"# -*- coding: latin-1 -*-\nname = '\xfcber'\n",
    **{f"good_{n}.py": f"x = {n}\n".encode() for n in range(8)},
}

pytestmark = [pytest.mark.server, pytest.mark.timeout(300), pytest.mark.xdist_group("demo")]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder that was checked, the output folder, and what the demo printed."""
    root = tmp_path_factory.mktemp("demo")
    folder = root / "library"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "link.py").symlink_to(folder / "good_1.py")
    (folder / "site-packages").mkdir()
    (folder / "site-packages" / "other.py").write_bytes(b"x = 1")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    done = subprocess.run(
        [sys.executable, str(DEMO), "--folder", str(folder), "--output", str(root / "out")],
        cwd=root,
        env={**clean, "PREFECT_API_URL": "http://127.0.0.1:9/api", "TRACKING_PATH": str(root / "not-here")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, root / "out", done


@pytest.fixture(scope="module")
def runs(demo):
    storage = TrackingStorage(base_path=demo[1] / "history")
    found = storage.list_runs(command="check-python-files")
    return [(run, storage.archive.files(run)) for run in found]


def refused(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(path.read_bytes(), path, "exec", dont_inherit=True)
        except Exception:
            return True
    return False


def test_a_row_for_each_file_and_the_broken_ones_failed(demo, runs):
    folder, _, _ = demo
    (run, rows), _ = runs
    files = {str(p) for p in folder.rglob("*.py") if "site-packages" not in p.parts and not p.is_symlink()}
    assert {r.file_path for r in rows} == files
    assert len(rows) == len(files) == run.total_files
    failed = {r.file_path for r in rows if r.status is FileStatus.FAILED}
    assert failed == {p for p in files if refused(Path(p))}
    assert len(failed) == 4
    assert {r.file_path for r in rows if r.status is FileStatus.SKIPPED} == {
        p for p in files if not Path(p).read_bytes()
    }
    assert run.status is RunStatus.PARTIAL_SUCCESS


def test_errors_are_those_of_the_compiler(runs):
    (_, rows), _ = runs
    by_name = {Path(r.file_path).name: r for r in rows}
    assert by_name["bad_syntax.py"].error_type == "SyntaxError"
    assert by_name["bad_syntax.py"].error_message == "invalid syntax (bad_syntax.py, line 1)"
    assert by_name["nul.py"].error_type in {"SyntaxError", "ValueError"}
    assert by_name["empty.py"].reason == "the file is empty"
    assert {r.file_type for r in rows} == {"python"}


def test_the_second_run_takes_what_is_unchanged_from_the_cache(runs):
    _, (run, rows) = runs
    by_status = {s: [r for r in rows if r.status is s] for s in FileStatus}
    assert len(by_status[FileStatus.FAILED]) == 2
    assert len(by_status[FileStatus.SUCCESS]) == 1
    assert len(by_status[FileStatus.SKIPPED]) == len(rows) - 3 >= 6
    assert run.status is RunStatus.PARTIAL_SUCCESS


def test_the_mail_tells_new_recurring_and_fixed_apart(demo):
    (mail,) = (demo[1] / "history").glob("deliveries/**/*.eml")
    message = email.message_from_bytes(mail.read_bytes(), policy=email.policy.default)
    text = message.get_body(("plain",)).get_content()
    marks = [mark for mark, _ in re.findall(r"^\[([A-Z ]+)\] (\w+): \d+ files?\r?$", text, re.MULTILINE)]
    assert sorted(marks) == ["FIXED", "NEW", "NOT SEEN AGAIN", "NOT SEEN AGAIN", "STILL FAILING"], text
    assert "1 fixed, 1 newly failing, 1 failing again" in text


def test_it_says_where_to_look_and_all_of_it_is_there(demo):
    _, output, done = demo
    shown = [Path(p) for p in re.findall(rf"{re.escape(str(output))}\S+\.(?:json|html|eml)", done.stdout)]
    assert {p.suffix for p in shown} == {".json", ".html", ".eml"}
    assert all(p.is_file() for p in shown)
    assert f"PREFECT_HOME={output / 'prefect'}" in done.stdout
    assert "batch of 16 files" in done.stdout, "progress is shown"


def test_the_prefect_history_is_whole(demo):
    """Prefect's embedded API stops with the process, so the demo waits until it has stored everything."""
    with sqlite3.connect(demo[1] / "prefect" / "prefect.db") as database:
        states = dict(database.execute("select state_type, count(*) from task_run group by 1"))
        (artifacts,) = database.execute("select count(*) from artifact where type = 'markdown'").fetchone()
    assert sum(states.values()) == 16 + 9 + 6, "the files of two runs, and the steps of the report"
    assert set(states) == {"COMPLETED", "FAILED"}
    assert states["FAILED"] == 4 + 2
    assert artifacts >= 3, "one for each run, and the report"


def test_it_writes_nowhere_else_and_takes_nothing_of_the_users_prefect(demo):
    folder, output, _ = demo
    assert {p.name for p in output.parent.iterdir()} == {"library", "out"}
    assert not list(folder.rglob("__pycache__"))


def test_it_does_not_touch_a_folder_that_it_did_not_make(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    done = subprocess.run(
        [sys.executable, str(DEMO), "--output", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "was not made by the demo" in done.stderr
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_the_report_run_is_tracked_and_left_out_of_its_own_figures(demo):
    storage = TrackingStorage(base_path=demo[1] / "history")
    report = [r for r in storage.list_runs() if r.role == "report"]
    assert len(report) == 1
    assert (report[0].status, report[0].emails_skipped) == (RunStatus.SUCCESS, 1)
    text = next((demo[1] / "history").glob("reports/**/*.txt")).read_text()
    assert "All 2 runs finished only in part" in text
    assert json.loads(next((demo[1] / "history").glob(f"email_logs/**/{report[0].run_id}*")).read_text())
