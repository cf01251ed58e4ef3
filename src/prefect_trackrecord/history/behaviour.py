"""What stands out in the runs of a flow: broken since when, green but idle, and slower than its own pace.

All rules go by flow, over the runs that ended, in the order of their starts. They know only the runs that they are
given: what began before the first of these is said to have begun `at_least` then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.history.numbers import Durations, duration_ms, file_counts, flow_key

BROKEN = frozenset({RunStatus.FAILED, RunStatus.ABORTED})
USUAL_RUNS = 5
"""How many runs before an idle one must have had items; and after how many idle ones in a row that is the rule."""


@dataclass(frozen=True)
class Broken:
    """A flow whose newest run that ended is failed or aborted.

    Attributes:
        first, last: the first and the newest of the broken runs that follow each other.
        count: how many they are.
        at_least: True where no run before `first` is known: it may be broken for longer.
    """

    flow: str
    first: RunMetadata
    last: RunMetadata
    count: int
    at_least: bool

    @property
    def since(self) -> datetime:
        """Start of the first broken run."""
        return self.first.started_at


@dataclass(frozen=True)
class Idle:
    """A run that succeeded with nothing in it; `usual` is the median number of items of the five before it."""

    run: RunMetadata
    usual: int


@dataclass(frozen=True)
class Pace:
    """When a run is slow: more than `factor` times the 95th percentile of its own flow's runs before it.

    Attributes:
        factor: how many times.
        runs: so many earlier runs are needed, else nothing is slow.
        extra_ms: and by so much, so that a run of 5 s instead of 2 s wakes nobody.
        keep: how many earlier runs count, the newest.
    """

    factor: float = 2.0
    runs: int = 10
    extra_ms: int = 60_000
    keep: int = 100

    def limit(self, earlier: Sequence[int]) -> int | None:
        """The longest time that is not slow, after these durations; None where they are too few."""
        if len(earlier) < self.runs:
            return None
        p95 = Durations(tuple(sorted(earlier[-self.keep :]))).p95 or 0
        return max(round(p95 * self.factor), p95 + self.extra_ms)


@dataclass(frozen=True)
class Timed:
    """A run with the limit that its flow had when it began (None: not known yet), and its usual time (median)."""

    run: RunMetadata
    limit_ms: int | None
    usual_ms: int | None

    @property
    def slow(self) -> bool:
        """Whether it ended, and took longer than its limit."""
        took = duration_ms(self.run)
        return self.limit_ms is not None and took is not None and took > self.limit_ms


def items_of(run: RunMetadata) -> int:
    """How much the run had to do with: files and emails."""
    return file_counts(run).total + run.emails_sent + run.emails_failed + run.emails_skipped


def by_flow(runs: Iterable[RunMetadata]) -> dict[str, list[RunMetadata]]:
    """The runs of each flow by their start, each run once."""
    found: dict[str, dict[str, RunMetadata]] = {}
    for run in runs:
        found.setdefault(flow_key(run), {})[run.run_id] = run
    return {flow: sorted(of.values(), key=lambda r: (r.started_at, r.run_id)) for flow, of in sorted(found.items())}


def broken_flows(runs: Iterable[RunMetadata]) -> list[Broken]:
    """The flows that are broken now, longest first."""
    found = []
    for flow, of in by_flow(runs).items():
        ended = [run for run in of if run.status is not RunStatus.RUNNING]
        streak: list[RunMetadata] = []
        for run in reversed(ended):
            if run.status not in BROKEN:
                break
            streak.append(run)
        if streak:
            found.append(Broken(flow, streak[-1], streak[0], len(streak), len(streak) == len(ended)))
    return sorted(found, key=lambda b: (b.since, b.flow))


def idle_runs(runs: Iterable[RunMetadata]) -> list[Idle]:
    """The runs that succeeded with 0 items where the five runs before them all had some.

    Idle runs do not count among those five, so that the second one in a row is told as well; after five in a row
    having nothing to do is the flow's new habit.
    """
    found = []
    for of in by_flow(runs).values():
        usual: list[int] = []
        in_a_row = 0
        for run in of:
            if run.status not in {RunStatus.SUCCESS, RunStatus.PARTIAL_SUCCESS}:
                continue
            items, last = items_of(run), usual[-USUAL_RUNS:]
            if not items and len(last) == USUAL_RUNS and min(last) > 0 and in_a_row < USUAL_RUNS:
                found.append(Idle(run, sorted(last)[USUAL_RUNS // 2]))
                in_a_row += 1
                continue
            usual.append(items)
            in_a_row = in_a_row if not items else 0
    return found


def timed(runs: Iterable[RunMetadata], pace: Pace | None = None) -> list[Timed]:
    """Each run with its limit, from its flow's runs before it that ended well.

    A slow run does not widen the limit for the next ones, until `USUAL_RUNS` in a row were slow: that is then the
    flow's new pace.
    """
    pace = pace or Pace()
    found = []
    for of in by_flow(runs).values():
        earlier: list[int] = []
        slow: list[int] = []
        for run in of:
            usual = Durations(tuple(sorted(earlier[-pace.keep :]))).p50
            entry = Timed(run, pace.limit(earlier), usual)
            found.append(entry)
            took = duration_ms(run)
            if took is None or run.status in BROKEN:
                continue
            if not entry.slow:
                earlier.append(took)
                slow = []
                continue
            slow.append(took)
            if len(slow) >= USUAL_RUNS:
                earlier, slow = slow, []
    return found
