"""The delivery report as a model: a period, runs in, a frozen report out. `pages` renders it."""

from prefect_trackrecord.report.build import REPORT_ROLE, build_report, chosen
from prefect_trackrecord.report.model import (
    Day,
    Figure,
    FileLine,
    Filters,
    FlowLine,
    GroupLine,
    Listing,
    Report,
    RunLine,
    TrackingError,
    Undelivered,
    Unread,
    Verdict,
)
from prefect_trackrecord.report.period import WINDOWS, Period, parse_day, parse_period, zone

__all__ = [
    "REPORT_ROLE",
    "WINDOWS",
    "Day",
    "Figure",
    "FileLine",
    "Filters",
    "FlowLine",
    "GroupLine",
    "Listing",
    "Period",
    "Report",
    "RunLine",
    "TrackingError",
    "Undelivered",
    "Unread",
    "Verdict",
    "build_report",
    "chosen",
    "parse_day",
    "parse_period",
    "zone",
]
