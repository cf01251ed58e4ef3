"""The case matrix: what each case (row) leaves in the documents, by task runner (column)."""

from __future__ import annotations

import asyncio

import pytest

from prefect_trackrecord.tracking import TrackingStorage

from .cases import make_async_flow, make_sync_flow

pytestmark = [pytest.mark.prefect, pytest.mark.xdist_group("matrix")]
COLUMNS = ("thread pool", "process pool", "async")


@pytest.fixture(scope="module")
def columns(prefect_api, tmp_path_factory):
    """Runs the flow of a column once; gives its run and its rows by path."""
    done = {}

    def run(column):
        if column not in done:
            done[column] = "failed"
            done[column] = _run(column, tmp_path_factory.mktemp(column.replace(" ", "-")))
        assert done[column] != "failed", "the column's flow failed before"
        return done[column]

    return run


def _run(column, folder):
    from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

    storage = TrackingStorage(base_path=folder / "history")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKING_PATH", str(folder / "history"))
        if column == "async":
            result = asyncio.run(make_async_flow(str(folder))())
        else:
            threads = column == "thread pool"
            runner = ThreadPoolTaskRunner() if threads else ProcessPoolTaskRunner(max_workers=2)
            # a SystemExit in Prefect's process pool hangs its flow; that case is in test_recovered.py
            result = make_sync_flow(str(folder), runner, exits=threads)()
    (run,) = storage.list_runs()
    rows = {}
    for row in storage.archive.files(run):
        rows.setdefault(row.file_path, []).append(row)
    return Column(column, run, rows, result)


class Column:
    """What a column's flow left."""

    def __init__(self, name, run, rows, result):
        self.name, self.run, self.rows, self.result = name, run, rows, result

    def only(self, path):
        (row,) = self.rows[path]
        return row


@pytest.fixture(params=COLUMNS)
def column(request, columns):
    return columns(request.param)


def test_the_flow_returns_what_it_returned_before(column):
    run = column.run
    assert column.result == 7
    assert (run.state, run.status.value, run.tracking_errors) == ("Completed", "partial_success", {})


def test_every_call_is_one_row_and_no_other(column):
    paths = {path: len(found) for path, found in column.rows.items() if not path.startswith("unnamed")}
    (never_ran,) = [path for path, (row, *_) in column.rows.items() if (row.reason or "").startswith("upstream")]
    assert paths.pop(never_ran) == 1
    if column.name == "process pool":
        paths["exits"] = 1
    assert paths == {
        "ok-submit": 1,
        "ok-direct": 1,
        "ok-map-1": 1,
        "ok-map-2": 1,
        "fails": 1,
        "flaky": 1,
        "exhausted": 1,
        "cached": 2,
        "skipped": 1,
        "failed-state": 1,
        "failed-state-exception": 1,
        "slow": 1,
        "numbers": 1,
        "numbers-break": 1,
        "bad-numbers": 1,
        "exits": 1,
        "inside": 1,
        "inside/part": 1,
    }


@pytest.mark.parametrize("path", ["ok-direct", "ok-submit", "ok-map-1", "ok-map-2"])
def test_success(column, path):
    row = column.only(path)
    assert (row.status.value, row.file_type, row.agent_id, row.output_path) == ("success", "audio", "ok", f"{path}.out")
    assert (row.error_type, row.error_message, row.traceback, row.reason) == (None, None, None, None)
    assert (row.task_name, len(row.attempts), row.attempts[0].status) == ("ok", 1, "success")
    assert row.task_run_id
    assert row.task_run_name.startswith("ok-")
    assert row.started_at <= row.ended_at
    assert row.processing_time_ms is not None


def test_failure(column):
    row = column.only("fails")
    assert (row.status.value, row.error_type, row.error_message) == ("failed", "ValueError", "can't read fails")
    assert [(a.number, a.status, a.error_type) for a in row.attempts] == [(1, "failed", "ValueError")]
    assert row.traceback.rstrip().endswith("ValueError: can't read fails")
    assert "in fails" in row.traceback
    assert "task_engine.py" not in row.traceback
    assert row.error_fingerprint
    assert row.output_path is None


def test_retries_until_it_succeeds(column):
    row = column.only("flaky")
    assert row.status.value == "success"
    assert [(a.number, a.status, a.error_type, a.error_message) for a in row.attempts] == [
        (1, "failed", "OSError", "try 1"),
        (2, "failed", "OSError", "try 2"),
        (3, "success", None, None),
    ]
    assert row.started_at == row.attempts[0].started_at


def test_retries_exhausted(column):
    row = column.only("exhausted")
    assert (row.status.value, row.error_message) == ("failed", "can't read exhausted")
    assert [a.status for a in row.attempts] == ["failed", "failed"]


def test_cached_is_skipped(column):
    first, second = sorted(column.rows["cached"], key=lambda r: r.started_at)
    assert (first.status.value, first.reason) == ("success", None)
    assert (second.status.value, second.reason, second.attempts) == ("skipped", "cached", [])


def test_returned_skipped_state(column):
    row = column.only("skipped")
    assert (row.status.value, row.reason, row.error_type) == ("skipped", "empty file", None)
    assert [a.status for a in row.attempts] == ["skipped"]


def test_returned_failed_state(column):
    row = column.only("failed-state")
    assert (row.status.value, row.error_type, row.error_message) == ("failed", "Failed", "found nothing in it")
    assert [a.status for a in row.attempts] == ["failed"]


def test_returned_failed_state_with_an_exception(column):
    row = column.only("failed-state-exception")
    assert (row.status.value, row.error_type, row.error_message) == ("failed", "KeyError", "'no key'")


def test_timeout(column):
    row = column.only("slow")
    assert (row.status.value, row.error_type) == ("failed", "TaskRunTimeoutError")
    assert row.error_message == "Task run exceeded timeout of 0.3 second(s)"
    assert [(a.status, a.error_type) for a in row.attempts] == [("failed", "TaskRunTimeoutError")]


def test_generator(column):
    row = column.only("numbers")
    assert (row.status.value, [a.status for a in row.attempts]) == ("success", ["success"])


def test_generator_that_is_left_early(column):
    row = column.only("numbers-break")
    if (
        column.name == "async"
    ):  # Prefect 3.8.8 calls `throw` on an async generator, which has none, and fails the task run
        assert (row.status.value, row.error_type) == ("failed", "AttributeError")
    else:
        assert (row.status.value, [a.status for a in row.attempts]) == ("success", ["success"])


def test_generator_that_raises(column):
    row = column.only("bad-numbers")
    assert (row.status.value, row.error_type, row.error_message) == ("failed", "RuntimeError", "half way")


def test_exit_in_a_task(column):
    if column.name == "process pool":
        pytest.skip("in test_recovered.py: it hangs Prefect's process pool")
    row = column.only("exits")
    assert (row.status.value, row.error_type, row.error_message) == ("failed", "SystemExit", "3")
    assert [a.status for a in row.attempts] == ["crashed"]


def test_current_tracker_in_a_task(column):
    run = column.run
    assert column.only("inside").status.value == "success"
    part = column.only("inside/part")
    assert (part.file_type, part.status.value, part.run_id) == ("part", "success", run.run_id)
    assert run.metrics == {"rows": 12}


def test_without_file_the_task_run_is_the_file(column):
    ((path, (row,)),) = [(p, r) for p, r in column.rows.items() if p.startswith("unnamed")]
    assert (path, row.file_type, row.status.value) == (row.task_run_name, "task", "success")


def test_a_task_that_never_ran_is_a_skipped_file(column):
    (row,) = [row for (row, *_) in column.rows.values() if (row.reason or "").startswith("upstream")]
    assert (row.status.value, row.task_name, row.attempts) == ("skipped", "ok", [])
    assert "did not reach a 'COMPLETED' state" in row.reason
    waiting = [t for t in column.run.failed_tasks if t.state == "NotReady"]
    if column.name == "process pool":  # refuses it, and makes no task run
        assert waiting == []
        assert row.file_path.startswith("ok-")
    else:
        assert row.file_path == waiting[0].name
        assert row.reason == f"upstream failed: {waiting[0].error_message}"


def test_task_runs_are_counted_by_state(column):
    expected = {"Failed": 5, "TimedOut": 1, "Cached": 1, "Skipped": 1, "NotReady": 1, "Crashed": 1, "Completed": 10}
    if column.name == "process pool":
        del expected["NotReady"], expected["Crashed"]
    if column.name == "async":
        expected.update(Failed=6, Completed=9)  # the generator that is left early
    assert column.run.task_counts == expected
    bad = sum(n for state, n in expected.items() if state not in ("Completed", "Cached", "Skipped"))
    assert len(column.run.failed_tasks) == bad


def test_counts_agree_with_the_rows(column):
    run, rows = column.run, column.rows
    all_rows = [row for found in rows.values() for row in found]
    by = {s: sum(r.status.value == s for r in all_rows) for s in ("success", "failed", "skipped")}
    assert (run.total_files, run.success_count, run.failed_count, run.skipped_count) == (
        len(all_rows),
        by["success"],
        by["failed"],
        by["skipped"],
    )
