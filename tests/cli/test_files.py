"""`files failed` and `demo`."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from prefect_trackrecord.documents import layout
from prefect_trackrecord.tracking import FileProcessingLog, RunMetadata
from prefect_trackrecord.tracking.failed import mended as standing


def test_failed_files_of_the_newest_run_first(trackrecord, tracked):
    old = tracked("old", files=[("a.wav", "failed"), ("b.wav", "success")])
    new = tracked("new", files=[("c.wav", "failed"), ("d\x1b[31m.wav", "failed")])
    done = trackrecord("files", "failed")
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert rows[0] == ["run", "command", "file", "error", "message", "fixed by"]
    assert [(row[0], row[2]) for row in rows[1:]] == [(new, "c.wav"), (new, r"d\x1b[31m.wav"), (old, "a.wav")]
    assert rows[1][3:] == ["ValueError", "too short", ""]
    found = json.loads(trackrecord("files", "failed", "--command", "old", "--json").out)
    assert [(row["file_path"], row["command"]) for row in found] == [("a.wav", "old")]


@pytest.fixture
def mended(tracked, history):
    """A run with two failed files, two runs that were started again for them, and one that was cut short."""

    def again(of, files):
        run_id = tracked(files=files)
        run = history.archive.run(run_id)
        history.save_run_metadata(run.model_copy(update={"retry_of": of}))
        return run_id

    first = tracked(files=[("a", "failed"), ("b", "failed"), ("c", "success")])
    second = again(first, [("a", "success"), ("b", "failed")])
    cut = again(second, [("b", "skipped")])
    third = again(first, [("b", "success")])
    return first, second, cut, third


def test_files_that_were_fixed_since_say_by_which_run(trackrecord, mended, tracked):
    first, second, _, third = mended
    by = {(row[0], row[2]): row[5] for row in (x.split("\t") for x in trackrecord("files", "failed").out.splitlines())}
    by.pop(("run", "file"))
    assert by == {(second, "b"): third, (first, "a"): second, (first, "b"): third}
    assert json.loads(trackrecord("files", "failed", "--still", "--json").out) == []
    other = tracked(files=[("b", "failed"), ("d", "success")])
    found = json.loads(trackrecord("files", "failed", "--still", "--json").out)
    assert [(row["run_id"], row["file_path"], row["fixed_by"]) for row in found] == [(other, "b", None)]
    shown = trackrecord("runs", "show", first).out
    assert "failed files (2, 2 fixed since)" in shown
    assert f"a\tValueError\ttoo short\t{second}\n" in shown
    assert f"b\tValueError\ttoo short\t{third}\n" in trackrecord("runs", "show", first, "--failed").out
    rows = json.loads(trackrecord("runs", "show", first, "--json").out)["files"]
    assert {row["file_path"]: row.get("fixed_by") for row in rows} == {"a": second, "b": third, "c": None}


def test_what_a_retry_only_skipped_or_failed_again_is_not_fixed(tracked, history):
    first = tracked(files=[("a", "failed"), ("b", "failed"), ("c", "failed")])
    for files in ([("a", "success"), ("b", "skipped")], [("a", "failed"), ("c", "success")]):
        run = history.archive.run(tracked(files=files))
        history.save_run_metadata(run.model_copy(update={"retry_of": first}))
    found = standing(history.archive.run(first), history.archive)
    assert [row.file_path for row in found.still] == ["a", "b"]


def test_failed_files_are_counted_beyond_the_limit(trackrecord, tracked):
    tracked(files=[(f"{n}.wav", "failed") for n in range(5)])
    done = trackrecord("files", "failed", "--limit", 2)
    assert (len(done.out.splitlines()), "2 of 5 failed files shown" in done.err) == (3, True)
    assert len(trackrecord("files", "failed", "--limit", 0).out.splitlines()) == 6
    assert trackrecord("files", "failed", "--limit", -1).code == 2


def test_failed_files_of_the_last_week_unless_days_are_given(trackrecord, history):
    at = datetime.now(timezone.utc) - timedelta(days=9)
    history.save_run_metadata(RunMetadata(run_id="r", command="x", started_at=at, status="failed", failed_count=1))
    history.save_file_logs([FileProcessingLog(run_id="r", file_path="a", status="failed")])
    assert "no failed file in 0 runs" in trackrecord("files", "failed").err
    assert "a\t" in trackrecord("files", "failed", "--from", str(at.date())).out


def test_a_damaged_log_is_told_and_the_others_are_read(trackrecord, tracked, history):
    run_id = tracked(files=[("a", "failed")])
    tracked(files=[("b", "failed")])
    (path,) = (Path(history.url) / "file_logs").rglob(f"{run_id}_files.json")
    path.write_text("[{")
    done = trackrecord("files", "failed")
    assert (done.code, "\tb\t" in done.out, "not read: file_logs/" in done.err) == (1, True, True)


def test_the_demo(program, tmp_path):
    done = program("demo", "--output", "here", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["runs"]) == 2
    for name in ("history", "report", "mail", "records"):
        assert Path(found[name]).exists()
    report = Path(found["report"]).read_text()
    assert "broken_return.py" in report
    assert "reader@example.com" in Path(found["mail"]).read_text()
    assert {path.name for path in tmp_path.iterdir()} <= {"here", "prefect_home"}
    again = program("demo", "--output", "here")
    assert (again.returncode, "second run: partial_success" in again.stdout) == (0, True)


def test_the_demo_touches_nobodys_files(trackrecord, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("3 years")
    done = trackrecord("demo", "--output", tmp_path / "mine", storage=False)
    assert (done.code, [p.name for p in (tmp_path / "mine").iterdir()]) == (2, ["thesis.txt"])


def test_help_and_version_load_neither_models_nor_stores(program):
    for word in ("--help", "--version"):
        done = program(word, python=("-X", "importtime"))
        loaded = {line.rsplit("|", 1)[-1].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}
        assert ("cyclopts" in loaded) == (word == "--help")
        assert not loaded & {"prefect", "fsspec", "jinja2", "pydantic", "sqlalchemy"}, word


def test_a_path_with_a_line_break_is_one_line_of_a_retry(trackrecord, tracked, monkeypatch):
    from prefect_trackrecord._prefect import retrying

    made = retrying.Retried(None, None, "flow/deployment", "paths", ["new\nline.wav"])
    monkeypatch.setattr(retrying, "retry", lambda *_, **__: made)
    done = trackrecord("retry", tracked(files=[("new\nline.wav", "failed")]), "--dry-run")
    assert (done.code, done.out) == (0, "new\\nline.wav\n")


def test_paths_alone_each_once_as_they_are(program, history, tracked):
    """The newest failure of each, however many there are, and whatever is in its name."""
    odd = ["with space.wav", 'it\'s "quoted".wav', "new\nline.wav", "größe.wav"]
    tracked(files=[(path, "failed") for path in odd])
    many = [f"{n}.wav" for n in range(60)]
    tracked(files=[(path, "failed") for path in (*many, odd[0])])
    place = ("--storage", history.url)
    done = program("files", "failed", "--null", *place)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\0") == [*many, *odd, ""]
    assert program("files", "failed", "-0", *place).stdout == done.stdout
    lines = program("files", "failed", "--paths", *place).stdout.splitlines()
    assert lines == [*many, odd[0], odd[1], r"new\nline.wav", odd[3]]
    limited = program("files", "failed", "--paths", "--limit", "62", *place).stdout.splitlines()
    assert limited == lines[:62]
    both = program("files", "failed", "--paths", "--json", *place)
    assert (both.returncode, both.stdout) == (2, "")


@pytest.mark.parametrize(("how", "end"), [("--paths", "\n"), ("-0", "\0")])
def test_paths_that_are_masked_are_not_handed_over(program, tracked, history, how, end):
    """A program would look for a file of that name."""
    tracked(files=[("https://x/a?token=k3yk3yk3y1", "failed"), ("b.wav", "failed")])
    assert "token=********" in program("files", "failed", "--storage", history.url).stdout
    done = program("files", "failed", how, "--storage", history.url)
    assert (done.returncode, done.stdout) == (1, f"b.wav{end}")
    assert done.stderr.startswith("left out: 1 path in which the history masks a secret; `trackrecord retry")
    tracked(files=[("https://x/b?token=k3yk3yk3y1", "failed")])
    done = program("files", "failed", how, "--command", "extract", "--storage", history.url)
    assert (done.returncode, done.stdout, done.stderr.startswith("left out: 2 paths")) == (1, f"b.wav{end}", True)
    assert "no failed file" not in done.stderr


def test_a_program_gets_all_and_a_terminal_fifty(terminal, trackrecord, tracked, history):
    tracked(files=[(f"{n}.wav", "failed") for n in range(60)])
    assert len(json.loads(trackrecord("files", "failed", "--json").out)) == 60
    assert len(trackrecord("files", "failed").out.splitlines()) == 61
    assert len(json.loads(trackrecord("files", "failed", "--json", "--limit", "7").out)) == 7
    _, text = terminal("files", "failed", "--storage", history.url)
    assert "50 of 60 failed files shown; --limit 0 shows all" in text
    code, text = terminal("files", "failed", "--json", "--storage", history.url)
    assert (code, text.count('"file_path"')) == (0, 60)


def test_a_program_gets_all_runs_too(trackrecord, tracked, history, terminal):
    run = history.archive.run(tracked())
    for n in range(59):
        other = run.model_copy(update={"run_id": f"run-{n}"})
        key = layout.run_key(other.run_id, layout.day_of(run.started_at))
        history.archive.store.put(key, other.model_dump_json().encode())
    assert len(json.loads(trackrecord("runs", "list", "--json").out)) == 60
    assert len(trackrecord("runs", "list").out.splitlines()) == 61
    _, text = terminal("runs", "list", "--storage", history.url)
    assert "50 of 60 runs shown; --limit 0 shows all" in text
