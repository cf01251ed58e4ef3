"""The configuration's section `alerts`: when something is an incident, and what a silence is written as."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from pydantic import Field

from prefect_trackrecord.delivery.sections import Checked, Seconds, duration
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.history import Grace, Pace
from prefect_trackrecord.report.incidents import Rules


class AlertRules(Checked):
    """When something is an incident, and so an alert; the report's own lists of late and slow runs keep to it too.

    Attributes:
        failures_before_alert: so many failed runs of a flow in a row make an incident.
        successes_before_recovery: so many good ones in a row end it.
        partial_is_bad: whether a run in which some files failed counts as failed.
        late_after: a scheduled run that begins later than this is late; never more than half of the interval.
        missed_after: one that begins later than this is missed.
        slow_factor: a run is slow beyond so many times its own flow's 95th percentile.
        slow_runs: so many earlier runs are needed to know that.
        slow_extra: and it must be by so much.
        stuck_after: a run of a flow that is not known so well yet is stuck after this long.
        together: so many incidents at once make one mail instead of one each.
    """

    failures_before_alert: int = Field(default=1, ge=1)
    successes_before_recovery: int = Field(default=1, ge=1)
    partial_is_bad: bool = False
    late_after: Seconds = 600.0
    missed_after: Seconds = 21_600.0
    slow_factor: float = Field(default=2.0, ge=1)
    slow_runs: int = Field(default=10, ge=2)
    slow_extra: Seconds = 60.0
    stuck_after: Seconds = 86_400.0
    together: int = Field(default=4, ge=2)

    @property
    def grace(self) -> Grace:
        """How late is late."""
        return Grace(late=timedelta(seconds=self.late_after), longest=timedelta(seconds=self.missed_after))

    @property
    def pace(self) -> Pace:
        """How slow is slow."""
        return Pace(factor=self.slow_factor, runs=self.slow_runs, extra_ms=round(self.slow_extra * 1000))

    def rules(self) -> Rules:
        """The same as the search for incidents knows them."""
        return Rules(
            failures_before_alert=self.failures_before_alert,
            successes_before_recovery=self.successes_before_recovery,
            partial_is_bad=self.partial_is_bad,
            grace=self.grace,
            pace=self.pace,
            stuck_after=timedelta(seconds=self.stuck_after),
        )


def silence_until(text: str, now: datetime) -> datetime:
    """When a silence of `2h`, `90m` or `3d` that begins now ends.

    Raises:
        UsageError: it is no such duration, or none at all.
    """
    try:
        seconds = duration(text)
    except ValueError as exc:
        raise UsageError(str(exc)) from None
    if not re.search(r"[smhd]$", text.strip()):
        raise UsageError(f"{text!r} has no unit; write it as 90s, 15m, 36h or 2d")
    if not 0 < seconds <= timedelta(days=366).total_seconds():
        raise UsageError(f"{text!r} is no time that a silence can last: at most 366d")
    return now + timedelta(seconds=seconds)
