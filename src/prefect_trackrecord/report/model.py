"""The delivery report as frozen models: everything that its renderings show, and nothing about how.

Report format version 1. Its history:

    1   2026-11   first
"""

from __future__ import annotations

from datetime import date
from fnmatch import fnmatchcase
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from prefect_trackrecord.documents.models import Moment, RunMetadata, RunStatus
from prefect_trackrecord.history import flow_key
from prefect_trackrecord.report.period import Period

REPORT_VERSION = 1

Level = Literal["ok", "warn", "bad", "empty"]
T = TypeVar("T")


class Frozen(BaseModel):
    """Base of the report's models."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Listing(Frozen, Generic[T]):
    """The first items of a list, and how many there are in all."""

    items: tuple[T, ...] = ()
    total: int = 0

    @property
    def cut(self) -> int:
        """How many are not among the items."""
        return self.total - len(self.items)


class Filters(Frozen):
    """Which runs a report is about: names or patterns (`*`, `?`); empty means all."""

    command: tuple[str, ...] = ()
    flow: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
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
            and _any(self.tag, run.tags)
            and (not self.status or run.status in self.status)
        )

    def __str__(self) -> str:
        parts = []
        for name in ("command", "flow", "tag", "status"):
            values = [getattr(v, "value", v) for v in getattr(self, name)]
            if values:
                parts.append(f"{name}: {', '.join(values)}")
        return "; ".join(parts) or "all runs"


def _any(patterns: tuple[str, ...], values: list[str]) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for value in values for pattern in patterns)


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


class RunLine(Frozen):
    """One run. `link` leads to it in the Prefect UI, where it is a Prefect run and the UI's URL is known."""

    run_id: str
    name: str | None = None
    flow: str
    status: str
    started_at: Moment
    completed_at: Moment | None = None
    duration_ms: int | None = None
    files: int = 0
    files_failed: int = 0
    files_skipped: int = 0
    error: str | None = None
    reason: str | None = None
    link: str | None = None


class GroupLine(Frozen):
    """One error group; see `history.groups` for what `state` means.

    Attributes:
        count: failed files in the window (kind `run`: failed runs); 0 for one of the previous period only.
        previous: the same, in the previous period.
        first_seen: in either period; `last_seen` in the window, where it occurred there.
        runs: the affected runs, newest first.
    """

    fingerprint: str
    state: Literal["new", "recurring", "fixed", "gone"]
    kind: Literal["file", "run"]
    error_type: str | None
    message: str | None
    count: int
    previous: int
    first_seen: Moment
    last_seen: Moment
    flows: tuple[str, ...]
    runs: Listing[RunLine]
    example_path: str | None = None
    example_message: str | None = None


class FileLine(Frozen):
    """A file that failed in the newest run of its flow, or before it; see `history.items` for `state`."""

    path: str
    flow: str
    state: Literal["new", "again", "fixed", "unseen"]
    error_type: str | None = None
    error_message: str | None = None
    since: Moment
    run_id: str
    link: str | None = None


class FlowLine(Frozen):
    """One flow (command and subcommand) over the window."""

    name: str
    runs: int
    succeeded: int
    partial: int
    failed: int
    aborted: int
    running: int
    files: int
    files_failed: int
    success_rate: float | None
    p50_ms: int | None
    p95_ms: int | None
    last: RunLine


class Undelivered(Frozen):
    """Emails to one person that were not sent for one reason; flow and run are those of the latest."""

    email: str | None
    name: str | None
    agent_id: str | None
    status: str
    outcome: str | None
    reason: str | None
    flow: str
    run_id: str
    link: str | None = None
    count: int = 1


class Unread(Frozen):
    """A document in the store that could not be read."""

    key: str
    cause: str


class TrackingError(Frozen):
    """What tracking itself could not do."""

    cause: str
    count: int
    runs: int


class Report(Frozen):
    """The delivery report.

    Attributes:
        name: short and stable, for file names and message ids.
        figures: the totals, in the order of showing.
        runs_by, files_by, emails_by: totals by status.
        ungrouped: failed files that are in no group.
        unfinished: runs that were aborted, recovered, or never ended.
        still_running: how many runs are going on and may well end.
        reports_left_out: delivery reports' own runs in the window, which no figure counts.
        compared_whole: False where the comparison of files was cut short.
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
    reports_left_out: int = 0

    def figure(self, key: str) -> Figure:
        """The total of that key."""
        return next(f for f in self.figures if f.key == key)
