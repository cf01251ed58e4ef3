"""An alert, or many of them, as the HTML and the text of a mail, in the look of the delivery report.

Alerts come from a room above this one, so the type here is any object with the attributes of `report.alert.Alert`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Any, Literal

from prefect_trackrecord.pages.delivery_report import MAX_EMAIL_BYTES, dense, tidy
from prefect_trackrecord.pages.environment import render
from prefect_trackrecord.pages.words import clip, plural

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
        context = {"alert": alert, "zone": zone, "limits": {"files": files, "text": text}, "now": alert.generated_at}
        context |= {"title": alert.headline, "preheader": alert.error or alert.sentence}
        if format == "text":
            return tidy(render("report/alert.txt.j2", context, html=False))
        page = dense(render("report/alert.html.j2", context, html=True))
        if len(page.encode()) <= MAX_EMAIL_BYTES or files == 1:
            return page
        files, text = files // 2, max(60, text // 2)


def render_alerts(
    alerts: Sequence[Any],
    format: Literal["email", "text"],  # noqa: A002
    *,
    zone: tzinfo,
    now: datetime,
) -> str:
    """Render many alerts as one mail: alerts before recoveries.

    Args:
        alerts: `report.alert.Alert`s.
        format: `email` (HTML, under 95 kB) or `text`.
        zone: whose clock its times are of.
        now: when it is made.

    Raises:
        TemplateError: a template has an error.
    """
    ordered = sorted(alerts, key=lambda a: (a.state == "recovery", a.kind in {"late", "slow"}, a.since, a.flow))
    bad = sum(a.state != "recovery" for a in alerts)
    title = alerts_subject(alerts)
    sentence = f"{plural(len(alerts) - bad, 'flow')} came through again." if bad < len(alerts) else ""
    if bad:
        sentence = f"{plural(bad, 'incident')} began{f'; {sentence}' if sentence else '.'}"
    shown, text = 60, 300
    while True:
        context = {
            "alerts": ordered,
            "zone": zone,
            "limits": {"alerts": shown, "text": text},
            "now": now,
            "title": title,
            "preheader": "; ".join(a.headline for a in ordered[:5]),
            "sentence": sentence,
            "bad": bad,
        }
        if format == "text":
            return tidy(render("report/alerts.txt.j2", context, html=False))
        page = dense(render("report/alerts.html.j2", context, html=True))
        if len(page.encode()) <= MAX_EMAIL_BYTES or shown == 1:
            return page
        shown, text = shown // 2, max(60, text // 2)


def alerts_subject(alerts: Sequence[Any]) -> str:
    """The subject of a mail about many: `7 incidents: 4 failed, 2 did not run, 1 well again`."""
    words = {"failed": "failed", "late": "late", "missed": "did not run", "slow": "slow", "stuck": "stuck"}
    counts = Counter("well again" if a.state == "recovery" else words[a.kind] for a in alerts)
    told = ", ".join(f"{counts[word]:,} {word}" for word in (*words.values(), "well again") if counts[word])
    return clip(f"{plural(len(alerts), 'alert')}: {told}", MAX_SUBJECT)


def alert_subject(alert: Any) -> str:
    """The subject of the mail, on one line."""
    return clip(alert.headline, MAX_SUBJECT)
