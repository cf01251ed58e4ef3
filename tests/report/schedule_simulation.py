"""Schedules of flows with problems put in and labelled, and what alerts make of them as time goes by.

The labels are made while the history is, and know nothing of the rules that find them: a run is `missed` if it was
never made; `late` if it was made to begin late, alone or with others that an outage held back; `slow` if its work was
made 5 to 12 times as long; `stuck` if it was made to never end. The rest is noise: starts that waver by minutes, times
with a long tail, failures, and runs by hand, in half of the histories without a mark that tells them from scheduled
ones. Consecutive bad slots (or runs) of one family are one incident.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Literal
from zoneinfo import ZoneInfo

from prefect_trackrecord.delivery.incident_log import LATELY, FlowState, after_look, due, told
from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.history.schedule import AUTOMATIC
from prefect_trackrecord.report.incidents import Rules, incidents

UTC = timezone.utc
SLOTS, WARM_UP, TAIL = 55, 15, 4
LOOKS = 3
"""Looks from one slot to the next."""
Family = Literal["schedule", "pace"]


@dataclass
class Made:
    """A history: its schedule, its runs as they end, its labelled incidents (family, ids, and kinds), and when it is
    looked at; nobody is told of what was over before the first look."""

    expected: list[datetime]
    runs: list[RunMetadata]
    labels: list[tuple[Family, frozenset[str], frozenset[str]]]
    looks: list[datetime]


def make(seed: int) -> Made:
    """A history of one flow, from a seed."""
    rng = random.Random(seed)
    interval = rng.choice([timedelta(hours=1), timedelta(hours=2), timedelta(hours=6), timedelta(days=1)])
    expected = _times(rng, interval)
    base = rng.uniform(120, min(1500, interval.total_seconds() / 12))
    tagged, problems, tail = rng.random() < 0.5, rng.uniform(0.03, 0.2), rng.uniform(0.15, 0.4)
    outage = range(0)
    runs: list[RunMetadata] = []
    schedule: list[tuple[str, str | None]] = []
    pace: list[tuple[datetime, str, str | None]] = []
    for n, at in enumerate(expected):
        inside = WARM_UP <= n < SLOTS - TAIL
        problem = rng.choice(["missed", "late", "slow", "stuck"]) if inside and rng.random() < problems else None
        if inside and problem is None and rng.random() < 0.01:
            outage = range(n, min(n + rng.randrange(2, 4), SLOTS - TAIL))
        if n in outage:
            # The last one's grace is over too when the worker is back.
            ahead = (expected[outage[-1]] - at).total_seconds()
            held = ahead + min(900, interval.total_seconds() * 0.7) if ahead < 5 * 3600 else None
            problem = "late" if held is not None else "missed"
        else:
            held = None
        schedule.append((at.isoformat(), problem if problem in {"missed", "late"} else None))
        if problem != "missed":
            run = _run(rng, f"{seed}-{n:03d}", at, base, interval, problem, tagged, tail, held)
            runs.append(run)
            if run.status is RunStatus.SUCCESS or problem in {"slow", "stuck"}:
                pace.append((run.started_at, run.run_id, problem if problem in {"slow", "stuck"} else None))
        if rng.random() < 0.03:
            runs.append(_by_hand(rng, f"{seed}-{n:03d}-hand", at, interval, base))
            pace.append((runs[-1].started_at, runs[-1].run_id, None))
    paces = [(run_id, problem) for _, run_id, problem in sorted(pace)]
    first, last = expected[WARM_UP - 1], expected[-1] + 2 * interval
    looks = [first + n * interval / LOOKS for n in range(1 + int((last - first) / (interval / LOOKS)))]
    return Made(expected, runs, [*_segments("schedule", schedule), *_segments("pace", paces)], looks)


def _times(rng: random.Random, interval: timedelta) -> list[datetime]:
    start = datetime(2025, 2, 20, rng.randrange(24), rng.randrange(60), tzinfo=UTC)
    if interval < timedelta(days=1):
        return [start + n * interval for n in range(SLOTS)]
    berlin = ZoneInfo("Europe/Berlin")  # a cron of every day at one hour there, over the change of the clocks
    days = [datetime(2025, 2, 20, start.hour, start.minute, tzinfo=berlin) + timedelta(days=n) for n in range(SLOTS)]
    return [day.astimezone(UTC) for day in days]


def _run(
    rng: random.Random,
    run_id: str,
    at: datetime,
    base: float,
    interval: timedelta,
    problem: str | None,
    tagged: bool,
    tail: float,
    held: float | None,
) -> RunMetadata:
    wait = min(rng.lognormvariate(1.2, 1.6), 480)
    if problem == "late":
        wait = rng.uniform(min(1200, interval.total_seconds() * 0.6), min(4 * 3600, interval.total_seconds() * 0.9))
    wait = held if held is not None else wait
    took = base * rng.lognormvariate(0, tail)
    status = RunStatus.SUCCESS
    if problem == "slow":
        took = base * rng.uniform(5, 12)
    elif problem is None and rng.random() < 0.04:
        status, took = RunStatus.FAILED, took * rng.random()
    began = at + timedelta(seconds=wait)
    return RunMetadata(
        run_id=run_id,
        command="flow",
        started_at=began,
        completed_at=None if problem == "stuck" else began + timedelta(seconds=took),
        status=RunStatus.RUNNING if problem == "stuck" else status,
        tags=[AUTOMATIC] if tagged else [],
    )


def _by_hand(rng: random.Random, run_id: str, at: datetime, interval: timedelta, base: float) -> RunMetadata:
    began = at + interval * rng.random()
    end = began + timedelta(seconds=base * rng.lognormvariate(0, 0.25))
    return RunMetadata(run_id=run_id, command="flow", started_at=began, completed_at=end, status=RunStatus.SUCCESS)


def _segments(
    family: Family, signs: list[tuple[str, str | None]]
) -> list[tuple[Family, frozenset[str], frozenset[str]]]:
    found, ids, kinds = [], [], []
    for name, problem in [*signs, ("", None)]:
        if problem is not None:
            ids.append(name)
            kinds.append(problem)
        elif ids:
            found.append((family, frozenset(ids), frozenset(kinds)))
            ids, kinds = [], []
    return found


def as_of(runs: list[RunMetadata], now: datetime) -> list[RunMetadata]:
    """The history as it stood at a moment: what had not begun is not there, what had not ended still runs."""
    return [
        run
        if run.completed_at is not None and run.completed_at <= now
        else run.model_copy(update={"completed_at": None, "status": RunStatus.RUNNING})
        for run in runs
        if run.started_at <= now
    ]


@dataclass
class Score:
    """Labelled incidents, those that were alerted, alerts, false ones, and second ones, by family and kind."""

    labelled: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    alerts: int = 0
    false: int = 0
    twice: int = 0
    recoveries: int = 0
    missed: list[object] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return sum(self.found.values()) / sum(self.labelled.values())

    @property
    def precision(self) -> float:
        return (self.alerts - self.false - self.twice) / self.alerts


def live_through(made: Made, score: Score) -> None:
    """Look at the history again and again as it grows, tell what is due each time, and compare with the labels."""
    rules, state = Rules(), FlowState(flow="flow")
    looked: datetime | None = None
    open_labels = list(made.labels)
    done: list[frozenset[str]] = []
    for _, _, kinds in open_labels:
        score.labelled["+".join(sorted(kinds))] += 1
    for now in made.looks:
        known = as_of(made.runs, now)
        found = [i for i in incidents(known, rules, now, {"flow": made.expected}) if i.family != "failed"]
        state = after_look(state, found, now, looked and max(made.looks[0], looked - LATELY))
        for noted, recovery in due(state):
            state = told(state, noted.incident.key, now, recovery=recovery)
            if recovery:
                score.recoveries += 1
                continue
            score.alerts += 1
            bad = set(noted.incident.bad)
            hit = next((x for x in open_labels if x[0] == noted.incident.family and bad & x[1]), None)
            if hit is not None:
                open_labels.remove(hit)
                done.append(hit[1])
                score.found["+".join(sorted(hit[2]))] += 1
            elif any(bad & ids for ids in done):
                score.twice += 1
            else:
                score.false += 1
        looked = now
    score.missed += open_labels
