"""Items of a run that it never came to: which are added as files, and when none is."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents.fold import Fold
from prefect_trackrecord.documents.unbegun import NOT_BEGUN

AT = datetime(2026, 1, 2, tzinfo=timezone.utc)
ABORTED = ev.RunEnded(AT, status="aborted", run_count=1)


def folded(rows, *others, items=None):
    fold = Fold("r")
    run = {"command": "c", "items_parameter": "paths", "parameters": {"paths": items}}
    fold.add(ev.RunStarted(AT, run=run))
    for path in rows:
        fold.add(ev.FileTracked(AT, {"file_path": path, "status": "success", "task_run_id": path}, f"k\0{path}"))
    for event in others:
        fold.add(event)
    return fold


def files(fold, ended=ABORTED):
    docs = fold.documents(ended)
    rows = [(row["file_path"], row["status"], row.get("reason")) for row in docs.files]
    assert docs.run.total_files == len(rows)
    assert docs.run.never_began == sum(reason == NOT_BEGUN for _, _, reason in rows)
    return rows


def never(*paths):
    return [(path, "skipped", NOT_BEGUN) for path in paths]


def given(*paths, turn=1):
    return ev.ItemsGiven(AT, list(paths), turn)


def test_items_without_a_row_never_began():
    assert files(folded(["a"], given("b", "a", "b", "c"))) == [("a", "success", None), *never("b", "c")]
    assert files(folded(["a"], items=["a", "b"])) == [("a", "success", None), *never("b")]  # told by the run itself
    assert files(folded(["a"], given("b", "c"), items=["a"])) == [("a", "success", None)], "the journal's own word"


@pytest.mark.parametrize("ended", [None, ev.RunEnded(AT, run_count=1), ev.RunEnded(AT, status="aborted", run_count=2)])
def test_none_of_a_run_that_goes_on_or_completed_or_of_an_earlier_attempt(ended):
    assert files(folded(["a"], given("a", "b")), ended) == [("a", "success", None)]


def test_a_failed_run_may_have_come_to_all_that_it_wanted():
    failed = ev.RunEnded(AT, status="failed", run_count=1)
    assert files(folded(["a"], items=["a", "b"]), failed) == [("a", "success", None)]
    assert files(folded(["a"], given("a", "b")), failed) == [("a", "success", None), *never("b")]


@pytest.mark.parametrize("rows", [[], ["x", "y"], ["/in/a.txt", "/in/b.txt"]])
def test_none_where_no_row_is_called_as_an_item_is(rows):
    assert files(folded(rows, given("a.txt", "b.txt"))) == [(path, "success", None) for path in rows]


def test_none_beside_a_row_of_the_same_file_in_another_folder():
    fold = folded(["./a.txt", "/in/b.txt"], given("a.txt", "b.txt", "c.txt"))
    assert files(fold) == [("./a.txt", "success", None), ("/in/b.txt", "success", None), *never("c.txt")]


def test_a_task_run_that_never_began_and_whose_file_nobody_knows_is_one_of_the_items():
    waiting = [
        ev.FileInferred(
            AT,
            {"file_path": name, "status": "skipped", "reason": NOT_BEGUN, "task_run_id": name, "task_run_name": name},
            f"k\0{name}",
        )
        for name in ("work-1", "work-2")
    ]
    assert files(folded(["a"], *waiting, given("a", "b", "c"))) == [("a", "success", None), *never("b", "c")]
    assert files(folded(["a"], *waiting, given("a", "b"))) == [("a", "success", None), *never("work-2", "b")]
    assert files(folded(["a"], *waiting, given("a"))) == [("a", "success", None), *never("work-1", "work-2")]


def test_parameters_that_were_cut_are_not_all_items():
    cut = {"__type__": "cut", "__repr__": "900 items"}
    assert files(folded(["a"], items=["a", "b", cut])) == [("a", "success", None)]
    assert files(folded(["a"], items={"a": 1})) == [("a", "success", None)]
    assert files(folded(["a"], items="a")) == [("a", "success", None)]


def test_an_event_without_texts_is_refused():
    with pytest.raises(ValueError, match="wrong type"):
        ev.decode(b'{"kind": "run.items", "at": "2026-01-02T00:00:00Z", "paths": ["a", 1]}')
    assert ev.decode(ev.encode(given("a"))) == given("a")
