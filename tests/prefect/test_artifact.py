"""The artifact's text: what it says, how it is cut, and that nothing in it is taken for markup."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone

import pytest

from prefect_trackrecord._prefect import artifact, artifact_keys, artifact_story, artifact_table
from prefect_trackrecord._prefect.artifact_links import Links
from prefect_trackrecord._prefect.artifact_markdown import MAX_PATH, code, escape
from prefect_trackrecord._prefect.capture import _reason
from prefect_trackrecord._prefect.showing import Place
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import FailedTask, FileProcessingLog, RunMetadata
from prefect_trackrecord.documents.rollup import roll_up
from prefect_trackrecord.documents.task_counts import in_words
from prefect_trackrecord.pages.words import middle
from prefect_trackrecord.settings import Settings
from prefect_trackrecord.store import open_store
from prefect_trackrecord.tracking.failed import Mended

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


def run(**fields) -> RunMetadata:
    return RunMetadata(**{"run_id": "r", "command": "c", "started_at": NOW, **fields})


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
    assert [one["file"] for one in json.loads(artifact_table.table(rows))] == ["a.wav", "deep/b.wav"]
    assert [one["file"] for one in json.loads(artifact_table.table(rows[:1]))] == ["a.wav"]
    assert [one["file"] for one in json.loads(artifact_table.table([row("a.wav")]))] == ["a.wav"]
    assert artifact_table.table_description(run(failed_count=2), rows) == "2 failed files of run r, in `/data/in/`."
    assert artifact_table.table_description(run(failed_count=9), [row("a")]) == "1 of 9 failed files of run r."


def test_the_failures_table_has_whole_paths_and_the_task_runs_pages():
    path = "/data/in/" + "long " * 20 + "name.csv"
    rows = [row(path, task_run_id="t-1"), row("/data/in/b.csv"), row("/x" * 900 + "/end.csv")]
    cut, plain, longest = json.loads(artifact_table.table(rows, Links(ui="http://ui/")))
    assert (cut["file"], cut["path"]) == (middle(path, 40), path)
    assert (cut["task run page"], plain["task run page"]) == ("http://ui/runs/task-run/t-1", "")
    assert (longest["path"].endswith("/end.csv"), len(longest["path"])) == (True, 1_000)
    for links in (None, Links(), Links(ui="no address")):
        assert json.loads(artifact_table.table(rows, links))[0]["task run id"] == "t-1"
    assert len(json.loads(artifact_table.table([row("a")] * 400))) == 300


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


def test_task_runs_that_were_killed_did_not_succeed():
    counts = {"Running": 9, "Pending": 2, "Completed": 3, "Odd": 1, "TimedOut": 1, "Cached": 4}
    killed = run(status="aborted", total_files=12, failed_count=12, task_counts=counts)
    text = artifact.markdown(killed, [], "/h")
    assert "|  | succeeded | failed | skipped | not ended | in all |" in text
    assert "| files | 0 | 12 | 0 |  | 12 |" in text
    assert "| task runs | 4 | 1 | 4 | 11 | 20 |" in text
    assert "9 not ended (Running), 2 not ended (Pending), 3 Completed" in in_words(killed)
    assert "9 Running, 2 Pending" in in_words(run(status="running", task_counts=counts))


def test_a_bad_state_with_a_name_of_its_own_is_no_success():
    tasks = [FailedTask(name="t", state="Refused"), FailedTask(name="u", state="Cancelling")]
    counts = {"Refused": 3, "Cancelling": 1, "Completed": 1}
    assert "| task runs | 1 | 3 | 0 | 1 | 5 |" in artifact.markdown(
        run(task_counts=counts, failed_tasks=tasks), [], "/h"
    )


def test_commands_work_in_any_folder():
    failed = run(status="failed", total_files=1, failed_count=1, items_parameter="paths", deployment_id="d")
    text = artifact.markdown(failed, [], "/my history", Links(storage="/my history"))
    assert "trackrecord runs show r --storage '/my history'\ntrackrecord retry r --storage '/my history'\n" in text
    assert "--storage" not in artifact.markdown(failed, [], "/h", Links())


@pytest.mark.parametrize(
    ("one", "other"),
    [("日本語", "Отчёт"), ("a 日本", "a 本日"), ("x" * 300, "x" * 301), ("...", "!!!"), ("🙂", "🙃")],
)
def test_two_flows_have_two_keys(one, other):
    keys = {artifact_keys.key(run(flow_name=name)) for name in (one, other)}
    assert len(keys) == 2
    assert all(len(found) <= 200 and found.replace("-", "").isalnum() and found.isascii() for found in keys)


def test_a_key_reads_as_its_flow():
    assert artifact_keys.key(run(flow_name="Nightly (all)")) == "trackrecord-nightly-all"
    assert artifact_keys.key(run(flow_name="Übergröße Rechnung №5")) == "trackrecord-ubergrosse-rechnung-no5"
    assert artifact_keys.slug("delivery-report", "Søren's") == "delivery-report-soren-s"


@pytest.mark.parametrize("kind", ["run", "failures", "file", "pictures"])
def test_the_keys_of_one_flow_are_none_of_anothers(kind):
    assert artifact_keys.key(run(flow_name=f"{kind} x")) != artifact_keys.slug(f"trackrecord-{kind}", "x")
    other = run(flow_name="x")
    assert artifact_keys.kind_key("file", other) == "trackrecord-file-x"


def test_the_description_begins_with_the_verdict():
    about = artifact.description(run(status="partial_success", flow_run_name="gray-fox", total_files=3, failed_count=1))
    assert about.startswith("⚠️ partial success: gray-fox, 3 files (")


def row_of(id_: str, *, minutes: int = 0, **fields):
    """A run's summary as the API gives it."""
    made = run(run_id=id_, flow_run_name=f"fox-{id_}", started_at=NOW + timedelta(minutes=minutes), **fields)
    text = artifact.markdown(made, [], "/h")
    return {"id": id_, "flow_run_id": id_, "data": text, "metadata_": artifact_story.metadata(made)}


def test_the_runs_before_are_told():
    rows = [row_of(str(n), minutes=n, status="failed", total_files=9, failed_count=n % 7) for n in range(30, 0, -1)]
    rows[3:3] = [{**rows[1], "metadata_": None}, rows[3], {"flow_run_id": "x", "metadata_": {"host": "{}"}}]
    this = run(run_id="25", started_at=NOW + timedelta(minutes=25))
    found = artifact_story.runs_before(this, rows)
    assert [one.run_id for one in found] == [str(n) for n in range(24, 14, -1)]
    text = artifact.markdown(this, [], "/h", Links(ui="http://ui"), before=found)
    assert "| [fox-24](http://ui/runs/flow-run/24) | ❌ failed | 3 of 9 | 2026-01-02 00:24 |" in text
    assert "The runs before" not in artifact.markdown(this, [], "/h")


def test_a_retry_says_what_it_tries_again():
    again = run(retry_of="first", total_files=7, failed_count=1, success_count=6)
    (first,) = filter(None, [artifact_story.told(row_of("first", total_files=9, failed_count=2))])
    mended = Mended([row("a"), row("b"), row("c")], {"a": "r", "c": "another"})
    text = artifact.markdown(again, [], "/h", Links(ui="http://ui"), first=first, mended=mended)
    assert "Retry of [fox-first](http://ui/runs/flow-run/first): 1 of 2 files came through now." in text
    assert "Retry of first.\n" in artifact.markdown(again, [], "/h")


def test_a_run_that_was_tried_again_says_so():
    first = row_of("first", status="failed", total_files=9, failed_count=2)
    one = run(run_id="one", flow_run_name="owl", retry_of="first", total_files=2, success_count=1, skipped_count=1)
    two = run(run_id="two", flow_run_name="elk", retry_of="first", total_files=1, success_count=1)
    links = Links(ui="http://ui")
    failed = [row("a"), row("b")]
    half = Mended(failed, {"a": "one"})
    text, known = artifact_story.with_retry(first, one, links, half)
    head = f"{first['data'].split(chr(10))[0]}\n\n**fox-first**: 9 files (0 succeeded, 2 failed, 0 skipped)\n\n"
    assert text.startswith(
        f"{head}**Tried again**: 1 of its 2 files came through\n- [owl](http://ui/runs/flow-run/one): 1\n\n"
    )
    changed = {**first, "data": text, "metadata_": known}
    assert artifact_story.with_retry(changed, one, links, half) == (text, known)  # told twice
    text, known = artifact_story.with_retry(changed, two, links, Mended(failed, {"a": "one", "b": "two"}))
    assert text.count("**Tried again**") == 0
    assert "✅ **Fixed since**: its 2 files came through when tried again\n- [owl]" in text
    assert "- [elk](http://ui/runs/flow-run/two): 1\n\n" in text
    assert text.endswith(first["data"][len(head) :])
    assert artifact_story.with_retry({**first, "metadata_": None}, one, links, half) is None


def test_names_stay_as_they_are():
    assert code("with | pipe") == "`with | pipe`"
    assert escape("a | b") == "a \\| b"
    (row_,) = json.loads(artifact_table.table([row("<b>&lt; 1<2 & 3.txt", message="</td>")]))
    assert row_["file"].replace("\u2060", "") == "<b>&lt; 1<2 & 3.txt"
    assert row_["file"].count("\u2060") == 2
    signs = "__init__.py", "# head", "- a", "1. b", "~~s~~", "*a*b*", "[x](y)", "\\_x_", "> q", "_a b_", "`tick"
    for name in signs:
        (row_,) = json.loads(artifact_table.table([row(name)]))
        parted = re.split("[\u2060\ufeff]+", row_["file"])
        assert "".join(parted) == name
        assert len(parted) > 1 or name == "`tick"
    (row_,) = json.loads(artifact_table.table([row("f", message="`tick` snake_case https://h/__a__?b=1&c=*d*")]))
    assert row_["message"] == "ˋtickˋ snake_case https://h/__a__?b=1&c=*d*"
    assert "</" not in row_["message"]


def test_urls_stay_as_they_are():
    """Both pages make links of them by themselves, backslashes included; one makes `&amp;` of `&`."""
    assert escape("see https://h/a_b#c_d, (http://h/p_q).") == "see <https://h/a_b#c_d>, (<http://h/p_q>)."
    assert escape("'https://h/a?b=1&c_=2': no_") == "'`https://h/a?b=1&c_=2`': no\\_"
    assert escape("www.h_i.com/j_k! to a_b@h.com.") == "`www.h_i.com/j_k`\\! to <a_b@h.com>."
    assert escape(f"https://h/{'long_' * 30}end").startswith("`https://h/long_")


def test_a_text_that_begins_like_a_list_is_none():
    assert [escape(text) for text in ("- a", "+ b", "1. c", "2) d", "-e", "1.5", "===")] == [
        *("\\- a", "\\+ b", "1\\. c", "2\\) d", "-e", "1.5", "\\==="),
    ]


def test_the_description_of_a_file_is_text():
    """Both pages show it as markdown."""
    about = artifact.file_description(row("<b>__init__</b>.py"))
    assert about == "ValueError: \\<b\\>\\_\\_init\\_\\_\\</b\\>.py"


def test_long_names_leave_room_for_the_error():
    (found,) = json.loads(artifact_table.table([row("start-" + "x" * 300 + "-end.wav")]))
    assert len(found["file"]) == artifact_table.MAX_NAME
    assert found["file"].startswith("start-")
    assert found["file"].endswith("-end.wav")
    assert max(map(len, escape(f"before {'y' * 300} after").split())) == MAX_PATH


def errors(*messages: str, paths: str = "f"):
    rows = [row(f"{paths}{n}", message=message) for n, message in enumerate(messages)]
    dicts = [{**one.model_dump(), "status": "failed", "error_fingerprint": "e"} for one in rows]
    failed = [one.model_copy(update={"error_fingerprint": "e"}) for one in rows]
    return run(status="failed", total_files=9, failed_count=len(rows), rollup=roll_up(dicts)), failed


def test_equal_errors_are_told_in_their_own_words():
    text = artifact.markdown(*errors("no customer '4711'", "no customer '4711'"), "/h")
    assert "- **2 × ValueError** no customer '4711'\n  (first: `f0`)" in text


def test_errors_that_differ_are_told_by_what_they_share():
    text = artifact.markdown(*errors("no customer '4711'", "no customer '4712'"), "/h")
    assert "- **2 × ValueError** no customer \\<text\\>\n  (first: `f0`)" in text


def test_errors_that_share_nothing_have_an_example():
    made, failed = errors("'4711'", "'4712'")
    assert "- **2 × ValueError** such as: '4711'\n  (first: `f0`)" in artifact.markdown(made, failed, "/h")
    assert "such as: '4711'" in artifact.markdown(made, [], "/h")


def test_a_crash_is_said_once():
    why = "Process exited with status code: -9"
    crash = run(status="aborted", error_type="Crashed", error_message=why, reason=f"the flow run was stopped: {why}")
    text = artifact.markdown(crash, [], "/h")
    assert text.count(why) == 1
    assert "**Crashed**: Process exited" in text
    other = run(status="aborted", error_type="Crashed", error_message=why, reason="recovered: its process died")
    assert "Recovered: its process died" in artifact.markdown(other, [], "/h")


def test_a_task_run_that_was_stopped_after_its_file_came_through_is_explained():
    tasks = [FailedTask(task_run_id="t", name="work-1", state="Crashed")]
    fields = {"total_files": 1, "success_count": 1, "failed_tasks": tasks, "task_counts": {"Crashed": 1}}
    words = "may have brought its file through just before"
    assert words in artifact.markdown(run(status="aborted", **fields), [], "/h")
    assert words not in artifact.markdown(run(status="failed", **fields), [], "/h")


def test_progress_says_when_and_how_far():
    text = artifact.live({"success": 2, "failed": 1}, "f", "gray-fox", now=NOW, expected=6)
    assert "**gray-fox** goes on, as of 2026-01-02 00:00:00 UTC." in text
    assert "`████████████░░░░░░░░░░░░` 50 %: 3 of 6 files have ended" in text
    assert "have ended" not in artifact.live({"success": 2}, None, None, now=NOW)
    assert "have ended" not in artifact.live({"success": 2}, None, None, now=NOW, expected=1)  # it was wrong


def place(url: str, tmp_path, name: str | None = None) -> Place:
    archive = Archive(open_store(url), Settings.from_env({"PREFECT_HOME": str(tmp_path / "home")}), name=name)
    return Place(archive, archive.store.url, None, None)


def test_a_storage_is_named_where_a_command_would_not_find_it(tmp_path):
    default = str(tmp_path / "home" / "trackrecord" / "history")
    assert place(default, tmp_path).option is None
    assert place(str(tmp_path / "h"), tmp_path, name="h").option == str(tmp_path / "h")  # a folder of any name
    assert place("memory://x", tmp_path, name="trackrecord-storage/prod").option == "trackrecord-storage/prod"
