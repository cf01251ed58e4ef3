"""RunTracker's page as its users have it: every code block is run with only the import root changed.

`run_tracker_seed.txt` is that page's own text. Each block runs in a process of its own, after a prelude that supplies
the names which the page leaves open (`process`, `files`, `metadata`, `artifact_manager`...), and is judged by the
documents that it leaves behind.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PAGE = Path(__file__).with_name("run_tracker_seed.txt").read_text(encoding="utf-8")
BLOCKS = [(language, body) for language, body in re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]
PYTHON = [body.replace("novus_calls.core", "prefect_trackrecord") for language, body in BLOCKS if language == "python"]

RUN_TRACKER, TRACKING_STORAGE, RUN_STATUS, FILE_STATUS, ABORT, CALLBACKS = range(6)

# an fsspec filesystem whose root is the test's folder stands for the page's own artifact manager
MANAGER = """
import os
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
folder = os.environ["FOLDER"]
artifact_manager = DirFileSystem(path=folder, fs=LocalFileSystem())
"""
NAMES = """
files = ["calls/1.wav", "calls/2.wav", "calls/3.wav"]
output = "out/result.json"
def process(file):
    if file == "calls/2.wav":
        raise ValueError("no speech in it")
"""


def run(code, tmp_path, **env):
    (tmp_path / "block.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "block.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "FOLDER": str(tmp_path), **env},
    )
    assert done.returncode == 0, done.stderr
    return done


def documents(folder, kind):
    """The documents of a kind by file name, and that each lies under the day on which its run began."""
    found = {}
    for path in sorted(folder.glob(f"{kind}/*/*/*/*.json")):
        assert re.fullmatch(rf"{kind}/\d{{4}}/\d{{2}}/\d{{2}}/[\w-]+\.json", str(path.relative_to(folder)))
        found[path.stem] = json.loads(path.read_text())
    return found


def test_the_page_has_the_blocks_that_are_run_here():
    assert [language for language, _ in BLOCKS] == ["python"] * 4 + [""] + ["python"] * 2 + ["bash"]
    firsts = [body.splitlines()[0] for body in PYTHON]
    assert firsts[RUN_TRACKER] == "from prefect_trackrecord.tracking import RunTracker, FileStatus"
    assert firsts[TRACKING_STORAGE] == "from prefect_trackrecord.tracking.storage import TrackingStorage"
    assert firsts[RUN_STATUS] == "class RunStatus(str, Enum):"
    assert firsts[FILE_STATUS] == "class FileStatus(str, Enum):"
    assert firsts[ABORT] == "import atexit"
    assert firsts[CALLBACKS].startswith("from prefect_trackrecord.callbacks import")


def test_run_tracker(tmp_path):
    run(MANAGER + NAMES + PYTHON[RUN_TRACKER] + "\nprint(tracker.run_id)\n", tmp_path)
    base = tmp_path / "bucket" / "run_metadata"  # of azure://bucket/run_metadata, its protocol dropped
    ((run_id, metadata),) = documents(base, "run_metadata").items()
    assert metadata["run_id"] == run_id
    assert (metadata["command"], metadata["subcommand"]) == ("extract", None)
    assert (metadata["config_path"], metadata["target_date"]) == ("config/pipeline.yaml", "2025-01-25")
    assert metadata["status"] == "partial_success"
    assert (metadata["total_files"], metadata["success_count"], metadata["failed_count"]) == (3, 2, 1)
    assert (metadata["emails_sent"], metadata["emails_failed"], metadata["emails_skipped"]) == (1, 1, 1)
    assert metadata["started_at"] <= metadata["completed_at"]
    rows = {row["file_path"]: row for row in documents(base, "file_logs")[f"{run_id}_files"]}
    assert {path: row["status"] for path, row in rows.items()} == {
        "calls/1.wav": "success", "calls/2.wav": "failed", "calls/3.wav": "success",
    }  # fmt: skip
    assert (rows["calls/2.wav"]["error_type"], rows["calls/2.wav"]["error_message"]) == (
        "ValueError",
        "no speech in it",
    )
    assert rows["calls/1.wav"]["output_path"] == "out/result.json"
    assert {row["run_id"] for row in rows.values()} == {run_id}
    emails = documents(base, "email_logs")[f"{run_id}_emails"]
    assert [(e["status"], e["agent_id"], e["email"], e["reason"]) for e in emails] == [
        ("sent", "A1", "a@b.com", None),
        ("failed", "A2", "c@d.com", "SMTP error"),
        ("skipped", "A3", None, "No email configured"),
    ]
    assert [e["agent_id"] for e in metadata["email_results"]] == ["A1", "A2", "A3"]


def test_tracking_storage(tmp_path):
    prelude = """
from datetime import datetime
from prefect_trackrecord.tracking import EmailResult, FileProcessingLog, RunMetadata, RunStatus
run_id = "3f2a81c0-0000-4000-8000-000000000001"
metadata = RunMetadata(run_id=run_id, command="report", started_at=datetime(2025, 1, 25, 9), status=RunStatus.SUCCESS)
file_logs = [FileProcessingLog(run_id=run_id, file_path="calls/1.wav", status="success")]
email_results = [EmailResult(agent_id="A1", email="a@b.com", status="sent")]
"""
    shown = "\nprint([(r.run_id, r.command, r.status.value) for r in runs])\n"
    done = run(MANAGER + prelude + PYTHON[TRACKING_STORAGE] + shown, tmp_path)
    run_id = "3f2a81c0-0000-4000-8000-000000000001"
    assert done.stdout == f"[('{run_id}', 'report', 'success')]\n"
    base = tmp_path / "bucket" / "run_metadata"
    day = base / "run_metadata" / "2025" / "01" / "25"
    assert json.loads((day / f"{run_id}.json").read_text())["command"] == "report"
    (row,) = documents(base, "file_logs")[f"{run_id}_files"]
    (email,) = documents(base, "email_logs")[f"{run_id}_emails"]
    assert (row["file_path"], email["email"]) == ("calls/1.wav", "a@b.com")
    assert (base / "email_logs" / "2025" / "01" / "25" / f"{run_id}_emails.json").is_file(), (
        "the run's day, not today's"
    )


@pytest.mark.parametrize(("block", "name"), [(RUN_STATUS, "RunStatus"), (FILE_STATUS, "FileStatus")])
def test_the_enumerations_are_the_pages(tmp_path, block, name):
    check = f"""
from prefect_trackrecord.tracking import {name} as ours
assert issubclass(ours, str) and issubclass(ours, Enum)
assert [(m.name, m.value) for m in ours] == [(m.name, m.value) for m in {name}]
"""
    run("from enum import Enum\n" + PYTHON[block] + check, tmp_path)


def table(model):
    """The fields of a model's table on the page, in its order, with the page's own types."""
    section = PAGE.split(f"### {model}\n")[1].split("###")[0].split("## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([\w\[\]]+) \|", section, re.MULTILINE))


@pytest.mark.parametrize("model", ["RunMetadata", "FileProcessingLog", "EmailResult"])
def test_the_models_have_the_pages_fields(model):
    from prefect_trackrecord import tracking

    fields = table(model)
    assert len(fields) == {"RunMetadata": 17, "FileProcessingLog": 9, "EmailResult": 5}[model]
    ours = getattr(tracking, model).model_fields
    kinds = {
        "str": "str", "int": "int", "datetime": "datetime", "RunStatus": "RunStatus", "FileStatus": "FileStatus",
        "List[EmailResult]": "EmailResult",
    }  # fmt: skip
    for name, kind in fields.items():
        assert kinds[kind] in str(ours[name].annotation), name


def test_the_pages_own_documents_load():
    """Documents with the page's fields and no others, as its own code wrote them."""
    from prefect_trackrecord.tracking import EmailResult, FileProcessingLog, RunMetadata

    sample = {"str": "x", "int": 1, "datetime": "2025-01-25T09:00:00", "RunStatus": "success", "FileStatus": "failed"}
    for model in (RunMetadata, FileProcessingLog, EmailResult):
        fields = table(model.__name__)
        document = {name: [] if kind.startswith("List") else sample[kind] for name, kind in fields.items()}
        loaded = model.model_validate_json(json.dumps(document)).model_dump(mode="json")
        for name, value in document.items():
            assert loaded[name] == ("2025-01-25T09:00:00Z" if value == sample["datetime"] else value)


ABORT_PRELUDE = """
import os, sys, time
from prefect_trackrecord.tracking import RunStatus, RunTracker
"""
ABORT_REST = """
_current_tracker = RunTracker(command="extract", storage=os.environ["FOLDER"]).start()
_current_tracker.track_file("calls/1.wav")
print(_current_tracker.run_id, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
@pytest.mark.parametrize("own_handlers", [True, False], ids=["with the page's handlers", "with ours alone"])
def test_abort(tmp_path, number, own_handlers):
    code = ABORT_PRELUDE + (PYTHON[ABORT] if own_handlers else "") + ABORT_REST
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "FOLDER": str(tmp_path)},
    )
    run_id = process.stdout.readline().strip()
    time.sleep(0.3)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode != 0
    if own_handlers:
        assert process.returncode == 1, "the page's handler, called after ours, raises SystemExit(1)"
    metadata = documents(tmp_path, "run_metadata")[run_id]
    assert metadata["status"] == "aborted"
    assert metadata["error_message"].startswith(f"Command aborted by user (signal {int(number)}")
    assert [row["file_path"] for row in documents(tmp_path, "file_logs")[f"{run_id}_files"]] == ["calls/1.wav"]


def test_the_abort_block_at_a_normal_exit(tmp_path):
    """Its atexit function completes a tracker that nobody did."""
    run(ABORT_PRELUDE + PYTHON[ABORT] + ABORT_REST.replace("time.sleep(60)", ""), tmp_path)
    (metadata,) = documents(tmp_path, "run_metadata").values()
    assert metadata["status"] == "aborted"


def test_callbacks(tmp_path):
    run(
        "file_path = 'calls/1.wav'\n" + PYTHON[CALLBACKS] + "\ntracker.complete()\n",
        tmp_path,
        TRACKING_PATH=str(tmp_path / "history"),
    )
    ((run_id, metadata),) = documents(tmp_path / "history", "run_metadata").items()
    assert (metadata["command"], metadata["config_path"]) == ("extract", "config.yaml")
    (row,) = documents(tmp_path / "history", "file_logs")[f"{run_id}_files"]
    assert (row["file_path"], row["status"], row["processing_time_ms"]) == ("calls/1.wav", "success", 1500)


def test_the_delivery_report_from_a_shell(tmp_path):
    (command,) = [body for language, body in BLOCKS if language == "bash"]
    assert command.startswith("novus delivery-report")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "delivery_report_config.yaml").write_text("title: Calls\nrecipients: [a@b.com]\n")
    prelude = """
import os
from datetime import datetime
from prefect_trackrecord.tracking import RunMetadata, TrackingStorage
storage = TrackingStorage(base_path=os.environ["TRACKING_PATH"])
for day in (19, 20, 26, 27):
    storage.save_run_metadata(RunMetadata(
        run_id=f"run-{day}", command="extract", started_at=datetime(2025, 1, day, 9), status="success"))
"""
    history = tmp_path / "history"
    run(prelude, tmp_path, TRACKING_PATH=str(history))
    ours = command.replace("novus ", f"{sys.executable} -m prefect_trackrecord ", 1)
    done = subprocess.run(
        ["bash", "-euc", ours],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TRACKING_PATH": str(history)},
    )
    assert done.returncode == 0, done.stderr
    (page,) = history.glob("reports/**/*.html")
    assert str(page) in done.stdout
    assert "run-20" in page.read_text()
    assert "run-26" in page.read_text()
    assert "run-19" not in page.read_text()
    assert len(list(history.glob("deliveries/**/*.eml"))) == 1
    (report,) = [d for d in documents(history, "run_metadata").values() if d["command"] == "delivery-report"]
    assert (report["role"], report["status"], report["emails_skipped"]) == ("report", "success", 1)


def test_the_storage_layout_is_the_pages(tmp_path):
    """The block without a language: folders and file names."""
    (layout,) = [body for language, body in BLOCKS if not language]
    folders = re.findall(r"^  (\w+)/\n    YYYY/MM/DD/\n      (<run_id>\w*\.json)", layout, re.MULTILINE)
    assert folders == [
        ("run_metadata", "<run_id>.json"),
        ("file_logs", "<run_id>_files.json"),
        ("email_logs", "<run_id>_emails.json"),
    ]
    run(MANAGER + NAMES + PYTHON[RUN_TRACKER], tmp_path)
    base = tmp_path / "bucket" / "run_metadata"
    ((run_id, metadata),) = documents(base, "run_metadata").items()
    day = metadata["started_at"][:10].replace("-", "/")
    for folder, name in folders:
        assert (base / folder / day / name.replace("<run_id>", run_id)).is_file()
