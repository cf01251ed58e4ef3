"""The artifact's text: what it says, how it is cut, and that nothing in it is taken for markup."""

from __future__ import annotations

import json
from datetime import datetime, timezone

from prefect_trackrecord._prefect import artifact
from prefect_trackrecord._prefect.capture import _reason
from prefect_trackrecord.documents.models import FailedTask, FileProcessingLog, RunMetadata

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


def run(**fields) -> RunMetadata:
    return RunMetadata(run_id="r", command="c", started_at=NOW, **fields)


def row(path: str, message: str = "bad", task_run_id: str | None = None) -> FileProcessingLog:
    return FileProcessingLog(
        file_path=path, status="failed", error_type="ValueError", error_message=message, task_run_id=task_run_id
    )


def test_failed_files_are_a_list_below_their_common_folder():
    rows = [row("/data/in/a.wav"), row("/data/in/deep/b.wav")]
    text = artifact.markdown(run(status="partial_success", total_files=9, failed_count=2, success_count=7), rows, "/h")
    assert "# ⚠️ partial success" in text
    assert "in `/data/in/`" in text
    assert "- `a.wav`\n  **ValueError** bad" in text
    assert "- `deep/b.wav`" in text


def test_a_long_path_is_cut_from_the_left():
    text = artifact.markdown(run(status="failed", total_files=1, failed_count=1), [row("/x" * 80 + "/end.wav")], "/h")
    (line,) = [found for found in text.splitlines() if found.startswith("- ")]
    assert line.endswith("/end.wav`")
    assert len(line) < 80


def test_a_task_run_that_is_a_failed_file_is_told_once():
    tasks = [FailedTask(task_run_id="t1", name="file"), FailedTask(task_run_id="t2", name="other", state="Crashed")]
    fields = {"status": "partial_success", "total_files": 3, "failed_count": 1, "failed_tasks": tasks}
    text = artifact.markdown(run(**fields), [row("a", task_run_id="t1")], "/h")
    assert "Task runs that did not end well (1 of 1)" in text
    assert "- `other`\n  **Crashed**" in text


def test_the_failures_table_has_room_for_its_messages():
    rows = [row("/data/in/a.wav"), row("/data/in/deep/b.wav")]
    assert [one["file"] for one in json.loads(artifact.table(rows))] == ["a.wav", "deep/b.wav"]
    assert [one["file"] for one in json.loads(artifact.table(rows[:1]))] == ["a.wav"]
    assert [one["file"] for one in json.loads(artifact.table([row("a.wav")]))] == ["a.wav"]
    assert artifact.table_description(run(failed_count=2), rows) == "2 failed files of run r, in `/data/in/`."
    assert artifact.table_description(run(failed_count=9), [row("a")]) == "1 of 9 failed files of run r."


def test_a_cancelled_run_says_so_once():
    fields = {"status": "aborted", "reason": _reason("cancelled", "Flow run was cancelled."), "total_files": 3}
    text = artifact.markdown(run(**fields, success_count=3, error_message="Flow run was cancelled."), [], "/h")
    assert text.lower().count("cancelled") == 1
    assert "100 % of the files that it came to" in text
    assert _reason("cancelled", "by Ada") == "the flow run was cancelled: by Ada"


def test_hostile_names_are_text():
    name = "a`b|c\n# head <script>alert(1)</script> [x](javascript:1)"
    text = artifact.markdown(run(status="failed", total_files=1, failed_count=1), [row(name, message=name)], "/h|`x")
    assert "\n# head" not in text
    assert "<script>" not in text.replace("`` ", "").split("**ValueError**")[1]
    assert "\\[x\\](javascript:1)" in text


def test_it_stays_small():
    rows = [row(f"/data/{n}/" + "x" * 5_000, message="y" * 10_000) for n in range(artifact.MAX_FAILED)]
    text = artifact.markdown(run(status="failed", total_files=99, failed_count=99), rows, "/h")
    assert len(text.encode()) < 30_000
