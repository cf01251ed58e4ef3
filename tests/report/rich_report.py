"""A report in which every part has something: for the tests of its renderings."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from report_samples import NOW, WEEK, FakeArchive, two_weeks

from prefect_trackrecord.documents.models import RunStatus
from prefect_trackrecord.errors import DamagedDocumentError
from prefect_trackrecord.history import Records, RecordState, item_changes, rows_of
from prefect_trackrecord.report import FlowNote, Period, Report, Threshold, build_report

MONDAY = datetime(2025, 1, 20, tzinfo=timezone.utc)


def rich_archive() -> FakeArchive:
    """`two_weeks`, with metrics, a flow that is broken for long, and a run that did nothing."""
    archive = two_weeks()
    for n in range(-6, 7):
        status = RunStatus.FAILED if n > -3 else RunStatus.SUCCESS
        error = {"error_type": "OSError", "error_message": "no space left on device"} if n > -3 else {}
        fields = {"command": "archive", "flow_name": "archive", "metrics": {"rows": 900 + 40 * n, "accuracy": 0.93}}
        archive.add(MONDAY + timedelta(days=n, hours=5), status=status, minutes=3, **fields, **error)
    archive.add(MONDAY + timedelta(days=6, hours=4), command="extract", flow_name="extract", minutes=0.1)
    return archive


def rich_records() -> Records:
    """Records in every kind of status, two of them stuck."""
    states = []
    for n in range(40):
        status, category = (("Success", "success"), ("Failed", "failed"), ("Pending", "pending"))[n % 3 if n < 6 else 0]
        since = MONDAY + timedelta(days=5 if n < 3 else 6, hours=n % 20)
        times = {"Pending": 40.0 + n, "Running": 300.0 + 7 * n}
        key = f"INV-2025-{n:04d}"
        states.append(RecordState("invoices", "Invoice", key, status, "gold", category, since, "run-0040", times))
    return Records(tuple(states))


def rich_report(**options: Any) -> Report:
    """The report."""
    archive = rich_archive()
    period = options.pop("period", Period(*WEEK, "Europe/Berlin"))
    runs = [r for r in archive.all if r.started_at in period]
    before = [r for r in archive.all if r.started_at in period.previous()]
    expected = {
        "crm-sync": [MONDAY + timedelta(days=n, hours=3) for n in range(7)],
        "transcribe": [MONDAY + timedelta(days=n, minutes=40) for n in range(7)],
    }
    given: dict[str, Any] = {
        "title": "Voice pipeline",
        "items": item_changes(runs, before, rows_of(archive)),
        "damaged": [DamagedDocumentError("run_metadata/2025/01/22/x.json", "no JSON")],
        "ui_url": "https://prefect.example.com",
        "records": rich_records(),
        "expected": expected,
        "thresholds": [
            Threshold(metric="rows", floor=1000, level="warn"),
            Threshold(metric="file_success_rate", floor=0.99),
        ],
        "notes": {"archive": FlowNote(owner="Ada", runbook_url="https://wiki.example.com/archive")},
    }
    return build_report(runs, before, period=period, now=NOW, **{**given, **options})
