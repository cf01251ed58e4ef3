"""What a mail carries along: the page, the report as one table, the whole report as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_trackrecord.delivery.message import Attachment
from prefect_trackrecord.pages import render_report
from prefect_trackrecord.report import Report


def attachments(kinds: Sequence[str], report: Report, page: str, name: str) -> tuple[Attachment, ...]:
    """The attachments of these kinds; `name` is that of the files, without an ending."""
    found = []
    for kind in dict.fromkeys(kinds):
        if kind == "page":
            suffix, text = "html", page
        else:
            suffix, text = kind, render_report(report, "csv" if kind == "csv" else "json")
        found.append(Attachment(f"{name}.{suffix}", text.encode("utf-8", "replace")))
    return tuple(found)
