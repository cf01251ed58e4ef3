"""Which error groups are new, recurring, fixed, or gone: the rule in the module's docstring, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from report_samples import FakeArchive, failed, ok

from prefect_trackrecord.documents.models import RunStatus
from prefect_trackrecord.history import GroupState, compare, groups_of, item_changes, rows_of, sum_groups, ungrouped


def states(archive: FakeArchive, previous: FakeArchive | None = None) -> dict[str, str]:
    before = previous.all if previous else []
    both = FakeArchive()
    both.rows = {**(previous.rows if previous else {}), **archive.rows}
    items = item_changes(archive.all, before, rows_of(both))
    return {c.group.error_type or "": c.state.value for c in compare(archive.all, before, items.came_through)}


def earlier(*rows: Any, **fields: Any) -> FakeArchive:
    archive = FakeArchive()
    archive.add("2025-01-13", rows, run_id="before", **fields)
    return archive


def test_within_one_window_new_recurring_fixed_and_gone() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [*ok("a"), failed("b", "Again"), failed("c", "Mended"), failed("d", "Other")])
    archive.add("2025-01-20T02:00", [failed("a", "Fresh"), failed("b", "Again"), *ok("c")])
    assert states(archive) == {"Fresh": "new", "Again": "recurring", "Mended": "fixed", "Other": "gone"}


def test_a_copy_in_another_folder_proves_a_fix_by_its_name() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [*ok("/lib/a.py"), failed("/lib/b.py", "Mended"), failed("/lib/c.py", "Again")])
    archive.add("2025-01-20T02:00", [*ok("/copy/b.py"), failed("/copy/c.py", "Again")])
    assert states(archive) == {"Mended": "fixed", "Again": "recurring"}


def test_a_group_that_still_fails_elsewhere_is_not_fixed() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("a", "E"), failed("b", "E")])
    archive.add("2025-01-20T02:00", [*ok("a"), failed("b", "E")])
    assert states(archive) == {"E": "recurring"}


def test_the_first_run_ever_has_only_new_errors() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20", [failed("a", "E")])
    assert states(archive) == {"E": "new"}


def test_the_previous_period_is_the_baseline_where_the_flow_ran_in_it() -> None:
    """Once it began within the window it stays new for this report, however often it came."""
    archive = FakeArchive()
    for day in (20, 21, 22):
        archive.add(f"2025-01-{day}", [failed("x", "SinceMonday"), failed("y", "Old")])
    assert states(archive, earlier(*ok("x"), failed("y", "Old"))) == {"SinceMonday": "new", "Old": "recurring"}


def test_an_error_of_the_previous_period_that_came_through_is_fixed() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20", ok("a", "b"))
    assert states(archive, earlier(failed("a", "Mended"))) == {"Mended": "fixed"}


def test_an_error_whose_flow_did_not_run_is_not_spoken_of() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20", ok("a"), command="another")
    assert states(archive, earlier(failed("a", "E"))) == {}


@pytest.mark.parametrize("status", [RunStatus.ABORTED, RunStatus.RUNNING])
def test_a_run_that_did_not_end_proves_nothing(status: RunStatus) -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("a", "E"), *ok("b")])
    archive.add("2025-01-20T02:00", ok("a"), status=status)
    assert states(archive) == {"E": "new"}


def test_an_error_after_the_newest_telling_run_still_occurs() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", ok("a"))
    archive.add("2025-01-20T02:00", [failed("a", "E")], status=RunStatus.ABORTED)
    assert states(archive) == {"E": "new"}


def test_a_run_that_failed_before_its_first_file_proves_nothing() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("a", "E"), *ok("b")])
    archive.add("2025-01-20T02:00", status=RunStatus.FAILED, error_type="ConfigError", error_message="no config")
    assert states(archive)["E"] == "new"


def test_one_file_that_came_through_does_not_fix_what_fails_otherwise_now() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("a", "E"), failed("b", "E"), failed("c", "F"), failed("d", "F")])
    archive.add("2025-01-20T02:00", [*ok("a"), failed("b", "Other"), *ok("c")])
    assert states(archive) == {"E": "gone", "Other": "new", "F": "fixed"}


def test_a_file_that_failed_by_two_errors_in_turn_and_came_through_fixes_both() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("a", "E")])
    archive.add("2025-01-20T02:00", [failed("a", "F")])
    archive.add("2025-01-20T03:00", ok("a"))
    assert states(archive) == {"E": "fixed", "F": "fixed"}


def test_what_two_flows_had_is_fixed_once_both_show_it() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("a", "E")], command="one")
    archive.add("2025-01-20T01:00", [failed("a", "E")], command="two")
    archive.add("2025-01-20T02:00", ok("a"), command="one")
    archive.add("2025-01-20T02:00", ok("other"), command="two")
    assert states(archive) == {"E": "gone"}
    archive.add("2025-01-20T03:00", ok("a"), command="two")
    assert states(archive) == {"E": "fixed"}


def test_two_flows_do_not_prove_things_for_each_other() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", [failed("a", "E"), *ok("z")], command="one")
    archive.add("2025-01-20T02:00", ok("a"), command="two")
    assert states(archive) == {"E": "new"}


def test_a_run_that_fails_as_a_whole_is_a_group_and_a_good_run_fixes_it() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T01:00", ok("a"), status=RunStatus.FAILED, error_type="HTTPError", error_message="401")
    assert states(archive) == {"HTTPError": "new"}
    archive.add("2025-01-20T02:00", ok("a"))
    assert states(archive) == {"HTTPError": "fixed"}


def test_a_run_error_that_its_files_show_already_is_counted_once() -> None:
    archive = FakeArchive()
    run = archive.add("2025-01-20", [failed("a", "E", "boom")], error_type="E", error_message="boom")
    assert [g.kind for g in groups_of(run)] == ["file"]


def test_groups_add_up_and_the_newest_gives_the_example() -> None:
    archive = FakeArchive()
    archive.add("2025-01-21", [failed("new.csv", "E", "row 7 is bad")])
    archive.add("2025-01-20", [failed("old.csv", "E", "row 3 is bad"), failed("x.csv", "E", "row 4 is bad")])
    (group,) = sum_groups(archive.all).values()
    assert group.count == 3
    assert [run_id for _, run_id in group.runs] == ["run-0001", "run-0000"]
    assert (group.example_path, group.example_message) == ("new.csv", "row 7 is bad")
    assert group.first_seen < group.last_seen


def test_failed_files_without_a_group_are_counted() -> None:
    archive = FakeArchive()
    run = archive.add("2025-01-20", [failed("a"), failed("b")], rollup=False)
    assert ungrouped([run]) == 2
    many = archive.add("2025-01-20", [failed(f"{i}", f"E{'x' * i}") for i in range(60)])
    assert many.rollup is not None
    assert ungrouped([many]) == 60 - 50
    assert GroupState("gone") is GroupState.GONE
