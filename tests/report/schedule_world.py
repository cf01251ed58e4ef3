"""A second maker of histories, which shares nothing with `schedule_simulation` but what a history looks like.

Here a small world lives: a clock on a wall somewhere, with its summer time, asks for runs; they wait in a queue until
a worker takes them, who may be away, or busy with a run that takes too long; some get lost on their way, some never
end. Nothing is labelled beforehand. What went wrong is read off the world's own book afterwards, which knows of every
moment which run was made for it, and of every run how long it was meant to take:

    missed   the run for a moment never began, or began more than six hours late
    late     it began later than ten minutes, or half of the schedule's shortest interval, after its moment
    slow     its work was made 5 to 15 times as long as it is on such a day
    stuck    it was made to hang, and went on until the history's end, or for as long as ten of its kind

Moments in a row that went wrong are one label, and so are runs.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from heapq import heappop, heappush
from zoneinfo import ZoneInfo

from schedule_simulation import Family, Made

from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.history.schedule import AUTOMATIC

UTC = timezone.utc
MOMENTS = 60
QUIET = 14
"""The first moments are quiet, so that the flow's pace can be known; so are the last ones, so that all is told."""
LAST = 5
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Auckland")
CHANGES = (
    date(2025, 3, 9),
    date(2025, 3, 30),
    date(2025, 4, 6),
    date(2025, 10, 5),
    date(2025, 10, 26),
    date(2025, 11, 2),
)
"""Days on which clocks change somewhere."""


@dataclass
class Job:
    """A run that was asked for: its moment (None: somebody started it by hand), and what is to become of it."""

    due: datetime
    by_hand: bool = False
    lost: bool = False
    fails: bool = False
    work: float = 0.0
    wrong: str | None = None
    began: datetime | None = None
    ended: datetime | None = None
    name: str = ""


@dataclass
class World:
    """Who works when."""

    rng: random.Random
    workers: int
    away: list[tuple[datetime, datetime]] = field(default_factory=list)

    def back(self, at: datetime) -> datetime:
        """The first moment from `at` on at which somebody is there."""
        for begin, end in self.away:
            if begin <= at < end:
                at = end
        return at


def make_world(seed: int) -> Made:
    """A history of one flow, from a seed."""
    rng = random.Random(f"world {seed}")
    moments = list(_wall_clock(rng))
    shortest = min(b - a for a, b in zip(moments, moments[1:], strict=False) if b > a)
    paused = _paused(rng, moments)
    asked = [at for at in moments if at not in paused]
    world = World(rng, workers=rng.choice((1, 2, 4)))
    if rng.random() < 0.5:
        _send_away(world, asked, shortest)
    usual = rng.uniform(20, min(2400, shortest.total_seconds() * 0.35))
    jobs = [_job(rng, n, at, usual) for n, at in enumerate(asked)]
    jobs += [_by_hand(rng, asked, usual) for _ in range(rng.choice((0, 0, 1, 3)))]
    _work(world, sorted(jobs, key=lambda job: job.due))
    tagged = rng.random() < 0.6  # as Prefect's are; others know neither who started them nor for which moment
    for n, job in enumerate(jobs):
        job.name = f"w{seed}-{n:03d}"
    runs = [_seen(job, tagged) for job in jobs if job.began is not None]
    return Made(asked, runs, _book(jobs, shortest), _looks(rng, asked, shortest))


def _wall_clock(rng: random.Random) -> Iterator[datetime]:
    """Moments of a schedule: of an interval, or of a clock on a wall, around a day on which the clocks change."""
    zone, change = ZoneInfo(rng.choice(ZONES)), rng.choice(CHANGES)
    kind = rng.choice(("interval", "minutes", "daily", "twice", "office"))
    if kind == "interval":
        step = timedelta(minutes=rng.choice((7, 15, 45, 90, 150)))
        first = datetime(change.year, change.month, change.day, tzinfo=UTC) - step * (MOMENTS // 2)
        yield from (first + n * step for n in range(MOMENTS))
        return
    minute, hours = rng.randrange(60), sorted(rng.sample(range(24), 2))
    day, found = change - timedelta(days=1 if kind == "minutes" else 4 if kind == "office" else 20), 0
    while found < MOMENTS:
        at = {
            "minutes": [(h, m) for h in range(24) for m in range(minute % 20, 60, 20)],
            "daily": [(hours[0], minute)],
            "twice": [(h, minute) for h in hours],
            "office": [(h, minute) for h in range(8, 19)] if day.weekday() < 5 else [],
        }[kind]
        # An hour that comes twice counts once, one that does not come counts as the one after it.
        for moment in sorted(
            {datetime(day.year, day.month, day.day, h, m, tzinfo=zone).astimezone(UTC) for h, m in at}
        ):
            if found < MOMENTS:
                found += 1
                yield moment
        day += timedelta(days=1)


def _paused(rng: random.Random, moments: list[datetime]) -> set[datetime]:
    """What a schedule does not ask for while its deployment is paused."""
    if rng.random() < 0.7:
        return set()
    begin = rng.randrange(QUIET, MOMENTS - LAST - 12)
    return set(moments[begin : begin + rng.randrange(2, 10)])


def _send_away(world: World, asked: list[datetime], shortest: timedelta) -> None:
    for _ in range(world.rng.choice((1, 1, 2))):
        begin = asked[world.rng.randrange(QUIET, len(asked) - LAST - 3)] - timedelta(seconds=world.rng.uniform(5, 60))
        # Clearly too long, or clearly nothing.
        length = shortest * world.rng.choice((0.1, 0.9, 1.7, 3.4))
        world.away.append((begin, begin + min(max(length, timedelta(minutes=1)), timedelta(hours=9))))
    world.away.sort()


def _job(rng: random.Random, n: int, at: datetime, usual: float) -> Job:
    monday = 1.25 if at.weekday() == 0 else 1.0
    job = Job(at, work=usual * monday * (1 + n / 400) * rng.lognormvariate(0, 0.18))
    if n < QUIET or n >= MOMENTS - LAST - 10:
        return job
    fate = rng.random()
    if fate < 0.03:
        job.lost = True
    elif fate < 0.07:
        job.fails, job.work = True, job.work * rng.random()
    elif fate < 0.11:
        job.work, job.wrong = max(job.work * rng.uniform(5, 15), job.work + 200), "slow"
    elif fate < 0.13:
        job.work, job.wrong = max(job.work * rng.uniform(10, 40), job.work + 600), "stuck"
    elif fate < 0.14:
        job.work, job.wrong = float("inf"), "stuck"
    return job


def _by_hand(rng: random.Random, asked: list[datetime], usual: float) -> Job:
    n = rng.randrange(2, len(asked) - 2)
    return Job(asked[n] + (asked[n + 1] - asked[n]) * rng.random(), by_hand=True, work=usual * rng.uniform(0.5, 1.2))


def _work(world: World, jobs: list[Job]) -> None:
    """Let the workers take the jobs in their order; one that hangs holds no place, as its process sleeps."""
    free: list[datetime] = []
    for job in jobs:
        if job.lost:
            continue
        at = job.due + timedelta(seconds=world.rng.expovariate(1 / 6) if not job.by_hand else 1)
        if len(free) >= world.workers:
            at = max(at, heappop(free))
        job.began = world.back(at)
        if job.work != float("inf"):
            job.ended = job.began + timedelta(seconds=job.work)
        held = job.ended if job.ended is not None and job.wrong != "stuck" else job.began
        heappush(free, held)


def _seen(job: Job, tagged: bool) -> RunMetadata:
    assert job.began is not None
    end = RunStatus.FAILED if job.fails else RunStatus.SUCCESS
    return RunMetadata(
        run_id=job.name,
        command="flow",
        started_at=job.began,
        completed_at=job.ended,
        status=end if job.ended is not None else RunStatus.RUNNING,
        tags=[AUTOMATIC] if tagged and not job.by_hand else [],
        scheduled_for=job.due if tagged and not job.by_hand else None,
    )


def _book(jobs: list[Job], shortest: timedelta) -> list[tuple[Family, frozenset[str], frozenset[str]]]:
    """What went wrong, as the world knows it."""
    allowed = min(timedelta(minutes=10), shortest / 2)
    moments: list[tuple[str, str | None]] = []
    for job in (job for job in jobs if not job.by_hand):
        wait = None if job.began is None else job.began - job.due
        wrong = "missed" if wait is None or wait > timedelta(hours=6) else "late" if wait > allowed else None
        moments.append((job.due.isoformat(), wrong))
    ran = sorted((job for job in jobs if job.began is not None), key=lambda job: (job.began, job.name))
    paces = [(job.name, job.wrong) for job in ran if not job.fails]
    return [*_in_a_row("schedule", moments), *_in_a_row("pace", paces)]


def _in_a_row(
    family: Family, entries: list[tuple[str, str | None]]
) -> Iterator[tuple[Family, frozenset[str], frozenset[str]]]:
    names: set[str] = set()
    kinds: set[str] = set()
    for name, wrong in [*entries, ("", None)]:
        if wrong is None:
            if names:
                yield family, frozenset(names), frozenset(kinds)
            names, kinds = set(), set()
        else:
            names.add(name)
            kinds.add(wrong)


def _looks(rng: random.Random, asked: list[datetime], shortest: timedelta) -> list[datetime]:
    """When somebody looks: now and then, and not by the schedule's clock."""
    at, end, found = asked[QUIET - 1], asked[-1] + max(2 * shortest, timedelta(hours=7)), []
    while at < end:
        found.append(at)
        at += shortest * rng.uniform(0.2, 0.9)
        if len(found) > 2 and not any(found[-2] < moment + timedelta(hours=8) and moment < at for moment in asked):
            at = min((moment for moment in asked if moment > at), default=end)  # a night, a weekend, a pause
    return [*found, end]
