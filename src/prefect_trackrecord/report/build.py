"""Runs in, report out: a pure function, which reads no store and no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TypeVar

from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.errors import DamagedDocumentError
from prefect_trackrecord.history import (
    Counts,
    Grace,
    ItemChanges,
    Numbers,
    Pace,
    Records,
    by_flow,
    compare,
    flow_key,
    ungrouped,
)
from prefect_trackrecord.report import lines, watched
from prefect_trackrecord.report.figures import figures
from prefect_trackrecord.report.model import Day, Figure, Filters, Report, Threshold
from prefect_trackrecord.report.period import Period
from prefect_trackrecord.report.rows import (
    FileLine,
    FlowLine,
    FlowNote,
    GroupLine,
    Listing,
    RunLine,
    TrackingError,
    Undelivered,
    Unread,
)
from prefect_trackrecord.report.verdict import judge

T = TypeVar("T")
REPORT_ROLE = "report"
STALE_AFTER = timedelta(hours=24)
"""A run that still runs this long after its start counts as never finished."""

MAX_RUNS = 500
MAX_LINES = 200
MAX_GROUP_RUNS = 5

_STATES = ("recurring", "new", "fixed", "gone")
_FILE_STATES = ("new", "fixed", "again", "unseen")


def build_report(
    runs: Sequence[RunMetadata],
    previous_runs: Sequence[RunMetadata] = (),
    *,
    period: Period,
    now: datetime,
    name: str = "delivery-report",
    title: str = "Delivery report",
    filters: Filters | None = None,
    damaged: Sequence[DamagedDocumentError] = (),
    items: ItemChanges | None = None,
    store: str | None = None,
    ui_url: str | None = None,
    include_reports: bool = False,
    records: Records | None = None,
    previous_records: Records | None = None,
    expected: Mapping[str, Iterable[datetime]] | None = None,
    later_runs: Sequence[RunMetadata] = (),
    thresholds: Sequence[Threshold] = (),
    notes: Mapping[str, FlowNote] | None = None,
    grace: Grace | None = None,
    pace: Pace | None = None,
    stuck_after: timedelta = watched.STUCK_AFTER,
) -> Report:
    """The report about the runs that started in `period`.

    Args:
        runs: runs of the period; those that started outside of it are left out.
        previous_runs: runs of the equal period before, which the changes are against.
        period: the days.
        now: the present: the report's own time, and what "still running" is measured by.
        name: short and stable, for file names and message ids.
        title: for people.
        filters: which runs it is about; the others are left out here.
        damaged: documents that could not be read.
        items: how files stand against earlier runs (`history.item_changes`); it proves what is fixed.
        store: where the documents are, for people.
        ui_url: base of links into the Prefect UI.
        include_reports: whether delivery reports' own runs count too.
        records: the records of the period's runs (`history.records_of`).
        previous_records: those of the period before, for the change.
        expected: when runs of each flow (by `flow_key`) were to begin, from schedules.
        later_runs: runs after the period, for what was due at its end and came late.
        thresholds: what turns the verdict.
        notes: what people wrote about flows, by `flow_key`.
        grace: how late is late.
        pace: how slow is slow.
        stuck_after: a record that waits for longer is stuck.
    """
    filters = filters or Filters()
    items = items or ItemChanges()
    before = period.previous()
    inside = [run for run in runs if run.started_at in period and filters.matches(run)]
    now_runs = chosen(inside, filters, include_reports)
    before_runs = [r for r in chosen(previous_runs, filters, include_reports) if r.started_at in before]
    link = lines.linker(ui_url)
    numbers, numbers_before = Numbers.total(now_runs), Numbers.total(before_runs)
    unfinished = _unfinished(now_runs, now)
    running = numbers.runs[RunStatus.RUNNING] - sum(r.status is RunStatus.RUNNING for r in unfinished)
    groups = _groups(now_runs, before_runs, items, link)
    groups_by = _tally((g.state for g in groups), _STATES)
    unread = {error.key: Unread(key=error.key, cause=error.cause) for error in (*damaged, *_damaged(records))}
    totals = figures(numbers, numbers_before, bool(before_runs), _both(records, previous_records))
    measured = watched.metrics(now_runs, before_runs, thresholds, _totals(totals, now_runs, thresholds), link)
    known = {run.run_id: run for run in (*previous_runs, *runs, *later_runs)}
    around = chosen(known.values(), filters, include_reports=True)  # a report may be due, and upkeep, too
    asked = (expected or {}) if not filters.status else {}
    missing = watched.missing(asked, around, period, now, link, grace)
    states = records.states if records is not None else ()
    idle = watched.idle(now_runs, before_runs, link)
    waiting = watched.stuck(states, {r.run_id: r for r in now_runs}, now, link, stuck_after)
    return Report(
        name=name,
        title=title,
        period=period,
        previous_period=before,
        generated_at=now,
        filters=filters,
        store=store,
        verdict=judge(
            numbers,
            period=str(period),
            never_finished=sum(r.status is RunStatus.RUNNING for r in unfinished),
            still_running=running,
            groups_by=groups_by,
            unread=len(unread),
            missed=sum(m.count for m in missing if m.state != "late"),
            idle=len(idle),
            stuck=len(waiting),
            metrics=[m for m in measured if m.broken],
        ),
        figures=totals,
        runs_by=_all(numbers.runs, [s.value for s in RunStatus]),
        files_by=_all(numbers.files, ["success", "failed", "skipped"]),
        emails_by=_all(numbers.emails, ["sent", "failed", "skipped"]),
        days=_days(now_runs, period),
        groups=_listing(groups, MAX_LINES),
        groups_by=groups_by,
        ungrouped=ungrouped(now_runs),
        files=_files(items, {r.run_id: r for r in (*before_runs, *now_runs)}, link),
        files_changed_by=_tally((c.state.value for c in items.changes), _FILE_STATES),
        compared_whole=items.complete,
        flows=_flows(now_runs, link, notes or {}),
        undelivered=_undelivered(now_runs, link),
        unfinished=_listing([lines.run_line(r, link) for r in unfinished], MAX_LINES),
        still_running=running,
        runs=Listing[RunLine](
            items=tuple(lines.run_line(r, link) for r in _by_start(now_runs)[: -MAX_RUNS - 1 : -1]),
            total=len(now_runs),
        ),
        unread=_listing([unread[key] for key in sorted(unread)], MAX_LINES),
        tracking_errors=_tracking_errors(now_runs),
        broken=_listing(watched.broken(now_runs, before_runs, period, link, notes or {}), MAX_LINES),
        idle=_listing(idle, MAX_LINES),
        slowest=_listing(watched.slowest(now_runs, before_runs, link, pace), MAX_LINES),
        missing=_listing(missing, MAX_LINES),
        missed=sum(m.count for m in missing if m.state != "late"),
        late=sum(m.count for m in missing if m.state == "late"),
        metrics=_listing(measured, MAX_LINES),
        records=watched.records(states),
        stuck=_listing(waiting, MAX_LINES),
        records_whole=records is None or records.complete,
        reports_left_out=len(inside) - len(now_runs),
    )


def chosen(runs: Iterable[RunMetadata], filters: Filters, include_reports: bool = False) -> list[RunMetadata]:
    """The runs that a report with these filters counts."""
    return [r for r in runs if filters.matches(r) and (include_reports or r.role is None)]


def _damaged(records: Records | None) -> Sequence[DamagedDocumentError]:
    return records.damaged if records is not None else ()


def _both(records: Records | None, previous: Records | None) -> tuple[int, int | None] | None:
    if records is None:
        return None
    return len(records.states), len(previous.states) if previous is not None else None


def _totals(
    whole: tuple[Figure, ...], runs: Sequence[RunMetadata], thresholds: Sequence[Threshold]
) -> dict[str, tuple[Figure, ...]]:
    """The figures of the report, and of each flow where a threshold asks for one flow's."""
    found = {"*": whole}
    if any(t.flow != "*" for t in thresholds):
        for flow, of in by_flow(runs).items():
            found[flow] = figures(Numbers.total(of), Numbers(), compared=False)
    return found


def _days(runs: Sequence[RunMetadata], period: Period) -> tuple[Day, ...]:
    by_day: dict[date, list[RunMetadata]] = {day: [] for day in period.days()}
    for run in runs:
        by_day[period.day_of(run.started_at)].append(run)
    totals = {day: Numbers.total(found) for day, found in by_day.items()}
    return tuple(Day(day=day, hours=period.hours(day), runs=n.runs.by, files=n.files.by) for day, n in totals.items())


def _groups(
    runs: Sequence[RunMetadata],
    previous: Sequence[RunMetadata],
    items: ItemChanges,
    link: lines.Link,
) -> list[GroupLine]:
    by_id = {run.run_id: run for run in (*previous, *runs)}
    found = [
        lines.group_line(change, by_id, link, MAX_GROUP_RUNS) for change in compare(runs, previous, items.came_through)
    ]
    return sorted(found, key=lambda g: (_STATES.index(g.state), -g.count, -g.previous, g.fingerprint))


def _files(items: ItemChanges, by_id: dict[str, RunMetadata], link: lines.Link) -> Listing[FileLine]:
    ordered = sorted(items.changes, key=lambda c: (_FILE_STATES.index(c.state.value), c.flow, c.path))
    known = [c for c in ordered if c.state.value != "unseen"]
    return _listing([lines.file_line(c, by_id, link) for c in known], MAX_LINES)


def _flows(runs: Sequence[RunMetadata], link: lines.Link, notes: Mapping[str, FlowNote]) -> Listing[FlowLine]:
    """The flows, worst first: by runs that broke, then by files that failed, then by partial runs."""
    by_flow: dict[str, list[RunMetadata]] = {}
    for run in _by_start(runs):
        by_flow.setdefault(flow_key(run), []).append(run)
    found = [lines.flow_line(name, of, link, notes.get(name)) for name, of in by_flow.items()]
    worst = sorted(found, key=lambda f: (-(f.failed + f.aborted), -f.files_failed, -f.partial, f.name))
    return _listing(worst, MAX_LINES)


def _undelivered(runs: Sequence[RunMetadata], link: lines.Link) -> Listing[Undelivered]:
    """Equal ones in one line with their number; failed before skipped."""
    found: dict[tuple[str | None, ...], Undelivered] = {}
    for run in _by_start(runs):
        for result in run.email_results:
            if result.status != "sent":
                line = lines.undelivered(run, result, link)
                key = (line.email, line.name, line.agent_id, line.status, line.outcome, line.reason, line.flow)
                count = found[key].count + 1 if key in found else 1
                found[key] = line.model_copy(update={"count": count})
    return _listing(sorted(found.values(), key=lambda u: (u.status != "failed", -u.count)), MAX_LINES)


def _unfinished(runs: Sequence[RunMetadata], now: datetime) -> list[RunMetadata]:
    """Runs that were aborted (recovered ones too), and runs that ought to have ended long ago."""
    return [
        run
        for run in _by_start(runs)
        if run.status is RunStatus.ABORTED or (run.status is RunStatus.RUNNING and now - run.started_at > STALE_AFTER)
    ]


def _tracking_errors(runs: Sequence[RunMetadata]) -> Listing[TrackingError]:
    causes: dict[str, list[int]] = {}
    for run in runs:
        for cause, count in run.tracking_errors.items():
            causes.setdefault(cause, []).append(count)
    found = [TrackingError(cause=c, count=sum(n), runs=len(n)) for c, n in sorted(causes.items())]
    return _listing(sorted(found, key=lambda e: -e.count), MAX_LINES)


def _by_start(runs: Iterable[RunMetadata]) -> list[RunMetadata]:
    return sorted(runs, key=lambda run: (run.started_at, run.run_id))


def _listing(found: Sequence[T], limit: int) -> Listing[T]:
    return Listing[T](items=tuple(found[:limit]), total=len(found))


def _tally(states: Iterable[str], names: Iterable[str]) -> dict[str, int]:
    counts = dict.fromkeys(names, 0)
    for state in states:
        counts[state] += 1
    return counts


def _all(counts: Counts, names: Iterable[str]) -> dict[str, int]:
    """The counts with a 0 for names that are absent."""
    return {**dict.fromkeys(names, 0), **counts.by}
