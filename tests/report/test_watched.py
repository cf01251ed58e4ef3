"""The parts of the report that say what stands out, and what they make of the verdict."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from report_samples import FakeArchive, failed, ok

from prefect_trackrecord.documents.models import RunStatus
from prefect_trackrecord.errors import DamagedDocumentError
from prefect_trackrecord.history import Records, RecordState
from prefect_trackrecord.report import FlowNote, Period, Report, Threshold, build_report

DAY = date(2025, 1, 20)
T = datetime(2025, 1, 20, tzinfo=timezone.utc)
NOW = T + timedelta(days=1, hours=7)


def report_of(archive: FakeArchive, **options: Any) -> Report:
    return build_report(archive.all, archive.all, period=Period(DAY, DAY), now=NOW, **options)


def test_still_broken_comes_before_newly_broken() -> None:
    archive = FakeArchive()
    archive.add(T - timedelta(hours=20), command="a-old")
    archive.add(T - timedelta(hours=10), command="a-old", status=RunStatus.FAILED)
    archive.add(T + timedelta(hours=2), command="a-old", status=RunStatus.FAILED, error_message="no route")
    archive.add(T - timedelta(hours=23), command="A-new")
    archive.add(T + timedelta(hours=1), command="A-new", status=RunStatus.ABORTED)
    archive.add(T - timedelta(hours=1), command="gone", status=RunStatus.FAILED)
    notes = {"a-old": FlowNote(owner="Ada", runbook_url="https://wiki.example.com/a")}
    report = report_of(archive, notes=notes)
    old, new = report.broken.items
    assert (old.flow, old.since, old.count, old.before, old.at_least) == (
        "a-old",
        T - timedelta(hours=10),
        2,
        True,
        False,
    )
    assert old.note == notes["a-old"]
    assert old.last.error == "no route"
    assert (new.flow, new.before) == ("A-new", False)


def test_the_green_run_that_did_nothing_turns_the_verdict() -> None:
    archive = FakeArchive()
    for n in range(5):
        archive.add(T - timedelta(hours=20 - n), ok(*"abc"))
    idle = archive.add(T + timedelta(hours=1))
    report = report_of(archive)
    assert [(i.run.run_id, i.usual) for i in report.idle.items] == [(idle.run_id, 3)]
    assert report.verdict.level == "warn"
    assert "1 run succeeded with nothing to do" in report.verdict.sentence


def test_the_slowest_runs_and_the_slow_ones() -> None:
    archive = FakeArchive()
    for n in range(12):
        archive.add(T - timedelta(hours=23 - n), command="quick", minutes=2)
    slow = archive.add(T + timedelta(hours=1), command="quick", minutes=9)
    for n in range(15):
        archive.add(T + timedelta(hours=2 + n), command=f"long-{n}", minutes=60 + n)
    report = report_of(archive)
    first = report.slowest.items[0]
    assert (first.run.run_id, first.slow, first.usual_ms, first.limit_ms) == (slow.run_id, True, 120_000, 240_000)
    assert report.slowest.total == 10
    assert [s.run.duration_ms for s in report.slowest.items[1:]] == [m * 60_000 for m in range(74, 65, -1)]


def test_what_a_schedule_asked_for_and_did_not_get() -> None:
    archive = FakeArchive()
    archive.add(T + timedelta(hours=1), command="hourly")
    archive.add(T + timedelta(hours=3, minutes=40), command="hourly")
    archive.add(T + timedelta(days=1, minutes=45), command="hourly")
    archive.add(T + timedelta(days=1, hours=1), command="hourly")
    hours = (1, 2, 3, 23.75, 25)
    expected = {"hourly": [T + timedelta(hours=h) for h in hours], "never": [T + timedelta(hours=6)]}
    report = report_of(archive, expected=expected, later_runs=archive.all)
    lines = {(m.flow, m.state): m for m in report.missing.items}
    assert {key: m.count for key, m in lines.items()} == {
        ("hourly", "missed"): 1,
        ("never", "missed"): 1,
        ("hourly", "late"): 2,
    }
    assert lines["hourly", "late"].longest_s == 60 * 60
    assert lines["never", "missed"].last is None
    assert (report.missed, report.late) == (2, 2)
    assert report.verdict.level == "bad"
    assert "2 scheduled runs did not come" in report.verdict.sentence


def test_a_scheduled_report_or_upkeep_run_that_came_is_not_missed() -> None:
    archive = FakeArchive()
    archive.add(T + timedelta(hours=2), command="nightly")
    archive.add(T + timedelta(hours=1, seconds=15), command="recover", role="upkeep")
    expected = {"recover": [T + timedelta(hours=1), T + timedelta(hours=9)]}
    report = build_report(archive.all, (), period=Period(DAY, DAY), now=NOW, expected=expected)
    (line,) = report.missing.items
    assert (line.flow, line.state, line.times) == ("recover", "missed", (T + timedelta(hours=9),))
    assert report.runs.total == 1


def test_missing_runs_are_told_where_nothing_ran_at_all() -> None:
    report = report_of(FakeArchive(), expected={"never": [T + timedelta(hours=6)]})
    assert report.verdict.level == "bad"
    assert report.verdict.sentence == "Nothing ran on 20 January 2025; 1 scheduled run did not come."
    assert report.verdict.short == "1 run missing"


@pytest.mark.parametrize(
    ("threshold", "broken", "level"),
    [
        (Threshold(metric="rows", floor=100), 1, "bad"),
        (Threshold(metric="rows", floor=100, level="warn"), 1, "warn"),
        (Threshold(metric="rows", floor=100, flow="other*"), 0, "ok"),
        (Threshold(metric="rows", budget=150, flow="load*"), 1, "bad"),
        (Threshold(metric="runs", budget=2), 0, "ok"),
        (Threshold(metric="runs", budget=1), 1, "bad"),
        (Threshold(metric="runs", floor=3, flow="load"), 1, "bad"),
        (Threshold(metric="run_success_rate", floor=0.99), 0, "ok"),
    ],
)
def test_thresholds_turn_the_verdict(threshold: Threshold, broken: int, level: str) -> None:
    archive = FakeArchive()
    archive.add(T - timedelta(hours=3), command="load", metrics={"rows": 50})
    archive.add(T + timedelta(hours=1), command="load", metrics={"rows": 90})
    archive.add(T + timedelta(hours=2), command="load", metrics={"rows": 190})
    report = report_of(archive, thresholds=[threshold])
    assert sum(m.broken for m in report.metrics.items) == broken
    assert report.verdict.level == level
    rows = next(m for m in report.metrics.items if m.name == "rows")
    assert (rows.mean, rows.previous, rows.change, rows.last, rows.lowest, rows.highest) == (140, 50, 90, 190, 90, 190)


def test_a_threshold_holds_something() -> None:
    with pytest.raises(ValueError, match="floor or a budget"):
        Threshold(metric="rows")


def state(record_id: str, status: str, category: str | None, hours: float, **times: float) -> RecordState:
    since = NOW - timedelta(hours=hours)
    return RecordState("p", "Invoice", record_id, status, "gold", category, since, "run-0000", times)


def test_records_by_status_with_their_times_and_the_stuck_ones() -> None:
    archive = FakeArchive()
    archive.add(T, flow_name="invoices")
    states = (
        state("A", "Success", "success", 90, Pending=60, Running=120),
        state("B", "Success", "success", 1, Pending=600),
        state("C", "Pending", "pending", 30),
        state("D", "Pending", "pending", 2),
        state("E", "Parked", None, 90),
    )
    damaged = (DamagedDocumentError("records/p/x", "torn"),)
    report = report_of(
        archive, records=Records(states, damaged), previous_records=Records(states[:2]), ui_url="http://u"
    )
    assert [(s.status, s.count, s.p50_ms) for s in report.records] == [
        ("Pending", 2, 60_000),
        ("Success", 2, None),
        ("Parked", 1, None),
        ("Running", 0, 120_000),
    ]
    assert [(r.record_id, r.waiting_ms, r.link) for r in report.stuck.items] == [
        ("C", 30 * 3_600_000, "http://u/runs/flow-run/run-0000")
    ]
    assert report.figure("records").value == 5
    assert report.figure("records").change == 3
    assert report.unread.items[0].key == "records/p/x"
    assert "1 record is stuck" in report.verdict.sentence


def test_a_calm_report_has_none_of_it() -> None:
    archive = FakeArchive()
    archive.add(T, [*ok("a"), failed("b")])
    report = report_of(archive)
    assert not any(getattr(report, name).total for name in ("broken", "idle", "missing", "metrics", "stuck"))
    assert report.records == ()
