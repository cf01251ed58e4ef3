"""The report: parts add up to totals, nothing outside the period counts, and the verdict says what is."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import NOW, WEEK, FakeArchive, failed, ok, skipped, two_weeks

from prefect_trackrecord.documents.models import EmailResult, RunStatus
from prefect_trackrecord.errors import DamagedDocumentError
from prefect_trackrecord.history import item_changes, rows_of
from prefect_trackrecord.report import Filters, Period, Report, build_report

UTC = timezone.utc


def report_of(archive: FakeArchive, tz: str = "UTC", **options: Any) -> Report:
    period = options.pop("period", Period(*WEEK, tz))
    return build_report(archive.all, archive.all, period=period, now=options.pop("now", NOW), **options)


def one_day(*runs: Any, **options: Any) -> Report:
    archive = FakeArchive()
    for make in runs:
        make(archive)
    day = date(2025, 1, 20)
    now = datetime(2025, 1, 20, 12, tzinfo=UTC)
    return report_of(archive, period=Period(day, day), now=now, **options)


def test_the_sample_week() -> None:
    archive = two_weeks()
    items = item_changes(archive.all[22:], archive.all[:22], rows_of(archive))
    report = report_of(archive, items=items)
    assert report.verdict.level == "bad"
    assert report.groups_by == {"recurring": 1, "new": 2, "fixed": 1, "gone": 0}
    assert [g.state for g in report.groups.items] == ["recurring", "new", "new", "fixed"]
    assert {f.name for f in report.flows.items} == {"transcribe", "extract", "report tl-report", "crm-sync"}
    assert report.flows.items[0].name == "transcribe"
    assert {r.status for r in report.unfinished.items} == {"running", "aborted"}
    assert [(u.email, u.status, u.count) for u in report.undelivered.items] == [
        ("zoe.ohara@example.com", "failed", 2),
        (None, "skipped", 7),
    ]
    assert report.reports_left_out == 1
    assert report.tracking_errors.items[0].count == 2
    assert report.figure("runs").change == 1


starts = st.datetimes(datetime(2025, 3, 20), datetime(2025, 4, 10)).map(lambda d: d.replace(tzinfo=UTC))
samples = st.lists(
    st.tuples(starts, st.integers(0, 4), st.integers(0, 4), st.integers(0, 3), st.sampled_from(["a", "b", "c"])),
    max_size=15,
)


@settings(max_examples=60, deadline=None)
@given(samples, st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/Santiago"]))
def test_days_flows_and_groups_add_up_to_the_totals(found: list[Any], tz: str) -> None:
    archive = FakeArchive()
    for start, good, bad, skip, command in found:
        rows = [*ok(*map(str, range(good))), *(failed(f"f{i}", f"E{i % 2}") for i in range(bad))]
        archive.add(start, [*rows, *skipped(*map(str, range(skip)))], command=command)
    period = Period(date(2025, 3, 26), date(2025, 4, 2), tz)  # holds the change of the clocks
    report = report_of(archive, period=period, now=datetime(2025, 4, 11, tzinfo=UTC))
    inside = [run for run in archive.all if period.begin <= run.started_at < period.until]
    assert report.figure("runs").value == len(inside) == sum(report.runs_by.values())
    assert sum(d.run_count for d in report.days) == len(inside)
    assert len(report.days) == 8
    for status in ("success", "failed", "skipped"):
        total = sum(getattr(run, f"{status}_count") for run in inside)
        assert report.files_by[status] == total == sum(d.files.get(status, 0) for d in report.days)
    assert sum(f.runs for f in report.flows.items) == len(inside)
    assert sum(f.files for f in report.flows.items) == report.figure("files").value
    assert sum(f.files_failed for f in report.flows.items) == report.figure("files_failed").value
    by_file = sum(g.count for g in report.groups.items if g.kind == "file")
    assert by_file + report.ungrouped == report.files_by["failed"]
    before = [run for run in archive.all if run.started_at in period.previous()]
    assert report.figure("runs").previous == (len(before) if before else None)


def test_runs_outside_the_period_do_not_count() -> None:
    edge = datetime(2025, 1, 20, tzinfo=UTC)
    report = one_day(
        lambda a: a.add(edge),
        lambda a: a.add(edge + timedelta(days=1)),
        lambda a: a.add(edge - timedelta(microseconds=1)),
        lambda a: a.add(edge + timedelta(days=1, microseconds=-1)),
    )
    assert report.figure("runs").value == 2
    assert report.figure("runs").previous == 1


@pytest.mark.parametrize("include", [False, True])
def test_own_report_runs_are_left_out_by_default(include: bool) -> None:
    bad = [EmailResult(email="x@example.com", status="failed")]
    report = one_day(lambda a: a.add("2025-01-20", role="report", emails=bad), include_reports=include)
    assert report.figure("runs").value == int(include)
    assert report.undelivered.total == int(include)
    assert report.reports_left_out == int(not include)
    assert report.verdict.level == ("warn" if include else "empty")


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"command": "one"}, 1),
        ({"command": ["one", "two"]}, 2),
        ({"command": "t*"}, 2),
        ({"command": "two tl"}, 1),
        ({"tag": "prod"}, 1),
        ({"status": "failed"}, 1),
        ({"flow": "my-flow"}, 1),
        ({"flow": "none"}, 0),
        ({}, 3),
    ],
)
def test_filters(filters: dict[str, Any], kept: int) -> None:
    report = one_day(
        lambda a: a.add("2025-01-20", command="one", tags=["prod", "eu"]),
        lambda a: a.add("2025-01-20", command="two", subcommand="tl", flow_name="my-flow"),
        lambda a: a.add("2025-01-20", [failed("x")], command="three"),
        filters=Filters.model_validate(filters),
    )
    assert report.figure("runs").value == kept


@pytest.mark.parametrize(
    ("run", "level", "says"),
    [
        ({"rows": ok("a")}, "ok", "The one run succeeded; no file failed (1 file)."),
        ({"rows": [*ok("a"), *skipped("b")]}, "ok", "no file failed (2 files, 1 skipped)"),
        ({"rows": [*ok("a"), failed("b")]}, "warn", "The one run finished only in part; 1 of 2 files failed."),
        ({"rows": [failed("b")]}, "bad", "Of 1 run, 1 failed; 1 of 1 file failed."),
        ({"status": RunStatus.ABORTED}, "bad", "Of 1 run, 1 was aborted."),
        ({"status": RunStatus.RUNNING}, "ok", "1 run is still running."),
        ({"emails": [EmailResult(status="failed")]}, "warn", "The one run succeeded; 1 email was not delivered."),
        ({"emails": [EmailResult(status="skipped")]}, "ok", "The one run succeeded."),
        ({"tracking_errors": {"disk full": 3}}, "warn", "tracking itself had 3 errors"),
    ],
)
def test_verdicts(run: dict[str, Any], level: str, says: str) -> None:
    report = one_day(lambda a: a.add("2025-01-20T09:00", run.pop("rows", ()), **run))
    assert report.verdict.level == level
    assert says in report.verdict.sentence


def test_nothing_ran() -> None:
    report = one_day()
    assert report.verdict.level == "empty"
    assert report.verdict.sentence == "Nothing ran on 20 January 2025."
    assert report.figure("run_success_rate").value is None
    damaged = [DamagedDocumentError("k.json", "no JSON"), DamagedDocumentError("k.json", "no JSON")]
    assert one_day(damaged=damaged).verdict.level == "warn"
    assert one_day(damaged=damaged).unread.total == 1


def test_a_run_that_runs_for_more_than_a_day_never_finished() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20T00:00", status=RunStatus.RUNNING)
    archive.add("2025-01-20T23:00", status=RunStatus.RUNNING)
    day = Period(date(2025, 1, 20), date(2025, 1, 20))
    report = report_of(archive, period=day, now=datetime(2025, 1, 21, 7, tzinfo=UTC))
    assert report.unfinished.total == 1
    assert report.still_running == 1
    assert "1 never finished; 1 run is still running" in report.verdict.sentence


def test_links_lead_to_prefect_runs_only() -> None:
    report = one_day(
        lambda a: a.add("2025-01-20T01:00", flow_name="f", run_id="a/../b"),
        lambda a: a.add("2025-01-20T02:00"),
        ui_url="https://prefect.example.com/",
    )
    links = {r.run_id: r.link for r in report.runs.items}
    assert links == {"a/../b": "https://prefect.example.com/runs/flow-run/a%2F..%2Fb", "run-0001": None}
    evil = one_day(lambda a: a.add("2025-01-20", flow_name="f"), ui_url="javascript:alert(1)")
    assert evil.runs.items[0].link is None


def test_a_report_is_frozen_and_survives_json() -> None:
    report = report_of(two_weeks(), "Europe/Berlin")
    assert Report.model_validate_json(report.model_dump_json()) == report
    with pytest.raises(ValueError, match="frozen"):
        report.title = "x"  # type: ignore[misc]


def test_ten_thousand_failures_stay_bounded() -> None:
    archive = FakeArchive()
    for n in range(700):
        archive.add(f"2025-01-2{n % 7}T01:00", [failed(f"f{i}", f"E{n}x{i}") for i in range(3)])
    report = report_of(archive)
    assert report.runs.total == 700
    assert len(report.runs.items) == 500
    assert report.runs.cut == 200
    assert report.groups.total == 2100
    assert len(report.groups.items) == 200
