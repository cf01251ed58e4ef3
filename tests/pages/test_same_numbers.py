"""The same numbers in page, mail, text, Markdown, CSV and JSON; and no cell of the CSV is a formula."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
from datetime import date, datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from report_samples import FakeArchive, failed, ok, skipped
from rich_report import rich_report

from prefect_trackrecord.documents.models import EmailResult, RunStatus
from prefect_trackrecord.pages import MAX_EMAIL_BYTES, render_report, words
from prefect_trackrecord.pages.report_data import as_json, cell
from prefect_trackrecord.pages.words import moment, short_moment
from prefect_trackrecord.report import FlowNote, Period, Report, build_report

UTC = timezone.utc
PERIOD = Period(date(2025, 3, 27), date(2025, 4, 1), "Europe/Berlin")  # the clocks change on the 30th
NOW = datetime(2025, 4, 2, 6, tzinfo=UTC)

starts = st.datetimes(datetime(2025, 3, 20), datetime(2025, 4, 2)).map(lambda d: d.replace(tzinfo=UTC))
runs = st.tuples(
    starts,
    st.sampled_from(["a", "b", "nightly load"]),
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)),
    st.sampled_from([None, RunStatus.FAILED, RunStatus.ABORTED, RunStatus.RUNNING]),
    st.integers(0, 2),
    st.floats(0.001, 3000),
)


def report_of(found: list[Any]) -> Report:
    archive = FakeArchive()
    for start, command, (good, bad, skip), status, mails, minutes in found:
        rows = [*ok(*map(str, range(good))), *(failed(f"f{i}", f"E{i % 2}") for i in range(bad))]
        rows += skipped(*map(str, range(skip)))
        emails = [EmailResult(email=f"{i}@x.example", status="failed" if i else "sent") for i in range(mails)]
        archive.add(start, rows, command=command, status=status, emails=emails, minutes=minutes)
    return build_report(archive.all, archive.all, period=PERIOD, now=NOW)


def table(report: Report) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render_report(report, "csv"))))


def totals(report: Report, fmt: Any) -> dict[str, str]:
    """The totals as a rendering writes them; those of CSV and JSON written as the others write them."""
    text = render_report(report, fmt)
    if fmt == "csv":
        found = {r["name"]: r["value"] for r in table(report) if r["section"] == "totals"}
        return {f.key: words.figure(f.model_copy(update={"value": _number(found[f.key])})) for f in report.figures}
    if fmt == "json":
        found = {f["key"]: f["value"] for f in json.loads(text)["figures"]}
        return {f.key: words.figure(f.model_copy(update={"value": found[f.key]})) for f in report.figures}
    if fmt == "html":
        pairs = re.findall(r'<tr data-total="(\w+)"><td>[^<]*</td><td class="num"><b>([^<]*)</b>', text)
        return {key: html.unescape(value) for key, value in pairs}
    if fmt == "email":
        pairs = re.findall(r'data-figure="(\w+)"[^>]*>(?:<a [^>]*>)?([^<]*)<', text)
        return {key: html.unescape(value) for key, value in pairs if key != "verdict"}
    pattern = r"^{}  +(\S.*?)(?:   .*)?$" if fmt == "text" else r"^\| {} \| \*\*(.+?)\*\* \|"
    matches = {f.key: re.search(pattern.format(re.escape(f.label)), text, re.MULTILINE) for f in report.figures}
    return {key: match[1] if match else "–" for key, match in matches.items()}


def _number(text: str) -> float | None:
    return float(text) if text else None


@settings(max_examples=30, deadline=None)
@given(st.lists(runs, max_size=10))
def test_all_six_formats_say_the_same(found: list[Any]) -> None:
    report = report_of(found)
    wanted = {f.key: words.figure(f) for f in report.figures}
    for fmt in ("html", "text", "markdown", "csv", "json"):
        assert totals(report, fmt) == wanted, fmt
    assert totals(report, "email") == {f.key: wanted[f.key] for f in report.figures if f.shown}


@settings(max_examples=60, deadline=None)
@given(st.lists(runs, max_size=14))
def test_the_parts_of_the_csv_add_up_to_its_totals(found: list[Any]) -> None:
    rows = table(report_of(found))
    total = {r["name"]: int(float(r["value"])) for r in rows if r["section"] == "totals" and r["unit"] == "count"}

    def added(section: str, **where: str) -> int:
        return sum(int(r["value"]) for r in rows if r["section"] == section and where.items() <= r.items())

    for part, key in (("runs", "runs"), ("files", "files")):
        assert added("day", flow=part) == total[key] == added("flow", name=part)
    assert added("day", flow="files", state="failed") == total["files_failed"] == added("flow", name="files_failed")
    assert added("error", unit="files") == total["files_failed"]
    assert added("undelivered mail", state="failed") == total["emails_failed"]


@settings(max_examples=100, deadline=None)
@given(st.lists(starts, max_size=12), st.integers(1, 5))
def test_adjoining_periods_count_every_instant_once(found: list[datetime], split: int) -> None:
    """Two reports that adjoin count what one over both counts; both end days are included."""
    archive = FakeArchive()
    edges = [PERIOD.begin, PERIOD.until, PERIOD._midnight(date(2025, 3, 27 + split) if split < 5 else date(2025, 4, 1))]
    for at in (*found, *edges):
        archive.add(at)
    middle = PERIOD.start.toordinal() + split
    first = Period(PERIOD.start, date.fromordinal(middle - 1), PERIOD.tz)
    second = Period(date.fromordinal(middle), PERIOD.end, PERIOD.tz)
    counts = [build_report(archive.all, period=p, now=NOW).figure("runs").value for p in (first, second, PERIOD)]
    assert counts[0] + counts[1] == counts[2]
    assert counts[2] == sum(PERIOD.begin <= run.started_at < PERIOD.until for run in archive.all)


@pytest.mark.parametrize(("day", "hours"), [(date(2025, 3, 30), 23), (date(2025, 10, 26), 25), (date(2025, 6, 1), 24)])
def test_days_have_23_and_25_hours(day: date, hours: int) -> None:
    """A run in every half hour of the day, by the instants: none is lost, none is counted twice."""
    period = Period(day, day, "Europe/Berlin")
    archive = FakeArchive()
    step = 1800
    for n in range(-4, 2 * 25 + 4):
        archive.add(datetime.fromtimestamp(period.begin.timestamp() + n * step, UTC))
    report = build_report(archive.all, period=period, now=NOW)
    assert report.figure("runs").value == 2 * hours
    assert report.days[0].hours == hours


PARTS = {
    "html": [
        "Still broken",
        "Scheduled runs",
        "Green, and did nothing",
        "Metrics",
        "Records by status",
        "Slowest runs",
    ],
    "csv": ["broken,", "missing,", "idle,", "metric,", "record status,", "slow,"],
}


@pytest.mark.parametrize("fmt", ["html", "email", "text", "markdown", "csv"])
def test_every_part_is_in_every_format(fmt: Any) -> None:
    report = rich_report()
    text = render_report(report, fmt, page_url="https://reports.example.com/x.html").replace("\\", "")
    for part in (*PARTS.get(fmt, PARTS["html"]), "INV-2025-0002", "archive", "rows", "no space left on device"):
        assert part in text, part
    if fmt == "email":
        assert len(text.encode()) < MAX_EMAIL_BYTES
        assert "https://reports.example.com/x.html#errors" in text
    if fmt not in {"csv"}:
        assert "https://wiki.example.com/archive" in text


def test_still_broken_stands_before_everything_new() -> None:
    report = rich_report()
    for fmt in ("email", "html", "text", "markdown"):
        text = render_report(report, fmt)
        assert 0 < text.index("Still broken") < text.index("HTTPStatusError")


@pytest.mark.parametrize("fmt", ["html", "email", "text", "markdown", "csv"])
def test_a_figure_with_a_threshold_is_written_as_that_figure(fmt: Any) -> None:
    report = rich_report()
    line = next(m for m in report.metrics.items if m.name == "file_success_rate")
    assert line.kind == "share"
    assert line.change is not None
    text = render_report(report, fmt)
    if fmt == "csv":
        rows = [row for row in csv.DictReader(io.StringIO(text)) if row["section"] == "metric"]
        assert [row["unit"] for row in rows if row["name"] == "file_success_rate"] == ["share"]
        return
    start = text.index("Metrics")
    part = text[start : text.index("Records by status")]
    for words_of_it in (words.measure(line.mean, "share"), "points", "99.0 %"):
        assert words_of_it in part


def test_what_people_wrote_about_a_flow_is_in_every_format() -> None:
    note = FlowNote(owner="Ada & Co", description="Books <invoices>", runbook_url="https://wiki.example.com/x")
    report = rich_report(notes={"crm-sync": note})
    for fmt in ("html", "email", "text", "markdown", "csv", "json"):
        text = html.unescape(render_report(report, fmt)).replace("\\", "")
        for part in ("Ada & Co", "Books <invoices>", "https://wiki.example.com/x"):
            assert part in text, (fmt, part)


def test_the_json_is_the_model() -> None:
    report = rich_report()
    assert Report.model_validate_json(render_report(report, "json")) == report


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r\n=1", "＝1", '=HYPERLINK("http://x")', "\x00=1"]
)
def test_no_text_becomes_a_formula(text: str) -> None:
    assert cell(text)[0] in "'�"
    archive = FakeArchive()
    archive.add(
        "2025-03-28",
        [failed(text, text, text)],
        command=text,
        status=RunStatus.ABORTED,
        reason=text,
        emails=[EmailResult(email=text, status="failed", reason=text)],
        tracking_errors={text: 1},
        metrics={text: 1},
    )
    report = build_report(archive.all, period=PERIOD, now=NOW)
    for row in csv.reader(io.StringIO(render_report(report, "csv"))):
        for value in row:
            assert not value.startswith(("=", "+", "@", "＝", "\t", "\r"))
            assert not value.startswith("-") or re.fullmatch(r"-[\d.e+]+", value)
            assert "\n" not in value


@pytest.mark.parametrize(("value", "text"), [(-1.5, "-1.5"), (3.0, "3"), (10**12, "1000000000000"), (None, "")])
def test_numbers_stay_numbers(value: Any, text: str) -> None:
    assert cell(value) == text


def test_tables_of_the_artifact_hold_no_sentences() -> None:
    """The Prefect UI's column for them is some 580 pixels wide; a wider table runs out of it, or is cut."""
    text = render_report(rich_report(), "markdown")
    rows = [re.sub(r"\]\([^)]*\)", "", line) for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 30
    assert max(map(len, rows)) < 90
    assert not [row for row in rows if "no space left" in row or "did not" in row]
    assert "  no space left on device" in text.splitlines()


class Odd(BaseModel):
    value: float
    text: str = "ü"


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_number_that_is_none_is_null_in_json(value):
    """As the sum of two large ones may be."""
    assert json.loads(as_json(Odd(value=value)), parse_constant=pytest.fail) == {"value": None, "text": "ü"}


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_a_moment_at_the_end_of_the_calendar(text):
    at = datetime.fromisoformat(text)
    for tz in (timezone.utc, ZoneInfo("Europe/Berlin")):
        assert str(at.year) in moment(at, tz)
        assert short_moment(at, tz).endswith(f"{at:%H:%M}")
