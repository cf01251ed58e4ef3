"""`trackrecord runs list` and `runs show`."""

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.tracking import RunTracker


def table(out):
    return [line.split("\t") for line in out.splitlines()]


def save(history, run_id, day, **fields):
    history.save_run_metadata(
        RunMetadata(run_id=run_id, started_at=datetime(2025, 1, day, 12, tzinfo=timezone.utc), **fields)
    )


def test_list_newest_first_with_the_whole_ids(trackrecord, tracked):
    first = tracked("extract", [("a", "success"), ("b", "failed"), ("c", "skipped")])
    second = tracked("report")
    done = trackrecord("runs", "list")
    heading, *rows = table(done.out)
    assert done.code == 0
    assert heading == ["run", "started", "command", "status", "files", "failed", "skipped", "took"]
    assert [r[0] for r in rows] == [second, first]
    assert rows[1][2:7] == ["extract", "partial_success", "3", "1", "1"]
    assert done.err == ""


def test_list_filters(trackrecord, history):
    save(history, "one", 20, command="extract", status=RunStatus.SUCCESS)
    save(history, "two", 26, command="extract", status=RunStatus.FAILED)
    save(history, "three", 27, command="report", status=RunStatus.SUCCESS)

    def ids(*options):
        return [row[0] for row in table(trackrecord("runs", "list", *options).out)[1:]]

    assert ids() == ["three", "two", "one"]
    assert ids("--from", "2025-01-20", "--to", "2025-01-26") == ["two", "one"]
    assert ids("--from", "2025-01-27") == ["three"]
    assert ids("--command", "extract") == ["two", "one"]
    assert ids("--status", "failed") == ["two"]
    assert ids("--command", "extract", "--status", "success", "--to", "2025-01-25") == ["one"]


def test_list_limit_says_what_it_leaves_out(trackrecord, history):
    for day in range(1, 6):
        save(history, f"run-{day}", day, command="extract")
    done = trackrecord("runs", "list", "--limit", "2")
    assert [row[0] for row in table(done.out)[1:]] == ["run-5", "run-4"]
    assert done.err == "2 of 5 runs shown; --limit 0 shows all\n"
    assert len(table(trackrecord("runs", "list", "--limit", "0").out)) == 6


def test_list_json_has_every_field(trackrecord, tracked):
    run_id = tracked(target_date="2025-01-25")
    (run,) = json.loads(trackrecord("runs", "list", "--json").out)
    assert RunMetadata.model_validate(run).run_id == run_id
    assert run["target_date"] == "2025-01-25"


def test_list_of_nothing_says_where_it_looked(trackrecord, history):
    Path(history.url).mkdir()
    done = trackrecord("runs", "list")
    assert (done.code, done.err) == (0, f"no such runs in {history.url}\n")
    assert json.loads(trackrecord("runs", "list", "--json").out) == []


def test_damaged_documents_are_reported_by_key_and_the_rest_is_read(trackrecord, tracked, history):
    good = tracked()
    key = layout.run_key("broken", "2026/01/31")
    history.archive.store.put(key, b"{not json")
    done = trackrecord("runs", "list")
    assert done.code == 1
    assert [row[0] for row in table(done.out)[1:]] == [good]
    assert f"not read: {key}: " in done.err


def test_nothing_in_a_row_can_steer_a_terminal(trackrecord, tracked):
    run_id = tracked("ex\x1b[2Jtract", [("b\x1b]0;x\x07\t\n.wav", "failed")])
    for arguments in (("list",), ("show", run_id), ("show", run_id, "--failed")):
        done = trackrecord("runs", *arguments)
        assert "\x1b" not in done.out
        assert "\x07" not in done.out
    assert r"b\x1b]0;x\x07\t\n.wav" in done.out


def test_show(trackrecord, tracked, history):
    run_id = tracked("extract", [("a.wav", "success"), ("b.wav", "failed")], config_path="pipeline.yaml")
    done = trackrecord("runs", "show", run_id)
    assert done.code == 0
    lines = {tuple(line.split(maxsplit=1)) for line in done.out.splitlines() if len(line.split(maxsplit=1)) == 2}
    assert ("run", run_id) in lines
    assert ("status", "partial_success") in lines
    assert ("config", "pipeline.yaml") in lines
    assert ("files", "2: 1 success, 1 failed, 0 skipped") in lines
    assert "b.wav\tValueError\ttoo short" in done.out
    run = history.archive.run(run_id)
    assert f"{history.url}/{layout.files_key(run_id, layout.day_of(run.started_at))}" in done.out


def test_show_by_the_beginning_of_the_id(trackrecord, tracked):
    run_id = tracked()
    assert f"run          {run_id}\n" in trackrecord("runs", "show", run_id[:8]).out


def test_show_of_a_beginning_that_several_have(trackrecord, history):
    for name in ("abc1", "abc2"):
        save(history, name, 20)
    done = trackrecord("runs", "show", "abc")
    assert (done.code, done.out) == (2, "")
    assert "2 runs begin with abc: abc1, abc2; give more of the id" in done.err


@pytest.mark.parametrize("run_id", ["nope", "../../etc/passwd", "*"])
def test_show_of_a_run_that_there_is_none_of(trackrecord, tracked, run_id):
    tracked()
    done = trackrecord("runs", "show", run_id)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error TR301: no run ")


def test_show_failed(trackrecord, tracked):
    run_id = tracked(files=[(f"{n}.wav", "failed" if n % 2 else "success") for n in range(60)])
    short = trackrecord("runs", "show", run_id).out
    assert "failed files (30)" in short
    assert f"... and 10 more: trackrecord runs show {run_id[:8]} --failed" in short
    assert len(table(trackrecord("runs", "show", run_id, "--failed").out)) == 31
    found = json.loads(trackrecord("runs", "show", run_id, "--failed", "--json").out)
    assert len(found["files"]) == 30
    assert {f["status"] for f in found["files"]} == {"failed"}


def test_show_emails_that_were_not_sent(trackrecord, history):
    with RunTracker("report", storage=history) as tracker:
        tracker.record_email_results(
            {"sent": [{"email": "a@b.com"}], "failed": [{"email": "c@d.com", "error": "mailbox full"}]}
        )
    done = trackrecord("runs", "show", tracker.run_id)
    assert "1 sent, 1 failed, 0 skipped" in done.out
    assert "c@d.com\tfailed\tmailbox full" in done.out
    assert "a@b.com" not in done.out
    assert len(json.loads(trackrecord("runs", "show", tracker.run_id, "--json").out)["emails"]) == 2


def test_show_of_a_run_whose_rows_are_damaged(trackrecord, tracked, history):
    run_id = tracked()
    run = history.archive.run(run_id)
    key = layout.files_key(run_id, layout.day_of(run.started_at))
    history.archive.store.put(key, b"[{]")
    done = trackrecord("runs", "show", run_id)
    assert done.code == 1
    assert f"not read: {key}: " in done.err
    assert run_id in done.out


def test_show_of_a_run_that_still_runs(trackrecord, history):
    tracker = RunTracker("extract", storage=history).start()
    try:
        tracker.track_file("a.wav")
        done = trackrecord("runs", "show", tracker.run_id)
        assert done.code == 0
        assert "status       running" in done.out
    finally:
        tracker.complete()


def test_reading_commands_track_nothing(trackrecord, tracked, history, monkeypatch):
    from prefect_trackrecord import settings

    monkeypatch.setenv("TRACKING_PATH", history.url)
    settings.current.cache_clear()
    run_id = tracked()
    trackrecord("runs", "list", storage=False)
    trackrecord("runs", "show", run_id, storage=False)
    assert [r.run_id for r in history.list_runs()] == [run_id]
