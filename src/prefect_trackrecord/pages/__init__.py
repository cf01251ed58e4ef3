"""Templates and their rendering; the only room that imports jinja2. Names are loaded when they are asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect_trackrecord.pages.alert import alert_subject, alerts_subject, render_alert, render_alerts
    from prefect_trackrecord.pages.delivery_report import (
        MAX_EMAIL_BYTES,
        MAX_MARKDOWN_BYTES,
        render_report,
    )
    from prefect_trackrecord.pages.environment import check_line, render_line

_WHERE = {
    "alert_subject": "alert",
    "alerts_subject": "alert",
    "render_alert": "alert",
    "render_alerts": "alert",
    "MAX_EMAIL_BYTES": "delivery_report",
    "MAX_MARKDOWN_BYTES": "delivery_report",
    "render_report": "delivery_report",
    "check_line": "environment",
    "render_line": "environment",
}

__all__ = [
    "alert_subject",
    "alerts_subject",
    "render_alert",
    "render_alerts",
    "MAX_EMAIL_BYTES",
    "MAX_MARKDOWN_BYTES",
    "check_line",
    "render_line",
    "render_report",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
