"""Incidents in a history: what is wrong with a flow, from when to when. Pure: runs and schedules in, incidents out.

Kinds:

    failed           runs that failed or were aborted, in a row
    late, missed     runs that a schedule asked for and that came late, or did not come, in a row
    slow, stuck      runs that take longer than their flow's own pace allows, in a row: `stuck` while one still
                     runs, `slow` once all of them ended

An incident opens with the first bad run once there are `failures_before_alert` of them, and closes with the
`successes_before_recovery`th good one after it. What is bad in the meantime belongs to it: so there is one incident,
and one alert, however many runs it takes. `late` becomes `missed` and `stuck` becomes `slow` without being another
incident. Its key is made of flow, family and first bad run (or moment), and never changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.history import BROKEN, Grace, Pace, by_flow, slots, timed

Kind = Literal["failed", "late", "missed", "slow", "stuck"]
Family = Literal["failed", "schedule", "pace"]

STUCK_AFTER = timedelta(hours=24)


@dataclass(frozen=True)
class Rules:
    """When something is an incident.

    Attributes:
        failures_before_alert: so many bad runs in a row open one (schedule and pace: one is enough).
        successes_before_recovery: so many good ones in a row close it.
        partial_is_bad: whether a run in which some files failed counts as failed.
        grace: how late is late.
        pace: how slow is slow: twice the own p95, from ten runs on.
        stuck_after: a run of a flow without a pace of its own is stuck after this long.
    """

    failures_before_alert: int = 1
    successes_before_recovery: int = 1
    partial_is_bad: bool = False
    grace: Grace = field(default_factory=Grace)
    pace: Pace = field(default_factory=Pace)
    stuck_after: timedelta = STUCK_AFTER

    def is_bad(self, run: RunMetadata) -> bool:
        """Whether a run that ended counts as failed."""
        return run.status in BROKEN or (self.partial_is_bad and run.status is RunStatus.PARTIAL_SUCCESS)


@dataclass(frozen=True)
class Sign:
    """One thing that says how a flow does, in order of time: a run that ended, or a moment of its schedule.

    Attributes:
        id: the run's id, or the moment.
        at: when it began, or was to begin.
        bad: whether it is.
        kind: what a bad one makes of the incident.
        run_id: the run, where there is one.
    """

    id: str
    at: datetime
    bad: bool
    kind: Kind = "failed"
    run_id: str | None = None


@dataclass(frozen=True)
class Incident:
    """One thing that is, or was, wrong.

    Attributes:
        key: stable name: the same incident has it in every later look.
        kind: as it stands now.
        opened_at: when its first bad run began (schedule: was to begin).
        bad: ids of its bad runs (schedule: the moments), oldest first.
        run_id: the newest bad run; None where none came.
        closed_at: when the run that made it well began; None while it lasts.
        recovered_by: that run.
    """

    key: str
    flow: str
    family: Family
    kind: Kind
    opened_at: datetime
    bad: tuple[str, ...]
    run_id: str | None = None
    closed_at: datetime | None = None
    recovered_by: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it lasts."""
        return self.closed_at is None


@dataclass(frozen=True)
class Course:
    """How a flow stands in one family after some signs: what `step` goes on from. Plain data, kept between looks.

    Attributes:
        bad: the bad signs in a row that have not made an incident yet.
        good: how many good ones came since the last bad one of an open incident.
        incident: the open one.
    """

    bad: tuple[Sign, ...] = ()
    good: int = 0
    incident: Incident | None = None


def step(course: Course, sign: Sign, flow: str, family: Family, rules: Rules) -> tuple[Course, Incident | None]:
    """The course after one more sign, and the incident that this sign closed."""
    before = rules.failures_before_alert if family == "failed" else 1
    incident = course.incident
    if sign.bad:
        if incident is not None:
            longer = replace(
                incident,
                kind=_kind(incident, sign),
                bad=(*incident.bad, sign.id),
                run_id=sign.run_id or incident.run_id,
            )
            return Course(incident=longer), None
        bad = (*course.bad, sign)
        if len(bad) < before:
            return Course(bad=bad), None
        opened = Incident(
            key=incident_key(flow, family, bad[0].id),
            flow=flow,
            family=family,
            kind=sign.kind,
            opened_at=bad[0].at,
            bad=tuple(s.id for s in bad),
            run_id=sign.run_id,
        )
        return Course(incident=opened), None
    if incident is None:
        return Course(), None
    good = course.good + 1
    if good < rules.successes_before_recovery:
        return Course(good=good, incident=incident), None
    closed = replace(incident, closed_at=sign.at, recovered_by=sign.run_id)
    return Course(), closed


def incident_key(flow: str, family: str, first: str) -> str:
    """The name of an incident: 24 characters that are safe in a file's name."""
    return f"{family}-{hashlib.sha256(f'{flow}|{family}|{first}'.encode('utf-8', 'replace')).hexdigest()[:16]}"


def _kind(incident: Incident, sign: Sign) -> Kind:
    """`missed` stays missed; else the newest sign's kind."""
    return "missed" if incident.kind == "missed" else sign.kind


def signs(
    flow: str,
    runs: Sequence[RunMetadata],
    rules: Rules,
    now: datetime,
    expected: Iterable[datetime] = (),
    came: Sequence[RunMetadata] | None = None,
) -> dict[Family, list[Sign]]:
    """What a flow's runs and schedule say, by family, in order of time; `came` are the runs that schedules ask for."""
    return {
        "failed": _failed(runs, rules),
        "schedule": _schedule(flow, runs if came is None else came, rules, now, expected),
        "pace": _pace(runs, rules, now),
    }


def incidents(
    runs: Iterable[RunMetadata],
    rules: Rules,
    now: datetime,
    expected: Mapping[str, Iterable[datetime]] | None = None,
    came: Iterable[RunMetadata] | None = None,
) -> list[Incident]:
    """All incidents of a history, oldest first.

    Args:
        runs: the runs of the flows, of as long a time as is known: the pace of a flow is taken from them.
        rules: when something is an incident.
        now: the present.
        expected: when runs of each flow were to begin, from schedules; of the time that the runs are of.
        came: the runs that schedules are held against, where that are more than `runs`.
    """
    expected = expected or {}
    grouped = by_flow(runs)
    due = by_flow(came) if came is not None else grouped
    found: list[Incident] = []
    for flow in sorted({*grouped, *expected}):
        own, times = grouped.get(flow, []), expected.get(flow, ())
        for family, told in signs(flow, own, rules, now, times, due.get(flow, [])).items():
            found += follow(Course(), told, flow, family, rules)[1]
    return sorted(found, key=lambda i: (i.opened_at, i.key))


def follow(
    course: Course, told: Iterable[Sign], flow: str, family: Family, rules: Rules
) -> tuple[Course, list[Incident]]:
    """The course after all these signs, and the incidents: those that closed, and the open one last."""
    found = []
    for sign in told:
        course, closed = step(course, sign, flow, family, rules)
        if closed is not None:
            found.append(closed)
    return course, [*found, *([course.incident] if course.incident else [])]


def sign_of(run: RunMetadata, rules: Rules) -> Sign:
    """What a run that ended says."""
    return Sign(run.run_id, run.started_at, rules.is_bad(run), "failed", run.run_id)


def _failed(runs: Sequence[RunMetadata], rules: Rules) -> list[Sign]:
    ended = [run for run in runs if run.status is not RunStatus.RUNNING]
    ended.sort(key=lambda run: (run.completed_at or run.started_at, run.run_id))
    return [sign_of(run, rules) for run in ended]


def _schedule(
    flow: str, runs: Sequence[RunMetadata], rules: Rules, now: datetime, expected: Iterable[datetime]
) -> list[Sign]:
    return [
        Sign(
            slot.at.isoformat(),
            slot.at,
            slot.bad,
            "missed" if slot.state == "missed" else "late",
            slot.run.run_id if slot.run else None,
        )
        for slot in slots(flow, expected, runs, now, rules.grace)
        if slot.state != "due"
    ]


def _pace(runs: Sequence[RunMetadata], rules: Rules, now: datetime) -> list[Sign]:
    """Runs against their own flow's pace. A run that goes on within it says nothing yet, nor one that broke."""
    told = []
    for entry in timed(runs, rules.pace):
        run = entry.run
        if run.status is RunStatus.RUNNING:
            limit = timedelta(milliseconds=entry.limit_ms) if entry.limit_ms is not None else rules.stuck_after
            if now - run.started_at > limit:
                told.append(Sign(run.run_id, run.started_at, bad=True, kind="stuck", run_id=run.run_id))
        elif entry.slow or run.status not in BROKEN:
            told.append(Sign(run.run_id, run.started_at, bad=entry.slow, kind="slow", run_id=run.run_id))
    return told
