"""When runs of deployments were to begin: their schedules, held against what Prefect's scheduler made of them.

A moment of a schedule for which the history has no run was to have one, unless

* its deployment, or the schedule, is paused now, or the schedule was changed after that moment;
* Prefect says that the run was cancelled before it began, or that it ran (then its flow is not tracked);
* the scheduler made no run for it, and has made others since: the deployment was paused at that moment. Where
  nothing at all began then, nor the run before it, the server was away, and the moment counts.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from prefect_trackrecord._prefect import api
from prefect_trackrecord._prefect.bounded import Requests
from prefect_trackrecord.delivery import Expect
from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.history import Grace, flow_key, slots
from prefect_trackrecord.report import Filters

PAGE = 200
SECONDS = 10.0
MAX_PAGES = 25
MOST = 1000
"""So many moments of one deployment count, the newest."""


@dataclass(frozen=True)
class Deployment:
    """One deployment that is scheduled; `times` are the moments of its schedules between the two that were asked."""

    id: str
    name: str
    flow: str
    tags: tuple[str, ...]
    times: tuple[datetime, ...]


def expecting(filters: Filters, grace: Grace, *, most: int = MOST) -> Expect:
    """One that `delivery.run_delivery_report(expect=...)` takes, for the flows that these filters let through."""

    def expect(runs: Sequence[RunMetadata], begin: datetime, until: datetime) -> dict[str, list[datetime]]:
        return expected(runs, begin, until, filters=filters, grace=grace, most=most)

    return expect


def expected(
    runs: Sequence[RunMetadata],
    begin: datetime,
    until: datetime,
    *,
    filters: Filters | None = None,
    grace: Grace | None = None,
    most: int = MOST,
) -> dict[str, list[datetime]]:
    """When runs of each flow (by `flow_key`) were to begin from `begin` on and before `until`.

    Args:
        runs: what the history knows, of that time and of the hours after it.
        begin: the first moment.
        until: the end; not later than now.
        filters: which flows.
        grace: how late a run may come for its moment.
        most: so many moments of one deployment, the newest.

    Raises:
        Exception: the API could not be asked.
    """
    names = _names(runs)
    found: dict[str, list[datetime]] = {}
    with api.client() as prefect:
        by_key: dict[str, list[Deployment]] = {}
        for deployment in _deployments(prefect, begin, until, most):
            if filters is None or _is_one_of(deployment, filters):
                key = names.get(deployment.id) or names.get(f"flow {deployment.flow}") or deployment.flow
                by_key.setdefault(key, []).append(deployment)
        for key, some in by_key.items():
            own = [run for run in runs if flow_key(run) == key]
            times = sorted(at for one in some for at in one.times)
            empty = {s.at for s in slots(key, times, own, until + (grace or Grace()).longest, grace) if s.run is None}
            for one in some:
                excused = _excused(prefect, one, [at for at in one.times if at in empty], {r.run_id for r in own})
                found.setdefault(key, []).extend(at for at in one.times if at not in excused)
    return {key: sorted(times) for key, times in found.items() if times}


def _names(runs: Sequence[RunMetadata]) -> dict[str, str]:
    """The flow keys of deployments by their ids, and of flows by their names; of the newest run."""
    found: dict[str, str] = {}
    for run in sorted(runs, key=lambda r: r.started_at):
        if run.flow_name:
            found[f"flow {run.flow_name}"] = flow_key(run)
        if run.deployment_id:
            found[run.deployment_id] = flow_key(run)
    return found


def _is_one_of(deployment: Deployment, filters: Filters) -> bool:
    """Whether a run of the deployment would be one that the filters let through, as far as can be told before it."""
    run = RunMetadata(
        run_id="",
        command=deployment.flow,
        flow_name=deployment.flow,
        deployment_id=deployment.id,
        deployment_name=deployment.name,
        tags=list(deployment.tags),
        started_at=datetime.now(timezone.utc),
        status=RunStatus.RUNNING,
    )
    return filters.model_copy(update={"status": ()}).matches(run)


def _deployments(prefect: Requests, begin: datetime, until: datetime, most: int) -> list[Deployment]:
    rows = [row for row in _all(prefect, "/deployments/filter", {}) if not row.get("paused")]
    asked = [(row, s) for row in rows for s in row.get("schedules") or () if s.get("active")]
    flow_ids = sorted({row["flow_id"] for row, _ in asked})
    flows: dict[str, str] = {}
    for n in range(0, len(flow_ids), PAGE):
        body = {"flows": {"id": {"any_": flow_ids[n : n + PAGE]}}}
        flows.update((row["id"], row["name"]) for row in _all(prefect, "/flows/filter", body))
    times: dict[str, set[datetime]] = {}
    moments = _computed([(s["schedule"], max(begin, _moment(s["updated"])), until, most) for _, s in asked])
    for (row, _), found in zip(asked, moments, strict=True):
        times.setdefault(row["id"], set()).update(found)
    return [
        Deployment(
            id=row["id"],
            name=row.get("name") or "",
            flow=flows.get(row["flow_id"], ""),
            tags=tuple(row.get("tags") or ()),
            times=tuple(sorted(times[row["id"]])[-most:]),
        )
        for row in rows
        if times.get(row["id"])
    ]


def _excused(
    prefect: Requests, deployment: Deployment, empty: Sequence[datetime], known: set[str]
) -> frozenset[datetime]:
    """Those of the moments without a run in the history that were not to have one after all."""
    if not empty:
        return frozenset()
    after = (min(empty) - timedelta(seconds=1)).isoformat()
    mine = {"deployment_id": {"any_": [deployment.id]}}
    body = {
        "flow_runs": {**mine, "expected_start_time": {"after_": after}},
        "sort": "EXPECTED_START_TIME_ASC",
    }
    rows = [row for row in _all(prefect, "/flow_runs/filter", body) if row.get("auto_scheduled")]
    planned = {_moment(row["expected_start_time"]): row for row in rows if row.get("expected_start_time")}
    made = [_moment(row["created"]) for row in rows if row.get("created")]
    excused, gap = set(), []
    for at in empty:
        row = planned.get(at)
        if row is None:
            if any(when > at for when in made):
                gap.append(at)
            continue
        elsewhere = bool(row.get("start_time")) and row["id"] not in known
        if elsewhere or (row.get("state_type") == "CANCELLED" and not row.get("start_time")):
            excused.add(at)
    if gap:
        body = {"flow_runs": {**mine, "expected_start_time": {"before_": min(gap).isoformat()}}}
        before = _one(prefect, {**body, "sort": "EXPECTED_START_TIME_DESC"})
        if before is not None and before.get("expected_start_time"):
            planned.setdefault(_moment(before["expected_start_time"]), before)
        excused |= {at for at in gap if not _was_away(prefect, at, deployment.times, planned)}
    return frozenset(excused)


def _was_away(
    prefect: Requests, at: datetime, times: Sequence[datetime], planned: Mapping[datetime, Mapping[str, Any]]
) -> bool:
    """Whether the scheduler made no run for this moment because the server was away, and not because it was told to.

    It plans ahead: a pause takes back what was planned, so that the last run before it is one that began. When the
    server goes away, what was planned stays, and begins late or never; until the server is back nothing begins.
    """
    last = max((moment for moment in planned if moment < at), default=None)
    if last is None:
        return False
    first = next((moment for moment in times if moment > last), at)
    began = planned[last].get("start_time")
    if began and _moment(began) < first:
        return False
    body = {"flow_runs": {"start_time": {"after_": first.isoformat()}}, "sort": "START_TIME_ASC"}
    back = _one(prefect, body)
    return back is None or at < _moment(back["start_time"])


def _one(prefect: Requests, body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The first of the flow runs that fit."""
    answer = prefect.request("POST", "/flow_runs/filter", json={**body, "limit": 1}, timeout=SECONDS)
    answer.raise_for_status()
    return next(iter(answer.json()), None)


def _all(prefect: Requests, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for page in range(MAX_PAGES):
        asked = {**body, "limit": PAGE, "offset": page * PAGE}
        answer = prefect.request("POST", path, json=asked, timeout=SECONDS)
        answer.raise_for_status()
        found = answer.json()
        rows += found
        if len(found) < PAGE:
            break
    return rows


def _computed(asked: Sequence[tuple[Mapping[str, Any], datetime, datetime, int]]) -> list[list[datetime]]:
    """The newest moments of each schedule from its begin on and before its end.

    Prefect's scheduler computes them, so that they are the same to the second, daylight saving included. It does so
    asynchronously, and there may be a loop in this thread: it gets one of its own.
    """
    found: list[list[datetime]] = []
    errors: list[BaseException] = []

    async def compute() -> None:
        for schedule, begin, until, most in asked:
            found.append(await _newest(schedule, begin, until, most))

    def run() -> None:
        try:
            asyncio.run(compute())
        except BaseException as exc:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(exc)

    if asked:
        thread = threading.Thread(target=run, name="trackrecord-schedules")
        thread.start()
        thread.join()
    if errors:
        raise errors[0]
    return found


async def _newest(schedule: Mapping[str, Any], begin: datetime, until: datetime, most: int) -> list[datetime]:
    """The newest moments; the time that is looked at grows until there are enough of them."""
    span = timedelta(hours=6)
    while begin < until:
        start = max(begin, until - span)
        found = await _between(schedule, start, until)
        if len(found) >= most or start == begin:
            return found[-most:]
        span *= 4
    return []


async def _between(schedule: Mapping[str, Any], begin: datetime, until: datetime) -> list[datetime]:
    from prefect.server.schemas.schedules import MAX_ITERATIONS, CronSchedule, IntervalSchedule, RRuleSchedule

    kinds: dict[str, Any] = {"cron": CronSchedule, "interval": IntervalSchedule, "rrule": RRuleSchedule}
    kind = next(kind for name, kind in kinds.items() if schedule.get(name) is not None)
    made = kind.model_validate({key: value for key, value in schedule.items() if key in kind.model_fields})
    found: list[datetime] = []
    while True:
        dates = await made.get_dates(n=MAX_ITERATIONS, start=begin, end=until)
        page = [datetime.fromtimestamp(at.timestamp(), timezone.utc) for at in dates]
        found += [at for at in page if begin <= at < until and (not found or at > found[-1])]
        if len(page) < MAX_ITERATIONS:
            return found
        begin = page[-1] + timedelta(microseconds=1)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
