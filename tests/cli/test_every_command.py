"""What every command has: help with an example, its exit codes in the documentation, and JSON.

That is strict JSON and nothing else on standard output, which an error leaves empty.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from prefect_trackrecord.documents import layout
from prefect_trackrecord.record import RecordStatus, Status, ThoughtfulRecord
from prefect_trackrecord.tracking import RunTracker

ROOT = Path(__file__).parents[2]


def commands():
    from prefect_trackrecord.cli import app
    from prefect_trackrecord.cli.root import app as root

    assert app

    def below(names, group):
        for name in sorted(n for n in group if not n.startswith("-")):
            inner = group[name]
            if [n for n in inner if not n.startswith("-")]:
                yield from below((*names, name), inner)
            else:
                yield (*names, name), inner

    return list(below((), root))


TAKING_JSON = [words for words, _ in commands()]
MAIL = "title: Calls\nwindow: today\nrecipients: [{name: Ops, email: ops@example.com}]\n"
GIVEN = {
    ("delivery-report",): ("--config", "report.yaml"),
    ("demo",): ("--output", "demo"),
    ("export",): ("--folder", "lake"),
    ("import-runs",): ("--from", "2025-01-01"),
    ("init",): ("project",),
    ("prune",): ("--older-than", "1d"),
    ("records", "pack"): ("RUN",),
    ("records", "report"): ("RUN",),
    ("records", "show"): ("INV-1",),
    ("retry",): ("RUN",),
    ("runs", "open"): ("RUN",),
    ("runs", "show"): ("RUN",),
    ("sql",): ("select 'NaN'::double a, 'Infinity'::double b",),
}
"""What a command must be given; `RUN` is the run's id."""
WITHOUT_STORAGE = {("demo",), ("init",)}
NOT_HERE = {("import-runs",): "no Prefect API is configured"}


class Invoice(ThoughtfulRecord):
    state: RecordStatus = Status.PENDING


@pytest.fixture
def run_id(history, tmp_path):
    """A run with a file and a record, one that somebody else wrote, with numbers that are none, and a configuration."""
    (tmp_path / "report.yaml").write_text(MAIL)
    with RunTracker("extract", storage=history) as tracker:
        tracker.track_file("a.csv", "success")
        Invoice(id="INV-1").log_trace("Read")
    run = history.archive.run(tracker.run_id)
    text = run.model_copy(update={"run_id": "foreign"}).model_dump_json()
    body = {**json.loads(text), "metrics": {"rows": float("nan"), "most": float("inf")}}
    key = layout.run_key("foreign", layout.day_of(run.started_at))
    history.archive.store.put(key, json.dumps(body).encode())
    return tracker.run_id


@pytest.mark.parametrize(("words", "command"), commands(), ids=lambda x: " ".join(x) if isinstance(x, tuple) else "")
def test_every_command_has_an_example_json_and_a_place_in_the_docs(words, command, trackrecord):
    text = trackrecord(*words, "--help", storage=False).out
    name = f"trackrecord {' '.join(words)}"
    assert f"Example:\n  {name} " in text, "an example of its own, first of all"
    assert "--json" in text
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text()
    assert f"\n## {name}\n" in page, "docs/reference/command-line.md: run `make reference`"


def strict(text):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def call(trackrecord, words, run_id, *more):
    given = [run_id if word == "RUN" else word for word in GIVEN.get(words, ())]
    return trackrecord(
        *words, *given, "--json", *more, storage=words not in WITHOUT_STORAGE and "--storage" not in more
    )


@pytest.mark.parametrize("words", TAKING_JSON, ids=" ".join)
def test_a_result_is_strict_json_and_nothing_else(trackrecord, run_id, words, monkeypatch):
    if words in {("sql",), ("export",)}:
        pytest.importorskip("duckdb")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    done = call(trackrecord, words, run_id)
    if words in NOT_HERE and done.code:  # another test's Prefect may answer in this process
        assert (done.code, done.out) == (1, "")
        assert NOT_HERE[words] in done.err
        return
    assert done.code == 0, done.err
    found = strict(done.out)
    if words == ("runs", "list"):
        assert next(run for run in found if run["run_id"] == "foreign")["metrics"] == {"rows": None, "most": None}
    if words == ("sql",):
        assert found == [{"a": None, "b": None}]


@pytest.mark.parametrize("words", TAKING_JSON, ids=" ".join)
def test_a_wrong_call_leaves_standard_output_empty(trackrecord, run_id, words):
    done = call(trackrecord, words, run_id, "--nope")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")


WRONG = {("demo",): ("--output", "."), ("init",): ("report.yaml",)}


@pytest.mark.parametrize("words", [words for words in TAKING_JSON if words != ("doctor",)], ids=" ".join)
def test_an_error_leaves_standard_output_empty(trackrecord, run_id, words):
    """A storage that can't be; what takes none gets a folder that can't be. For `doctor` that is a finding."""
    if words in WRONG:
        done = trackrecord(*words, *WRONG[words], "--json", storage=False)
    else:
        done = call(trackrecord, words, run_id, "--storage", "nosuch://bucket/x")
    assert (done.code, done.out) == (2, ""), done.err
    assert re.match(r"error TR\d{3}: ", done.err)


@pytest.mark.parametrize(
    "words", [("runs", "show"), ("runs", "open"), ("retry",), ("records", "pack"), ("records", "report")], ids=" ".join
)
def test_a_run_that_is_not_there(trackrecord, run_id, words):
    done = call(trackrecord, words, "zzz")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error TR301: ")


def test_a_record_that_is_not_there(trackrecord, run_id):
    done = trackrecord("records", "show", "INV-2", "--json")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error TR304: no record 'INV-2' in ")


def test_a_letter_that_the_output_can_not_show_is_escaped_as_json_does(program, history, tracked):
    tracked(files=[("größe-日本-😀.wav", "failed")])
    done = program("files", "failed", "--json", "--storage", history.url, PYTHONIOENCODING="ascii")
    assert [row["file_path"] for row in strict(done.stdout)] == ["größe-日本-😀.wav"]


def test_the_page_says_of_each_command_what_its_exit_codes_mean():
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text()
    named = re.findall(r"^\| `([a-z -]+)` \|", page.partition("## trackrecord\n")[0], re.MULTILINE)
    assert named == [" ".join(words) for words in TAKING_JSON]


def test_doctor_removes_what_it_tried_the_storage_with(trackrecord, history, tracked, monkeypatch):
    tracked()
    before = [entry.key for entry in history.archive.store.list("")]
    monkeypatch.setattr("prefect_trackrecord.cli.checking_storage._swap", interrupted)
    assert trackrecord("doctor").code == 130
    assert [entry.key for entry in history.archive.store.list("")] == before


def interrupted(*_):
    raise KeyboardInterrupt
