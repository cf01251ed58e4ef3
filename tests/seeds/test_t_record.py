"""T-Record's README as its users have it: only the import root is changed, and `Status`, which it forgot, is imported.

The blocks below are the README's own text. They are run as they stand, each in a process of its own, as its users do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SEED_ROOT, OUR_ROOT = "from t_record.record import", "from prefect_trackrecord.record import Status,"

QUICKSTART = """
from t_record.record import configure_records_tracing, ThoughtfulRecord, dump_records, pack_sharable_zip, RecordStatus

# 1. Configure
configure_records_tracing("records_folder")

# 2. Create your record
class MyRecord(ThoughtfulRecord):
    id: str
    status: RecordStatus = ""

record = MyRecord(id="rec_001")

# 3. Change status or add traces
record.status = Status.RUNNING
record.log_trace("Started processing", reason="Data loaded")

# 4. Save everything
dump_records()

# 5. Create shareable ZIP
pack_sharable_zip("records.zip")
"""

CONTINUE = """
configure_record_tracing("records_folder")
record = MyRecord(id="rec_001")  # picks up previous traces
record.status = Status.COMPLETED
dump_records()
"""

IMAGE = """
record.log_trace("Reviewed", reason="Visual QC", image="path/to/image.png")
"""

# what the advanced blocks take for granted: the quickstart's names
NAMES = """
from t_record.record import configure_record_tracing, ThoughtfulRecord, dump_records, RecordStatus
class MyRecord(ThoughtfulRecord):
    id: str
    status: RecordStatus = ""
"""


def run(code: str, folder: Path) -> None:
    source = code.replace(SEED_ROOT, OUR_ROOT)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def read_log(folder: Path) -> dict:
    return json.loads((folder / "records_folder/process_name/run_id/records_logs.json").read_text("utf-8"))["data"]


@pytest.fixture
def after_quickstart(tmp_path):
    run(QUICKSTART, tmp_path)
    return tmp_path


def test_quickstart(after_quickstart):
    folder = after_quickstart / "records_folder/process_name/run_id"
    assert {"records_logs.json", "records_report.html"} <= {p.name for p in folder.iterdir()}
    entry = read_log(after_quickstart)["rec_001"]
    assert (entry["status"], entry["status_color"]) == ("Running", "dodgerblue")
    assert [(t["action"], t["reason"]) for t in entry["traces"]] == [
        ("Initialize record", ""),
        ("Started processing", "Data loaded"),
    ]
    assert entry["traces"][1]["dict_updates"] == {"status": {"from": "", "to": "Running"}}
    with zipfile.ZipFile(after_quickstart / "records.zip") as archive:
        assert archive.testzip() is None
        assert any(name.endswith(".html") for name in archive.namelist())


def test_continue_an_existing_run(after_quickstart):
    run(NAMES + CONTINUE, after_quickstart)
    entry = read_log(after_quickstart)["rec_001"]
    assert entry["status"] == "Completed"
    assert [t["action"] for t in entry["traces"]] == ["Initialize record", "Started processing"]
    assert [(u["old_status"], u["new_status"]) for u in entry["status_updates"]] == [
        ("", "Running"),
        ("Running", "Completed"),
    ]


def test_add_an_image_trace(after_quickstart):
    picture = after_quickstart / "path" / "to" / "image.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    run(NAMES + CONTINUE + IMAGE + "dump_records()", after_quickstart)
    trace = read_log(after_quickstart)["rec_001"]["traces"][-1]
    assert (trace["action"], trace["reason"]) == ("Reviewed", "Visual QC")
    folder = after_quickstart / "records_folder/process_name/run_id"
    assert (folder / trace["image"]).read_bytes() == picture.read_bytes()


def test_the_names_come_from_the_package_too():
    import prefect_trackrecord.record as ours

    seed = {"ThoughtfulRecord", "RecordStatus", "Status", "configure_records_tracing", "dump_records"}
    seed |= {"pack_sharable_zip", "dump_records_html", "save_records_to_html"}
    assert seed <= set(ours.__all__)
    assert all(getattr(ours, name) is not None for name in ours.__all__)
