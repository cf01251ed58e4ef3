"""What a task's options take from its call: parameters, constants, callables, futures, odd values."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect import flow, task
from prefect.utilities.annotations import quote, unmapped

from prefect_trackrecord import param, track

pytestmark = pytest.mark.prefect


def rows_of(only_run, *calls):
    """Run a flow that makes the calls; gives the rows by path."""

    @track
    @flow
    def nightly():
        for call in calls:
            call()

    nightly()
    return only_run()


def test_strings(only_run):
    @track(file="path", file_type="kind", agent_id="A7", output="target")
    @task
    def one(path, kind, target=None):
        return 1

    _, rows = rows_of(only_run, lambda: one(Path("in") / "a.wav", "audio", target="out/a.txt"))
    row = rows["in/a.wav"]
    assert (row.file_type, row.agent_id, row.output_path) == ("audio", "A7", "out/a.txt")


def test_param_and_callables(only_run):
    @track(
        file=lambda path, n: f"{path}-{n}",
        file_type=param("kind"),
        agent_id=lambda **given: ",".join(sorted(given)),
        output=lambda path: Path(path).with_suffix(".txt"),
    )
    @task
    def one(path, n=2, kind="k"):
        return 1

    _, rows = rows_of(only_run, lambda: one("a.wav"))
    row = rows["a.wav-2"]
    assert (row.file_type, row.agent_id, row.output_path) == ("k", "kind,n,path", "a.txt")


def test_a_callable_that_raises_is_counted_and_the_task_goes_on(only_run):
    @track(file=lambda path: path.nothing)
    @task
    def one(path):
        return "done"

    run, rows = rows_of(only_run, lambda: one("a"))
    (row,) = rows.values()
    assert (row.status.value, row.file_path) == ("success", row.task_run_name)
    ((cause, count),) = run.tracking_errors.items()
    assert count == 1
    assert "file= of task one raised: AttributeError" in cause


def test_futures_and_annotations_are_resolved(only_run):
    @task
    def make(name):
        return f"{name}.wav"

    @track(file="path", output="return")
    @task(cache_key_fn=lambda _, given: f"resolved-{given['path']}")
    def one(path, options=None):
        return path + ".out"

    def calls():
        first = make.submit("a")
        one.submit(first).wait()
        one.submit(make.submit("a")).wait()
        one.map(make.map(["b", "c"]), options=unmapped({"x": 1})).wait()
        one(quote("d"))

    run, rows = rows_of(only_run, calls)
    assert {path: row.status.value for path, row in rows.items() if path != "a.wav"} == {
        "b.wav": "success",
        "c.wav": "success",
        "d": "success",
    }
    assert run.total_files == 5
    assert rows["a.wav"].output_path == "a.wav.out"


def test_values_that_are_no_text(only_run):
    class Odd:
        def __repr__(self):
            raise ValueError("no repr")

    @track(file="path", output="return")
    @task
    def one(path):
        return {"a": 1}

    run, rows = rows_of(only_run, lambda: one(Odd()), lambda: one(b"bytes.wav"), lambda: one("lone \udcff surrogate"))
    assert run.total_files == 3
    assert "bytes.wav" in rows
    assert any(path.startswith("<Odd, repr() raised") for path in rows)
    assert {row.output_path for row in rows.values()} == {"{'a': 1}"}


def test_passwords_in_urls_are_masked(only_run):
    @track(file="url")
    @task
    def one(url):
        raise OSError(f"no answer from {url}")

    def call():
        one("sftp://joe:hunter2@host/in.wav", return_state=True)

    run, rows = rows_of(only_run, call)
    text = run.model_dump_json() + "".join(r.model_dump_json() for r in rows.values())
    assert "sftp://joe:********@host/in.wav" in rows
    assert "hunter2" not in text
