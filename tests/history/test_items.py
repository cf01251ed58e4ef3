"""Files from run to run."""

from __future__ import annotations

import pytest
from report_samples import FakeArchive, failed, ok, skipped

from prefect_trackrecord.errors import DamagedDocumentError, StoreError
from prefect_trackrecord.history import ItemState, item_changes, rows_of


def compare(archive: FakeArchive, **options: int) -> dict[str, str]:
    found = item_changes(archive.all, (), rows_of(archive), **options)
    return {c.path: c.state.value for c in found.changes}


def test_fixed_again_new_and_unseen() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("a"), failed("b"), failed("c"), failed("d"), *ok("e")])
    archive.add("2025-01-20T02:00", [*ok("a"), failed("b"), *skipped("c"), failed("e")])
    assert compare(archive) == {"a": "fixed", "b": "again", "c": "unseen", "d": "unseen", "e": "new"}


def test_a_file_that_came_through_in_between_is_fixed_and_stays_so() -> None:
    archive = FakeArchive()
    first = archive.add("2025-01-20T01:00", [failed("broken"), failed("bad"), *ok("fine")])
    archive.add("2025-01-20T02:00", [failed("broken"), *ok("bad")], retry_of=first.run_id)
    assert compare(archive) == {"broken": "again", "bad": "fixed"}
    archive.add("2025-01-20T03:00", ok("broken"), retry_of=first.run_id)
    assert compare(archive) == {"broken": "fixed", "bad": "fixed"}
    archive.add("2025-01-20T04:00", ok("of another day"))
    archive.add("2025-01-20T05:00", skipped("broken"))
    found = item_changes(archive.all, (), rows_of(archive))
    assert {c.path: (c.state.value, c.run_id, c.failed_run_id) for c in found.changes} == {
        "broken": ("fixed", "run-0002", "run-0001"),
        "bad": ("fixed", "run-0001", "run-0000"),
    }
    assert found.complete
    assert found.came_through == {("nightly", c.fingerprint) for c in found.changes}


def test_an_error_that_came_after_a_file_was_mended_is_not_fixed_by_it() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("a"), *ok("b")])
    archive.add("2025-01-20T02:00", [failed("b"), *ok("a")])
    archive.add("2025-01-20T03:00", ok("c"))
    found = item_changes(archive.all, (), rows_of(archive))
    assert {c.path: c.state.value for c in found.changes} == {"a": "fixed", "b": "unseen"}
    assert found.came_through == frozenset()


def test_runs_without_failures_are_read_only_for_files_that_are_missing_and_retries_first() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", ok("before"))
    first = archive.add("2025-01-20T02:00", [failed("a"), *ok("b")])
    retry = archive.add("2025-01-20T03:00", ok("a"), retry_of=first.run_id)
    for hour in range(4, 20):
        archive.add(f"2025-01-20T{hour:02}:00", ok("x"))
    archive.add("2025-01-20T20:00", ok("b"))
    found = item_changes(archive.all, (), rows_of(archive), max_runs=1)
    assert [(c.path, c.state.value, c.run_id) for c in found.changes] == [("a", "fixed", retry.run_id)]
    assert found.complete
    assert sorted(archive.read) == [first.run_id, retry.run_id, "run-0019"]
    archive.read.clear()
    archive.add("2025-01-20T21:00", ok("a"))
    assert compare(archive) == {"a": "fixed"}
    assert sorted(archive.read) == [first.run_id, "run-0020"]


def test_what_is_never_seen_again_is_looked_for_in_a_bounded_number_of_runs_and_that_is_said() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("a")])
    for hour in range(2, 12):
        archive.add(f"2025-01-20T{hour:02}:00", ok("x", "y"))
    for bound, reads in (({"max_runs": 4}, 4), ({"max_rows": 6}, 3), ({}, 5)):
        archive.read.clear()
        found = item_changes(archive.all, (), rows_of(archive), **bound)
        assert [c.state for c in found.changes] == [ItemState.UNSEEN]
        assert (len(archive.read) - 2, found.complete) == (reads, False)


def test_a_single_run_compares_with_nothing() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20", [failed("a")])
    assert compare(archive) == {}


def test_since_is_the_earliest_failure() -> None:
    archive = FakeArchive()
    for hour in (1, 2, 3):
        archive.add(f"2025-01-20T0{hour}:00", [failed("a")])
    (change,) = item_changes(archive.all, (), rows_of(archive)).changes
    assert change.since.hour == 1
    assert change.run_id == "run-0002"


def test_the_same_name_in_another_folder_is_the_same_file_only_if_it_is_the_only_one() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("/old/a.py"), failed("/old/__init__.py")])
    archive.add("2025-01-20T02:00", ok("/new/a.py", "/new/x/__init__.py", "/new/y/__init__.py"))
    assert compare(archive) == {"/old/a.py": "fixed", "/old/__init__.py": "unseen"}


def test_the_same_name_is_another_file_if_both_were_there_before() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("/x/config.json"), *ok("/y/config.json")])
    archive.add("2025-01-20T02:00", ok("/y/config.json"))
    assert compare(archive) == {"/x/config.json": "unseen"}


def test_two_tasks_on_one_file_are_two_items() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("a", task_name="read"), *ok("a", task_name="write")])
    archive.add("2025-01-20T02:00", [*ok("a", task_name="write"), failed("a", task_name="read")])
    assert [c.state for c in item_changes(archive.all, (), rows_of(archive)).changes] == [ItemState.AGAIN]


def test_what_is_too_large_or_too_far_back_is_not_read_and_that_is_said() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("far")])
    archive.add("2025-01-20T02:00", [failed("near")])
    archive.add("2025-01-20T03:00", [failed("now")])
    found = item_changes(archive.all, (), rows_of(archive), max_runs=1)
    assert {c.path for c in found.changes} == {"near", "now"}
    assert not found.complete
    assert "run-0000" not in archive.read
    assert not item_changes(archive.all, (), rows_of(archive), max_rows=0).complete


@pytest.mark.parametrize("error", [StoreError("down"), DamagedDocumentError("k", "no JSON")])
def test_rows_that_cannot_be_read_leave_that_run_out(error: Exception) -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("a")])
    archive.add("2025-01-20T02:00", [failed("b")])
    archive.broken["run-0000"] = error
    found = item_changes(archive.all, (), rows_of(archive))
    assert not found.complete
    assert [c.path for c in found.changes] == ["b"]


def test_flows_with_no_failures_are_not_read_at_all() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", ok("a"))
    archive.add("2025-01-20T02:00", ok("a"))
    assert compare(archive) == {}
    assert archive.read == []
