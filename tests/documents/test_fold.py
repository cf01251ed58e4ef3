"""Events -> documents: last state wins, first start stays, every attempt is kept."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

import pytest

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents.attempts import RECOVERED
from prefect_trackrecord.documents.fold import Fold
from prefect_trackrecord.documents.models import FileProcessingLog

T0 = datetime(2026, 1, 2, 3, tzinfo=timezone.utc)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def started(second=0, count=1, **run) -> ev.RunStarted:
    return ev.RunStarted(at=at(second), run={"command": "c", "run_count": count, **run})


def outcome(path, status, second=1, turn=1, item=None, **row) -> ev.FileTracked:
    return ev.FileTracked(at=at(second), row={"file_path": path, "status": status, **row}, turn=turn, item=item)


def fold(*events) -> Fold:
    found = Fold("r")
    for event in events:
        found.add(event)
    return found


def documents(*events):
    found = fold(*events)
    return found.documents(found.end())


def test_counts_status_and_rollup():
    docs = documents(
        started(),
        outcome("a", "success", processing_time_ms=10),
        outcome("b", "failed", error_type="ValueError", error_message="bad row 17"),
        outcome("c", "failed", error_type="ValueError", error_message="bad row 4"),
        outcome("d", "skipped", reason="empty"),
        ev.EmailTracked(at=at(2), row={"email": "x@y.z", "status": "sent"}),
        ev.RunEnded(at=at(3)),
    )
    run = docs.run
    assert (run.total_files, run.success_count, run.failed_count, run.skipped_count) == (4, 1, 2, 1)
    assert run.status == "partial_success"
    assert run.emails_sent == 1
    assert run.email_results[0].email == "x@y.z"
    assert run.duration_ms == 3000
    (group,) = run.rollup.errors
    assert (group.count, group.message, group.example_path) == (2, "bad row <n>", "b")
    assert docs.files[1]["error_fingerprint"] == docs.files[2]["error_fingerprint"] == group.fingerprint
    assert [FileProcessingLog.model_validate(row).status.value for row in docs.files] == [
        "success",
        "failed",
        "failed",
        "skipped",
    ]


@pytest.mark.parametrize(
    ("files", "emails", "status"),
    [
        ([], [], "success"),
        (["success", "skipped"], [], "success"),
        (["failed"], [], "failed"),
        (["failed", "failed"], ["sent"], "failed"),
        (["failed", "skipped"], [], "partial_success"),
        (["failed", "success"], [], "partial_success"),
        (["success"], ["failed"], "partial_success"),
        ([], ["failed"], "partial_success"),
        ([], ["skipped"], "success"),
    ],
)
def test_status_by_items(files, emails, status):
    events = [started(), *(outcome(str(n), s) for n, s in enumerate(files))]
    events += [ev.EmailTracked(at=at(2), row={"email": str(n), "status": s}) for n, s in enumerate(emails)]
    assert documents(*events, ev.RunEnded(at=at(3))).run.status == status


def test_a_file_said_twice_is_one_file_with_two_attempts():
    docs = documents(
        started(),
        outcome("a", "failed", 1, error_type="E", error_message="m"),
        outcome("a", "success", 2),
        ev.RunEnded(at=at(3)),
    )
    (row,) = docs.files
    assert row["status"] == "success"
    assert row["error_type"] is None
    assert [(a["number"], a["status"], a["error_type"]) for a in row["attempts"]] == [
        (1, "failed", "E"),
        (2, "success", None),
    ]
    assert docs.run.status == "success"


def test_the_same_path_of_another_agent_or_type_is_another_file():
    docs = documents(
        started(),
        outcome("a", "success"),
        outcome("a", "success", agent_id="A2"),
        outcome("a", "success", file_type="t"),
    )
    assert docs.run.total_files == 3


def test_a_flow_retry_replaces_outcomes_and_keeps_them_as_attempts():
    docs = documents(
        started(0, 1),
        outcome("a", "failed", 1, item="t:a", error_type="E", attempts=[{"status": "failed", "error_type": "E"}]),
        outcome("b", "success", 1, item="t:b"),
        ev.RunEnded(at=at(2), status="failed", run_count=1, error_message="first"),
        started(3, 2),
        outcome("a", "success", 4, turn=2, item="t:a", attempts=[{"status": "success"}]),
        outcome("b", "skipped", 4, turn=2, item="t:b", reason="cached"),
        ev.RunEnded(at=at(5), run_count=2),
    )
    assert {r["file_path"]: r["status"] for r in docs.files} == {"a": "success", "b": "success"}, (
        "cached is no new outcome"
    )
    assert [a.get("error_type") for a in docs.files[0]["attempts"]] == ["E", None]
    run = docs.run
    assert (run.run_count, run.status, run.started_at) == (2, "success", at(0))
    assert [(a.number, a.error_message) for a in run.attempts] == [(1, "first"), (2, None)]


def test_an_end_of_an_earlier_attempt_ends_nothing():
    assert fold(started(0, 1), ev.RunEnded(at=at(1), run_count=1), started(2, 2)).end() is None


def test_the_last_end_of_an_attempt_wins_but_not_over_the_runs_own():
    own = ev.RunEnded(at=at(1), status="success", run_count=1)
    timed_out = ev.RunEnded(at=at(2), status="failed", run_count=1)
    assert fold(started(), own, timed_out).end() is timed_out
    late = ev.RunEnded(at=at(9), status="aborted", reason=f"{RECOVERED}: gone")
    assert fold(started(), own, late).end() is own


def test_first_start_stays_and_later_facts_win():
    docs = documents(
        started(5, 1, parameters={"a": 1}, flow_run_name="x"),
        started(9, 2, parameters={"a": 2}),
        ev.RunUpdated(at=at(10), run={"flow_run_name": "y", "tags": None}),
    )
    assert docs.run.started_at == at(5)
    assert docs.run.parameters == {"a": 1}
    assert docs.run.flow_run_name == "y"


def test_metrics_and_tracking_errors():
    docs = documents(
        started(),
        outcome("a", "success"),
        ev.MetricTracked(at=at(2), name="rows", value=2),
        ev.MetricTracked(at=at(1), name="rows", value=1),
        ev.MetricTracked(at=at(1), name="pages", value=3, file="a"),
        ev.TrackingFailed(at=at(1), cause="disk full", count=2),
        ev.TrackingFailed(at=at(1), cause="disk full"),
    )
    assert docs.run.metrics == {"rows": 2}
    assert docs.files[0]["metrics"] == {"pages": 3}
    assert docs.run.tracking_errors == {"disk full": 3}


def saved(document, value) -> ev.DocumentSaved:
    return ev.DocumentSaved(at=at(1), document=document, value=value)


def test_saved_documents_are_kept_by_a_later_seal():
    rows = [{"file_path": "a", "status": "failed"}, {"file_path": "b", "status": "failed", "error_type": "E"}]
    run = {"run_id": "r", "command": "saved", "error_message": "kept", "started_at": "2026-01-01T00:00:00"}
    docs = documents(
        started(),
        outcome("a", "success"),
        saved("files", rows),
        saved("emails", [{"email": "x@y.z", "status": "failed", "reason": "r"}]),
        saved("run", run),
        ev.RunEnded(at=at(3)),
    )
    assert {r["file_path"]: r["status"] for r in docs.files} == {"a": "success", "b": "failed"}
    assert docs.run.emails_failed == 1
    assert docs.run.error_message == "kept"
    assert docs.run.command == "c"


def test_a_saved_run_alone_stays_as_it_was_saved():
    value = {"run_id": "r", "command": "x", "started_at": "2026-01-01T00:00:00Z", "status": "failed", "total_files": 7}
    run = documents(saved("run", value)).run
    assert (run.status, run.total_files, run.started_at.day) == ("failed", 7, 1)


@pytest.mark.parametrize("seed", range(20))
def test_the_order_in_which_segments_are_read_does_not_matter(seed):
    rng = random.Random(seed)
    events = [started(0, 1), ev.RunEnded(at=at(50), run_count=1), started(60, 2)]
    for n in range(30):
        events.append(outcome(f"f{n % 7}", rng.choice(["success", "failed", "skipped"]), rng.random() * 40 + n / 100))
    events += [ev.MetricTracked(at=at(n), name="m", value=n) for n in range(5)]
    events.append(ev.RunEnded(at=at(99), run_count=2))
    first = documents(*events)
    rng.shuffle(events)
    second = documents(*events)
    by_path = lambda docs: sorted(docs.files, key=lambda r: r["file_path"])  # noqa: E731
    assert by_path(first) == by_path(second)
    drop = {"rollup"}
    assert first.run.model_dump(exclude=drop) == second.run.model_dump(exclude=drop)
