"""Which runs a schedule asked for came, came late, or did not come.

A schedule is plain data: the moments at which runs of a flow were to begin. A run that knows its moment
(`scheduled_for`) came for that one. Others are matched in two passes, each run to one moment at most: first every
moment takes the first run within its grace; then each run that is left takes the latest moment before it that is
left, within `longest`. So a run that is missing does not make all the later ones late, and a worker that catches up
after an outage brings late runs, not missed ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from prefect_trackrecord.documents.models import RunMetadata

AUTOMATIC = "auto-scheduled"
"""The tag that Prefect gives to runs that a schedule made. Where a flow has such runs, the others don't count."""

MAX_AT_ONCE = 100
"""So many runs of a flow may be due at one moment."""

SlotState = Literal["on_time", "late", "overdue", "missed", "due"]


@dataclass(frozen=True)
class Grace:
    """How late is late.

    Attributes:
        late: a run that begins later than this is late; never more than half of the schedule's shortest interval.
        longest: a run that begins later than this is another run: the one that was due is missed. A run that has
            not begun when the next one is due counts as missed too, until it comes.
        early: clocks differ; a run may seem to begin so much too early.
    """

    late: timedelta = timedelta(minutes=10)
    longest: timedelta = timedelta(hours=6)
    early: timedelta = timedelta(seconds=30)


@dataclass(frozen=True)
class Slot:
    """One moment of a schedule.

    Attributes:
        state: `on_time`, `late` (a run came, late), `overdue` (none came yet, and it is late), `missed`, or `due`
            (still within its grace).
        run: the run that came.
    """

    flow: str
    at: datetime
    state: SlotState
    run: RunMetadata | None = None

    @property
    def bad(self) -> bool:
        """Whether it is late, overdue or missed."""
        return self.state not in {"on_time", "due"}


def slots(
    flow: str,
    expected: Iterable[datetime],
    runs: Sequence[RunMetadata],
    now: datetime,
    grace: Grace | None = None,
) -> list[Slot]:
    """How each moment of a flow's schedule that has come stands.

    Args:
        flow: the flow.
        expected: when its runs were to begin; those in the future are left out.
        runs: the flow's runs.
        now: the present.
        grace: how late is late.
    """
    grace = grace or Grace()
    times = sorted(at for at in expected if at <= now)  # two at one moment are two runs, of two deployments
    interval = min((b - a for a, b in pairwise(times) if b > a), default=None)
    late = grace.late if interval is None else min(grace.late, interval / 2)
    taken = _match(times, _of_schedule(runs), late, grace)
    found = []
    for n, at in enumerate(times):
        run = taken[n]
        following = next((later for later in times[n + 1 : n + 1 + MAX_AT_ONCE] if later > at), None)
        if run is not None:
            state: SlotState = "on_time" if run.started_at <= at + late else "late"
        elif now <= at + late:
            state = "due"
        else:
            over = now > at + grace.longest or (following is not None and now > following + late)
            state = "missed" if over else "overdue"
        found.append(Slot(flow, at, state, run))
    return found


def _of_schedule(runs: Sequence[RunMetadata]) -> list[RunMetadata]:
    automatic = [run for run in runs if AUTOMATIC in run.tags]
    return sorted(automatic or runs, key=lambda run: (run.started_at, run.run_id))


def _match(
    times: Sequence[datetime], runs: Sequence[RunMetadata], late: timedelta, grace: Grace
) -> list[RunMetadata | None]:
    taken: list[RunMetadata | None] = [None] * len(times)
    left: list[RunMetadata] = []
    runs = _those_that_know(times, runs, taken, grace)
    n = 0
    for run in runs:  # both are sorted: one walk
        while n < len(times) and (taken[n] is not None or run.started_at > times[n] + late):
            n += 1
        if n < len(times) and run.started_at >= times[n] - grace.early:
            taken[n] = run
        else:
            left.append(run)
    free = [n for n, run in enumerate(taken) if run is None]
    waiting: list[int] = []
    k = 0
    for run in left:
        while k < len(free) and times[free[k]] <= run.started_at:
            waiting.append(free[k])
            k += 1
        if waiting and run.started_at <= times[waiting[-1]] + grace.longest:
            taken[waiting.pop()] = run
    return taken


def _those_that_know(
    times: Sequence[datetime], runs: Sequence[RunMetadata], taken: list[RunMetadata | None], grace: Grace
) -> list[RunMetadata]:
    """Give each run that knows its moment to that one; gives those that don't.

    Two deployments' runs of one moment have two places. One whose moment the schedule no longer asks for came for none.
    """
    places: dict[datetime, list[int]] = {}
    for n, at in enumerate(times):
        places.setdefault(at.replace(microsecond=0), []).append(n)
    others = []
    for run in runs:
        if run.scheduled_for is None:
            others.append(run)
        elif (free := places.get(run.scheduled_for.replace(microsecond=0))) and (
            run.started_at <= times[free[0]] + grace.longest
        ):
            taken[free.pop(0)] = run
    return others
