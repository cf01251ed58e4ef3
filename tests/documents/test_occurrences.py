"""Which outcomes of one item are one file."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from prefect_trackrecord.documents.occurrences import by_file
from prefect_trackrecord.events import FileTracked

START = datetime(2025, 1, 20, tzinfo=timezone.utc)


def outcome(second, task_run=None, turn=1, status="success"):
    row = {"file_path": "a", "status": status}
    if task_run:
        row["task_run_id"] = task_run
    return FileTracked(at=START + timedelta(seconds=second), row=row, item="a", turn=turn)


def test_equal_calls_of_one_turn_are_files_of_their_own():
    first, second = outcome(1, "t1"), outcome(2, "t2")
    assert by_file([second, first]) == [[first], [second]]


def test_the_nth_call_of_each_turn_is_one_file():
    a1, b1 = outcome(1, "t1"), outcome(2, "t2")
    a2, b2 = outcome(11, "t3", turn=2), outcome(12, "t4", turn=2)
    assert by_file([a1, b1, a2, b2]) == [[a1, a2], [b1, b2]]


def test_a_turn_that_called_less_often_replaces_only_the_first():
    a1, b1, a2 = outcome(1, "t1"), outcome(2, "t2"), outcome(11, "t3", turn=2)
    assert by_file([a1, b1, a2]) == [[a1, a2], [b1]]


def test_a_turn_that_was_suspended_goes_on_as_another():
    a1, b1 = outcome(1, "t1"), outcome(2, "t2")
    again = outcome(12, "t3", status="skipped")
    resumed = [(1, START + timedelta(seconds=10))]
    assert by_file([a1, b1, again], resumed) == [[a1, again], [b1]]
    assert by_file([a1, b1, again], [(2, resumed[0][1])]) == [[a1], [b1], [again]]


def test_of_one_task_run_only_the_last_event_counts():
    torn, final = outcome(1, "t1", status="failed"), outcome(2, "t1", status="failed")
    assert by_file([final, torn]) == [[final]]


def test_outcomes_without_a_task_run_are_attempts_of_one_file():
    first, second = outcome(1), outcome(2)
    assert by_file([first, second]) == [[first, second]]
    run = outcome(3, "t1")
    assert by_file([first, run, second]) == [[first, second], [run]]
