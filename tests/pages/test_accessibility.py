"""The delivery report's page, its mail, and the mail of an alert, judged by axe-core in a browser."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from rich_report import rich_report

from prefect_trackrecord.documents.models import FileProcessingLog, RunMetadata
from prefect_trackrecord.pages import render_alert, render_report
from prefect_trackrecord.report import FlowNote
from prefect_trackrecord.report.alert import build_alert
from prefect_trackrecord.report.incidents import Rules, incidents

pytestmark = [pytest.mark.server, pytest.mark.timeout(240)]
AT = datetime(2025, 1, 20, tzinfo=timezone.utc)


def alert() -> str:
    run = RunMetadata(
        run_id="0ee1b384-266e-4fb9-8382-40a887bc2a18", command="nightly", started_at=AT, status="failed",
        completed_at=AT, error_type="OSError", error_message="disk full", traceback="Traceback\n  line",
    )  # fmt: skip
    (found,) = incidents([run], Rules(), AT + timedelta(days=1))
    rows = [FileProcessingLog(file_path=f"/a/{n}", status="failed", error_message=f"no {n}") for n in range(3)]
    note = FlowNote(owner="Ada", description="Books.", runbook_url="https://wiki.example.com/x")
    made = build_alert(found, run, now=AT, rows=rows, note=note, ui_url="https://prefect.example.com")
    return render_alert(made, "email", zone=timezone.utc)


PAGES = {
    "page": lambda: render_report(rich_report(), "html"),
    "mail": lambda: render_report(rich_report(), "email", page_url="https://reports.example.com/x.html"),
    "alert": alert,
}


@pytest.mark.parametrize("name", PAGES)
def test_nothing_serious_for_axe(visit: Any, axe: Any, tmp_path: Any, name: str) -> None:
    path = tmp_path / "x.html"
    path.write_text(PAGES[name](), encoding="utf-8")
    for scheme, width in (("light", 1280), ("dark", 375)):
        size = {"width": width, "height": 900}
        page = visit(path.as_uri(), color_scheme=scheme, viewport=size, bypass_csp=True)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        assert axe(page) == [], (name, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
