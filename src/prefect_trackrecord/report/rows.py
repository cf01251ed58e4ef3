"""The lines of the report's lists as frozen models: a run, an error group, a flow, and so on."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from prefect_trackrecord.documents.models import Moment

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


class FlowNote(Frozen):
    """What people wrote about a flow, for those who are woken by it."""

    owner: str | None = None
    description: str | None = None
    runbook_url: str | None = None


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
    note: FlowNote | None = None


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


class BrokenLine(Frozen):
    """A flow whose newest run failed or was aborted.

    Attributes:
        since: start of the first of its broken runs; they are `count` in a row.
        at_least: True where it may be broken for longer than the report looks back.
        before: True where it was broken before the period began.
        last: the newest of them.
    """

    flow: str
    since: Moment
    count: int
    at_least: bool
    before: bool
    last: RunLine
    note: FlowNote | None = None


class IdleLine(Frozen):
    """A run that succeeded with nothing in it, where the five before it had `usual` items (median)."""

    run: RunLine
    usual: int


class SlowLine(Frozen):
    """One of the longest runs; `slow` where it took longer than `limit_ms`, which its flow's own pace sets."""

    run: RunLine
    usual_ms: int | None = None
    limit_ms: int | None = None
    slow: bool = False


class MissingLine(Frozen):
    """Runs of one flow that a schedule asked for and that did not come, or came late.

    Attributes:
        state: `missed`, or `overdue` for what may come yet, or `late` for what came late.
        count: how many.
        times: when they were due, newest first.
        longest_s: the longest wait, for those that came late.
        last: the newest run that there is.
    """

    flow: str
    state: Literal["missed", "overdue", "late"]
    count: int
    times: tuple[Moment, ...]
    longest_s: int | None = None
    last: RunLine | None = None


class MetricLine(Frozen):
    """One metric of one flow over the window, or of the whole report where `flow` is empty.

    Attributes:
        runs: how many runs gave it (for a total of the report: 1).
        last, mean, lowest, highest: its values; `previous` is the mean of the period before.
        floor, budget: what it may not fall below, or rise above.
        broken: in how many runs it did.
        level: what that makes of the verdict.
        kind: how it is written: as the number that runs gave, or as a figure of the report.
        run: the newest run that broke it, or else the newest that gave it.
    """

    name: str
    flow: str = ""
    runs: int
    last: float
    mean: float
    lowest: float
    highest: float
    previous: float | None = None
    floor: float | None = None
    budget: float | None = None
    broken: int = 0
    level: Literal["warn", "bad"] = "bad"
    kind: Literal["number", "count", "share", "duration"] = "number"
    run: RunLine | None = None

    @property
    def change(self) -> float | None:
        """How much more the mean is than in the previous period."""
        return None if self.previous is None else self.mean - self.previous


class StatusLine(Frozen):
    """Records of one status; the times are those that records spent in it before they left it, in ms."""

    status: str
    color: str
    category: str | None
    count: int
    p50_ms: int | None = None
    p95_ms: int | None = None


class RecordLine(Frozen):
    """One record that waits; `link` is that of the run that worked on it last."""

    record_id: str
    record_type: str
    process: str
    status: str
    since: Moment | None
    waiting_ms: int | None
    run_id: str
    error: str | None = None
    link: str | None = None
