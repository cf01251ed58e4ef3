"""An alert as the HTML and the text of a mail, in the look of the delivery report.

Alerts come from a room above this one, so the type here is any object with the attributes of `report.alert.Alert`.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Any, Literal

from prefect_trackrecord.pages.delivery_report import MAX_EMAIL_BYTES, dense, tidy
from prefect_trackrecord.pages.environment import render
from prefect_trackrecord.pages.words import clip

MAX_SUBJECT = 160


def render_alert(alert: Any, format: Literal["email", "text"], *, zone: tzinfo) -> str:  # noqa: A002
    """Render an alert.

    Args:
        alert: a `report.alert.Alert`.
        format: `email` (HTML, under 95 kB) or `text`.
        zone: whose clock its times are of.

    Raises:
        TemplateError: a template has an error.
    """
    files, text = 15, 500
    while True:
        context = {"alert": alert, "zone": zone, "limits": {"files": files, "text": text}}
        if format == "text":
            return tidy(render("report/alert.txt.j2", context, html=False))
        page = dense(render("report/alert.html.j2", context, html=True))
        if len(page.encode()) <= MAX_EMAIL_BYTES or files == 1:
            return page
        files, text = files // 2, max(60, text // 2)


def alert_subject(alert: Any) -> str:
    """The subject of the mail, on one line."""
    return clip(alert.headline, MAX_SUBJECT)
