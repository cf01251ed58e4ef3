"""Whether a report comes too late to be news, and what its configuration wants then."""

from __future__ import annotations

from datetime import datetime, timedelta

from prefect_trackrecord.delivery.config import ReportConfig
from prefect_trackrecord.report import Period, Report


def lateness(config: ReportConfig, period: Period, now: datetime) -> timedelta | None:
    """How long after its period's end the report is made, where that is late; else None.

    Late is what `late_after` says; where that is left out, a report is late when the next equal period has ended
    too, for then a newer report is due.
    """
    since = now - period.until
    limit = timedelta(days=period.length) if config.late_after is None else timedelta(seconds=config.late_after)
    return since if since > limit else None


def words(late: timedelta) -> str:
    """`3 days late`."""
    hours = int(late.total_seconds() // 3600)
    count, unit = (hours // 24, "day") if hours >= 48 else (max(hours, 1), "hour")
    return f"{count} {unit}{'' if count == 1 else 's'} after its period ended"


def marked(report: Report, late: timedelta) -> Report:
    """The report with its lateness in its title, and so in each of its forms."""
    return report.model_copy(update={"title": f"{report.title} (late: made {words(late)})"})
