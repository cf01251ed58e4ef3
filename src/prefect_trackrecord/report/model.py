"""The delivery report as frozen models: everything that its renderings show, and nothing about how.

Report format version 1. Its history:

    1   2026-11   first
"""

from __future__ import annotations

from datetime import date
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field, field_validator, model_validator

from prefect_trackrecord.documents.models import Moment, RunMetadata, RunStatus
from prefect_trackrecord.history import flow_key
from prefect_trackrecord.journal.plain import mask_text
from prefect_trackrecord.report.period import Period
from prefect_trackrecord.report.rows import (
    BrokenLine,
    FileLine,
    FlowLine,
    Frozen,
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

REPORT_VERSION = 1

Level = Literal["ok", "warn", "bad", "empty"]


class Filters(Frozen):
    """Which runs a report is about: names or patterns (`*`, `?`); empty means all."""

    command: tuple[str, ...] = ()
    flow: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    deployment: tuple[str, ...] = ()
    status: tuple[RunStatus, ...] = ()

    @field_validator("*", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    def matches(self, run: RunMetadata) -> bool:
        """Whether the run is one of them."""
        return (
            _any(self.command, [run.command, flow_key(run)])
            and _any(self.flow, [run.flow_name or ""])
            and _any(tuple(map(mask_text, self.tag)), run.tags)  # as the history has them
            and _any(self.deployment, [run.deployment_name or "", run.deployment_id or ""])
            and (not self.status or run.status in self.status)
        )

    def __str__(self) -> str:
        parts = []
        for name in ("command", "flow", "tag", "deployment", "status"):
            values = [getattr(v, "value", v) for v in getattr(self, name)]
            if values:
                parts.append(f"{name}: {', '.join(values)}")
        return "; ".join(parts) or "all runs"


def _any(patterns: tuple[str, ...], values: list[str]) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for value in values for pattern in patterns)


class Threshold(Frozen):
    """What turns the verdict where a metric, or a figure of the report, crosses it.

    Attributes:
        metric: a metric that runs give, or the key of a `Figure` (`file_success_rate`, `runs_failed`, `run_p95`).
            A metric is held against each run's value, a figure against that of the period.
        flow: whose runs, a name or a pattern; for a figure other than `*`: its value over those runs alone.
        floor: it may not fall below.
        budget: it may not rise above.
        level: what it makes of the verdict.
    """

    metric: str
    flow: str = "*"
    floor: float | None = None
    budget: float | None = None
    level: Literal["warn", "bad"] = "bad"

    @model_validator(mode="after")
    def _holds_something(self) -> Threshold:
        if self.floor is None and self.budget is None:
            raise ValueError(f"the threshold of {self.metric} needs a floor or a budget")
        return self

    def broken_by(self, value: float) -> bool:
        """Whether the value is below the floor or above the budget."""
        return (self.floor is not None and value < self.floor) or (self.budget is not None and value > self.budget)


class Verdict(Frozen):
    """The report in one sentence; `detail` is a second one about errors; `short` is for subjects."""

    level: Level
    sentence: str
    detail: str = ""
    short: str = ""


class Figure(Frozen):
    """One total with its value in the previous equal period (None: nothing ran then, or nothing to measure).

    Attributes:
        key: stable name, also in the renderings.
        kind: how it is written: a count, a share (0 to 1), or milliseconds.
        better: which direction is good news; None for neither.
        shown: whether the short renderings show it.
    """

    key: str
    label: str
    value: float | None
    previous: float | None = None
    kind: Literal["count", "share", "duration"] = "count"
    better: Literal["up", "down"] | None = None
    shown: bool = True

    @property
    def change(self) -> float | None:
        """How much more than in the previous period."""
        if self.value is None or self.previous is None:
            return None
        return self.value - self.previous

    @property
    def news(self) -> Literal["good", "bad", "neutral"]:
        """Whether the change is good."""
        if not self.change or self.better is None:
            return "neutral"
        return "good" if (self.change > 0) == (self.better == "up") else "bad"


class Day(Frozen):
    """One day: runs and files by status. `hours` is 23 or 25 where the clocks change."""

    day: date
    hours: float = 24
    runs: dict[str, int] = Field(default_factory=dict)
    files: dict[str, int] = Field(default_factory=dict)

    @property
    def run_count(self) -> int:
        """All runs of the day."""
        return sum(self.runs.values())

    @property
    def file_count(self) -> int:
        """All files of the day."""
        return sum(self.files.values())


class Report(Frozen):
    """The delivery report.

    Attributes:
        name: short and stable, for file names and message ids.
        figures: the totals, in the order of showing.
        runs_by, files_by, emails_by: totals by status.
        ungrouped: failed files that are in no group.
        unfinished: runs that were aborted, recovered, or never ended.
        still_running: how many runs are going on and may well end.
        broken: flows that are broken now, and since when.
        idle: runs that succeeded and did nothing.
        slowest: the longest runs.
        missing: what schedules asked for and did not get; `missed` and `late` say how many runs that is.
        metrics: of runs, and figures with a threshold; those that broke one first.
        records: records that the window's runs worked on, by status; `stuck` are those that wait for too long.
        records_whole: False where they were too many to read.
        reports_left_out: runs of reports, alerts and upkeep in the window, which no figure counts.
        compared_whole: False where the comparison of files was cut short.
        problems: what went wrong with the report itself, such as an own template with an error.
    """

    version: int = REPORT_VERSION
    name: str
    title: str
    period: Period
    previous_period: Period
    generated_at: Moment
    filters: Filters
    store: str | None = None
    verdict: Verdict
    figures: tuple[Figure, ...]
    runs_by: dict[str, int]
    files_by: dict[str, int]
    emails_by: dict[str, int]
    days: tuple[Day, ...]
    groups: Listing[GroupLine]
    groups_by: dict[str, int]
    ungrouped: int = 0
    files: Listing[FileLine]
    files_changed_by: dict[str, int]
    compared_whole: bool = True
    flows: Listing[FlowLine]
    undelivered: Listing[Undelivered]
    unfinished: Listing[RunLine]
    still_running: int = 0
    runs: Listing[RunLine]
    unread: Listing[Unread]
    tracking_errors: Listing[TrackingError]
    broken: Listing[BrokenLine] = Listing[BrokenLine]()
    idle: Listing[IdleLine] = Listing[IdleLine]()
    slowest: Listing[SlowLine] = Listing[SlowLine]()
    missing: Listing[MissingLine] = Listing[MissingLine]()
    missed: int = 0
    late: int = 0
    metrics: Listing[MetricLine] = Listing[MetricLine]()
    records: tuple[StatusLine, ...] = ()
    stuck: Listing[RecordLine] = Listing[RecordLine]()
    records_whole: bool = True
    reports_left_out: int = 0
    problems: tuple[str, ...] = ()

    def figure(self, key: str) -> Figure:
        """The total of that key."""
        return next(f for f in self.figures if f.key == key)
