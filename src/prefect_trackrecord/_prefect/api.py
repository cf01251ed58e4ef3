"""The few requests that tracking makes of Prefect's API, each bounded in time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from httpx import HTTPError, HTTPStatusError, Response
from prefect.client.orchestration import get_client
from prefect.context import AsyncClientContext, FlowRunContext, SyncClientContext
from prefect.task_runners import ThreadPoolTaskRunner

from prefect_trackrecord._prefect import clients
from prefect_trackrecord._prefect.bounded import SECONDS, Bounded, OnLoop, Requests
from prefect_trackrecord._prefect.runs import LiveRun, TaskEnd
from prefect_trackrecord.journal.plain import mask_text

QUICK = 1.0
LONGEST = 15.0
PAGE = 200
MAX_FAILED_TASKS = 100
NOT_READY = "NotReady"
_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_FINE = {"COMPLETED", "RUNNING", "PENDING", "SCHEDULED", "PAUSED"}


@contextmanager
def client(loop: asyncio.AbstractEventLoop | None = None) -> Iterator[Requests]:
    """The client of the surrounding flow run, or one of our own.

    Args:
        loop: the event loop of an async flow, as long as it runs.
    """
    mine = AsyncClientContext.get()
    if SyncClientContext.get() is not None:
        yield Bounded(get_client(sync_client=True))
    elif mine is not None and loop is not None and loop.is_running():
        yield OnLoop(mine.client, loop)
    else:
        with clients.new() as own:
            yield Bounded(own)


Told = Callable[[], Collection[str]]


class TaskRuns(NamedTuple):
    """A flow run's task runs.

    Attributes:
        rows: as the API gives them; empty where it was not asked.
        elsewhere: whether they run in other processes.
    """

    rows: list[dict[str, Any]]
    elsewhere: bool


def answer(prefect: Requests, method: str, path: str, **more: Any) -> Response:
    """Make a request; an error status is an answer too, where Prefect's own client raises.

    Raises:
        httpx.HTTPError: there was no answer.
    """
    try:
        return prefect.request(method, path, **more)
    except HTTPStatusError as exc:
        return exc.response


def task_runs(prefect: Requests, run: LiveRun, told: Told) -> TaskRuns:
    """What became of a flow run's task runs.

    The API lags behind what happens. A task run whose end this process has seen is told as seen. Where it has seen
    them all end well, the API is not asked for them; where it has seen them all, an API that is busy is not waited
    for; where tasks run in other processes, the API is read again for as long as the time allows, and the run's own
    journal does not know.

    Args:
        prefect: whom to ask.
        run: the flow's.
        told: the task runs whose outcome the run's journal holds.

    Raises:
        Exception: the API did not answer.
    """
    if _has_seen_all(run):
        if run.watched and not run.submitted and not any(end.bad for end in list(run.tasks.values())):
            return TaskRuns([], elsewhere=False)
        try:
            return _asked(prefect, run, time.monotonic() + QUICK, told)
        except (HTTPError, TimeoutError):
            return observed()
    # What has run for long has left the API much to do; it may take that run longer to tell of it.
    deadline = time.monotonic() + max(SECONDS, min(LONGEST, (time.monotonic() - run.began) / 4))
    return _asked(prefect, run, deadline, told)


def deployment_name(prefect: Requests, deployment_id: object, seconds: float) -> str | None:
    """The name of a deployment; None for one that was deleted, or that this API key may not see.

    Raises:
        Exception: the API did not answer in time.
    """
    found = answer(prefect, "GET", f"/deployments/{deployment_id}", timeout=seconds)
    if found.status_code in (401, 403, 404):
        return None
    found.raise_for_status()
    name: str | None = found.json().get("name")
    return name


def name_besides(prefect: Requests, deployment_id: object, seconds: float) -> str | None:
    """As `deployment_name`, for one who asks for more than that: None also where the API fails at that alone."""
    with suppress(HTTPStatusError):
        return deployment_name(prefect, deployment_id, seconds)
    return None


def _asked(prefect: Requests, run: LiveRun, deadline: float, told: Told) -> TaskRuns:
    rows = read_task_runs(prefect, run.run_id, deadline)
    came = time.monotonic()
    while _elsewhere() and time.monotonic() + 0.25 < deadline:
        expected = {name for name, one in list(run.submitted.items()) if one.refused is None}
        missing = expected - {*run.tasks, *(row["id"] for row in rows)}
        open_ = {r["id"] for r in rows if not is_final(r) and r["id"] not in run.tasks}
        known = told() if missing or open_ else ()
        # what was submitted may never have become a task run: it is waited for as long as others still come
        if not open_.difference(known) and not (missing.difference(known) and time.monotonic() < came + SECONDS):
            break
        time.sleep(0.25)
        before = len(rows)
        rows = read_task_runs(prefect, run.run_id, deadline)
        if len(rows) > before:
            came = time.monotonic()
    return TaskRuns(rows, elsewhere=_elsewhere())


def observed() -> TaskRuns:
    """As `task_runs`, where the API says nothing."""
    return TaskRuns([], elsewhere=_elsewhere())


def _elsewhere() -> bool:
    context = FlowRunContext.get()
    return context is not None and leaves_the_process(context.task_runner)


def leaves_the_process(runner: object) -> bool:
    """Whether a task runner's tasks may run in other processes than their flow: not in threads of its own."""
    return not isinstance(runner, ThreadPoolTaskRunner)


def _has_seen_all(run: LiveRun) -> bool:
    """Whether this process sees the end of all the run's tasks: they run in its threads, and Prefect logs that."""
    return bool(run.tasks) and not _elsewhere() and logging.getLogger("prefect.task_runs").isEnabledFor(logging.INFO)


def is_final(row: Mapping[str, Any]) -> bool:
    """Whether a task run has come to its end, by what the API says."""
    return row.get("state_type") in _FINAL or row.get("state_name") == NOT_READY


def read_task_runs(prefect: Requests, run_id: str, deadline: float) -> list[dict[str, Any]]:
    """A flow run's task runs as the API gives them.

    Args:
        prefect: whom to ask.
        run_id: the flow run.
        deadline: by the monotonic clock; many pages are given more time.

    Raises:
        Exception: the API did not answer in time.
    """
    rows: dict[str, dict[str, Any]] = {}  # by id: one that is stored between two pages moves others to the next
    offset = 0
    while True:
        # A flow of thousands of tasks has run for minutes, and leaves the API busy: each page gives the next a second.
        left = deadline + offset / PAGE - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"the flow's task runs could not be read in time; {len(rows)} were")
        body = {
            "flow_runs": {"id": {"any_": [run_id]}},
            "sort": "ID_DESC",
            "limit": PAGE,
            "offset": offset,
        }
        page_of = prefect.request("POST", "/task_runs/filter", json=body, timeout=left)
        page_of.raise_for_status()
        page = page_of.json()
        offset += len(page)
        rows.update((row["id"], row) for row in page)
        if len(page) < PAGE:
            return list(rows.values())


def summed(rows: Iterable[dict[str, Any]], seen: Mapping[str, TaskEnd]) -> dict[str, Any]:
    """Counts and failures of a run's task runs, as fields of its metadata.

    Args:
        rows: the task runs as the API gives them.
        seen: how some of them ended, by what is known better.
    """
    seen = dict(seen)
    counts: Counter[str] = Counter()
    failed: list[dict[str, Any]] = []
    for row in rows:
        end = seen.pop(row["id"], None) or _end_of(row)
        counts[end.state] += 1
        if end.bad:
            took = row.get("total_run_time")
            duration = round(took * 1000) if isinstance(took, int | float) and took else None
            failed.append(_failed(row["id"], end, row.get("name"), duration))
    for task_run_id, end in seen.items():
        counts[end.state] += 1
        if end.bad:
            failed.append(_failed(task_run_id, end, None, None))
    found: dict[str, Any] = {"task_counts": dict(counts)} if counts else {}
    if failed:
        found["failed_tasks"] = failed[:MAX_FAILED_TASKS]
    return found


def _end_of(row: dict[str, Any]) -> TaskEnd:
    state = row.get("state_name") or "Unknown"
    bad = row.get("state_type") not in _FINE or state == NOT_READY
    return TaskEnd(row.get("name") or "", state, (row.get("state") or {}).get("message"), bad)


def _failed(task_run_id: str, end: TaskEnd, name: str | None, duration: int | None) -> dict[str, Any]:
    return {
        "task_run_id": task_run_id,
        "name": mask_text(end.name or name or ""),
        "state": end.state,
        "error_message": mask_text(end.message)[:1_000] if end.message else None,
        "duration_ms": duration,
    }
