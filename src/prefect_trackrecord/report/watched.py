"""The report's parts about what stands out: broken flows, idle and slow runs, missing ones, metrics, records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.history import (
    OPEN,
    Durations,
    Grace,
    Pace,
    RecordState,
    Slot,
    broken_flows,
    by_flow,
    duration_ms,
    flow_key,
    idle_runs,
    slots,
    timed,
)
from prefect_trackrecord.report.lines import Link, run_line
from prefect_trackrecord.report.model import Figure, Threshold
from prefect_trackrecord.report.period import Period
from prefect_trackrecord.report.rows import (
    BrokenLine,
    FlowNote,
    IdleLine,
    MetricLine,
    MissingLine,
    RecordLine,
    SlowLine,
    StatusLine,
)

STUCK_AFTER = timedelta(hours=24)
"""A record that waits this long in one status is stuck."""
MAX_TIMES = 50
MAX_SLOWEST = 10


def broken(
    runs: Sequence[RunMetadata],
    previous: Sequence[RunMetadata],
    period: Period,
    link: Link,
    notes: Mapping[str, FlowNote],
) -> list[BrokenLine]:
    """The flows of the period that are broken at its end, those first that were so before it began."""
    in_period = {flow_key(run) for run in runs}
    found = [
        BrokenLine(
            flow=b.flow,
            since=b.since,
            count=b.count,
            at_least=b.at_least,
            before=b.since < period.begin,
            last=run_line(b.last, link),
            note=notes.get(b.flow),
        )
        for b in broken_flows((*previous, *runs))
        if b.flow in in_period
    ]
    return sorted(found, key=lambda b: (not b.before, b.since, b.flow))


def idle(runs: Sequence[RunMetadata], previous: Sequence[RunMetadata], link: Link) -> list[IdleLine]:
    """The runs of the period that succeeded and did nothing, newest first."""
    inside = {run.run_id for run in runs}
    found = [i for i in idle_runs((*previous, *runs)) if i.run.run_id in inside]
    newest = sorted(found, key=lambda i: (i.run.started_at, i.run.run_id), reverse=True)
    return [IdleLine(run=run_line(i.run, link), usual=i.usual) for i in newest]


def slowest(
    runs: Sequence[RunMetadata], previous: Sequence[RunMetadata], link: Link, pace: Pace | None = None
) -> list[SlowLine]:
    """The runs that were slow by their own flow's pace, then the longest ones; at least the `MAX_SLOWEST` longest."""
    inside = {run.run_id for run in runs}
    found = [t for t in timed((*previous, *runs), pace) if t.run.run_id in inside and duration_ms(t.run) is not None]
    found.sort(key=lambda t: (not t.slow, -(duration_ms(t.run) or 0), t.run.run_id))
    kept = [t for n, t in enumerate(found) if t.slow or n < MAX_SLOWEST]
    return [SlowLine(run=run_line(t.run, link), usual_ms=t.usual_ms, limit_ms=t.limit_ms, slow=t.slow) for t in kept]


def missing(
    expected: Mapping[str, Iterable[datetime]],
    runs: Sequence[RunMetadata],
    period: Period,
    now: datetime,
    link: Link,
    grace: Grace | None = None,
) -> list[MissingLine]:
    """What schedules asked for in the period and did not get in time, a line per flow and state.

    `runs` may go beyond the period: a run that was due before midnight may have come after it.
    """
    of = by_flow(runs)
    found = []
    for flow in sorted(expected):
        own = of.get(flow, [])
        bad = [s for s in slots(flow, expected[flow], own, now, grace) if s.bad and s.at in period]
        for state in ("missed", "overdue", "late"):
            some = [s for s in bad if s.state == state]
            if some:
                found.append(_missing_line(flow, state, some, own, link))
    return sorted(found, key=lambda m: (("missed", "overdue", "late").index(m.state), -m.count, m.flow))


def _missing_line(flow: str, state: str, some: Sequence[Slot], own: Sequence[RunMetadata], link: Link) -> MissingLine:
    waits = [round((s.run.started_at - s.at).total_seconds()) for s in some if s.run is not None]
    return MissingLine.model_validate(
        {
            "flow": flow,
            "state": state,
            "count": len(some),
            "times": tuple(s.at for s in reversed(some))[:MAX_TIMES],
            "longest_s": max(waits, default=None),
            "last": run_line(own[-1], link) if own else None,
        }
    )


def metrics(
    runs: Sequence[RunMetadata],
    previous: Sequence[RunMetadata],
    thresholds: Sequence[Threshold],
    totals: Mapping[str, Sequence[Figure]],
    link: Link,
) -> list[MetricLine]:
    """The metrics of the runs, and the figures that have a threshold; those that broke one first.

    Args:
        runs: the runs of the period.
        previous: those of the period before.
        thresholds: what may not be crossed; of several that fit a metric, the first counts.
        totals: figures by flow; those of the whole report under `*`.
        link: where runs are seen.
    """
    found = [_metric(flow, name, of, previous, thresholds, link) for (flow, name), of in _given(runs).items()]
    for threshold in thresholds:
        figures = totals["*"] if threshold.flow == "*" else ()
        flows = [flow for flow in totals if flow != "*" and fnmatchcase(flow, threshold.flow)]
        for flow, own in [("", figures), *((f, totals[f]) for f in flows if threshold.flow != "*")]:
            found += [_total(flow, f, threshold) for f in own if f.key == threshold.metric and f.value is not None]
    return sorted(found, key=lambda m: (not m.broken, m.level != "bad", m.flow, m.name))


def _given(runs: Sequence[RunMetadata]) -> dict[tuple[str, str], list[RunMetadata]]:
    found: dict[tuple[str, str], list[RunMetadata]] = {}
    for run in sorted(runs, key=lambda r: (r.started_at, r.run_id)):
        for name in run.metrics:
            found.setdefault((flow_key(run), name), []).append(run)
    return found


def _metric(
    flow: str,
    name: str,
    of: Sequence[RunMetadata],
    previous: Sequence[RunMetadata],
    thresholds: Sequence[Threshold],
    link: Link,
) -> MetricLine:
    rule = next((t for t in thresholds if t.metric == name and fnmatchcase(flow, t.flow)), None)
    values = [run.metrics[name] for run in of]
    before = [run.metrics[name] for run in previous if flow_key(run) == flow and name in run.metrics]
    bad = [run for run in of if rule is not None and rule.broken_by(run.metrics[name])]
    return MetricLine(
        name=name,
        flow=flow,
        runs=len(of),
        last=values[-1],
        mean=sum(values) / len(values),
        lowest=min(values),
        highest=max(values),
        previous=sum(before) / len(before) if before else None,
        floor=rule.floor if rule else None,
        budget=rule.budget if rule else None,
        broken=len(bad),
        level=rule.level if rule else "bad",
        run=run_line((bad or of)[-1], link),
    )


def _total(flow: str, figure: Figure, rule: Threshold) -> MetricLine:
    value = float(figure.value or 0)
    return MetricLine(
        name=figure.key,
        flow=flow,
        runs=1,
        last=value,
        mean=value,
        lowest=value,
        highest=value,
        previous=figure.previous,
        floor=rule.floor,
        budget=rule.budget,
        broken=int(rule.broken_by(value)),
        level=rule.level,
        kind=figure.kind,
    )


def records(states: Sequence[RecordState]) -> tuple[StatusLine, ...]:
    """The records by status, most first, with the time that records spent in each."""
    by_status: dict[str, list[RecordState]] = {}
    times: dict[str, list[int]] = {}
    for state in states:
        by_status.setdefault(state.status, []).append(state)
        for status, seconds in state.times.items():
            times.setdefault(status, []).append(round(seconds * 1000))
    lines = []
    for status in {**by_status, **times}:
        known = by_status.get(status, [])
        spent = Durations(tuple(sorted(times.get(status, []))))
        lines.append(
            StatusLine(
                status=status,
                color=known[0].color if known else "",
                category=known[0].category if known else None,
                count=len(known),
                p50_ms=spent.p50,
                p95_ms=spent.p95,
            )
        )
    return tuple(sorted(lines, key=lambda s: (-s.count, s.status)))


def stuck(
    states: Sequence[RecordState],
    by_id: Mapping[str, RunMetadata],
    now: datetime,
    link: Link,
    after: timedelta = STUCK_AFTER,
) -> list[RecordLine]:
    """The records that wait (pending or active) in one status for too long, longest first."""
    found = [
        RecordLine(
            record_id=state.record_id,
            record_type=state.record_type,
            process=state.process,
            status=state.status,
            since=state.since,
            waiting_ms=round((now - state.since).total_seconds() * 1000),
            run_id=state.run_id,
            error=state.error,
            link=link(by_id.get(state.run_id)),
        )
        for state in states
        if state.category in OPEN and state.since is not None and now - state.since > after
    ]
    return sorted(found, key=lambda r: (-(r.waiting_ms or 0), r.process, r.record_id))
