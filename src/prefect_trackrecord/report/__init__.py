"""The delivery report as a model: a period, runs in, a frozen report out. `pages` renders it."""

from prefect_trackrecord.report.alert import Alert, build_alert
from prefect_trackrecord.report.build import REPORT_ROLE, build_report, chosen
from prefect_trackrecord.report.incidents import Incident, Rules, incidents
from prefect_trackrecord.report.model import Day, Figure, Filters, Report, Threshold, Verdict
from prefect_trackrecord.report.period import WINDOWS, Period, parse_day, parse_period, zone
from prefect_trackrecord.report.rows import (
    BrokenLine,
    FileLine,
    FlowLine,
    FlowNote,
    GroupLine,
    IdleLine,
    Listing,
    MetricLine,
    MissingLine,
    RecordLine,
    RunLine,
    SlowLine,
    StatusLine,
    TrackingError,
    Undelivered,
    Unread,
)

__all__ = [
    "REPORT_ROLE",
    "WINDOWS",
    "Alert",
    "BrokenLine",
    "Day",
    "Figure",
    "FileLine",
    "Filters",
    "FlowLine",
    "FlowNote",
    "GroupLine",
    "IdleLine",
    "Incident",
    "Listing",
    "MetricLine",
    "MissingLine",
    "Period",
    "RecordLine",
    "Report",
    "Rules",
    "RunLine",
    "SlowLine",
    "StatusLine",
    "Threshold",
    "TrackingError",
    "Undelivered",
    "Unread",
    "Verdict",
    "build_alert",
    "build_report",
    "chosen",
    "incidents",
    "parse_day",
    "parse_period",
    "zone",
]
