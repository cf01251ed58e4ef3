"""Files of task runs whose own process told no outcome: that never began, or died without a hook.

What Prefect knows of them is only told where nobody has tracked an outcome of that task run; one that comes later
replaces it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from prefect_trackrecord import events as ev
from prefect_trackrecord._prefect import api, items, runs, submitted
from prefect_trackrecord._prefect.asking import Asker
from prefect_trackrecord._prefect.bounded import Requests
from prefect_trackrecord._prefect.runs import LiveRun, Submitted, TaskEnd
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.fold import Fold
from prefect_trackrecord.documents.models import FileStatus, RunStatus
from prefect_trackrecord.documents.run_journal import RunJournal
from prefect_trackrecord.documents.seal import utc_now as now
from prefect_trackrecord.documents.silent import WENT_ON
from prefect_trackrecord.documents.unbegun import BEFORE, NOT_BEGUN
from prefect_trackrecord.errors import TrackRecordError
from prefect_trackrecord.journal.liveness import host_name
from prefect_trackrecord.journal.naming import mask_name
from prefect_trackrecord.journal.plain import mask_text
from prefect_trackrecord.journal.reader import lives
from prefect_trackrecord.tracking.recovery import Reconcile

SECONDS = 10.0
REFUSED = "Refused"
PATIENCE = 5.0
"""Seconds for the states of task runs that have ended on a cluster, and that nobody else has told of."""
STILL_RUNS = "it was running when the run ended: its process died, or the run did not wait for it"


def at_the_end(run: LiveRun, rows: Iterable[Mapping[str, Any]], *, elsewhere: bool) -> dict[str, TaskEnd]:
    """Tell of a flow's tracked task runs that told nothing themselves, in the flow's own process.

    Args:
        run: the flow's.
        rows: its task runs as the API gives them.
        elsewhere: whether they run in other processes: there one may have died whose task run is said to be fine.

    Returns:
        How task runs ended of which the API has not heard so far.

    Raises:
        StoreError: the run's journal can't be read.
    """
    by_id = {str(r["id"]): r for r in rows}
    by_id.update(_seen_not_to_begin(run, by_id))
    unheard = {name: one for name, one in list(run.submitted.items()) if name not in by_id and name not in run.tasks}
    found = {n: r for n, r in by_id.items() if r.get("task_key") in runs.tracked_tasks}
    if not elsewhere:  # what was seen here to end well was told here
        well = {n for n, end in dict(run.tasks).items() if not end.bad}
        found = {n: r for n, r in found.items() if r.get("state_type") != "COMPLETED" and n not in well}
    if not found and not unheard:
        return dict(run.tasks)
    fold = RunJournal.read(run.archive.store, run.run_id, run.archive.spool).fold().fold
    open_ = {n for n, r in by_id.items() if not api.is_final(r)}
    here = {*run.submitted, *run.tasks}  # of these this process knows
    asked = {*open_, *unheard} if elsewhere else open_.difference(here)
    ends = {n: _end_of(row) for n, row in fold.outcomes_of(asked).items()}
    silent = {n: one for n, one in unheard.items() if one.tracked and n not in ends and not fold.has_begun(n)}
    found.update(_never_told(silent))
    paths = {n: one.path for n, one in run.submitted.items() if one.path is not None}
    away = _away({n: r for n, r in found.items() if n not in here}, fold, at_the_end=True)
    _tell(run.emit, found, fold, now(), paths, away)
    for name in [n for n, r in by_id.items() if r.get("state_type") == "COMPLETED"]:
        run.submitted.pop(name, None)  # of which nothing is left to be told
    return {**ends, **run.tasks}


def told(run: LiveRun) -> Collection[str]:
    """The task runs whose outcome the run's journal holds, so far as this host can read it."""
    try:
        return RunJournal.read(run.archive.store, run.run_id, run.archive.spool).fold().fold.task_runs()
    except (TrackRecordError, OSError):
        return ()


def _end_of(row: Mapping[str, Any]) -> TaskEnd:
    """How a task run ended, by the file that it tracked."""
    name, status = str(row.get("task_run_name")), row.get("status")
    if status == FileStatus.FAILED.value:
        return TaskEnd(name, "Failed", row.get("error_message"), bad=True)
    cached = status == FileStatus.SKIPPED.value and row.get("reason") == "cached"
    return TaskEnd("", "Cached" if cached else "Completed", None, bad=False)


def _never_told(silent: Mapping[str, Submitted]) -> dict[str, dict[str, Any]]:
    """Task runs of which nobody but their runner knows, as the API would give them."""
    end = time.monotonic() + PATIENCE
    found: dict[str, dict[str, Any]] = {}
    for name, one in silent.items():
        row: dict[str, Any] = {"id": name, "name": f"{one.name}-{name[-5:]}", "task_key": one.task_key}
        row["flow_run_run_count"] = one.turn
        if one.refused is not None:
            kind, words = one.refused
            known = (api.NOT_READY, words) if kind == submitted.UPSTREAM else (REFUSED, f"{kind}: {words}")
            found[name] = {**row, "state_type": "PENDING", "state_name": known[0], "state": {"message": known[1]}}
        elif (came := submitted.state_of(one, end - time.monotonic())) is not None:
            found[name] = {**row, "state_type": came.type, "state_name": came.name, "state": {"message": came.message}}
        else:
            found[name] = row
    return found


def _seen_not_to_begin(run: LiveRun, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The task runs that this process has seen not to begin; the API may not have heard of them yet."""
    found: dict[str, dict[str, Any]] = {}
    for name, end in dict(run.tasks).items():
        if end.state == api.NOT_READY:
            one = run.submitted.get(name)
            row = rows.get(name, {"id": name, "name": end.name, "task_key": one.task_key if one else _key_of(end.name)})
            state = {"state_type": "PENDING", "state_name": end.state, "state": {"message": end.message}}
            found[name] = {"flow_run_run_count": run.turn, **row, **state}
    return found


def _key_of(task_run_name: str) -> str | None:
    """The key of the tracked task that Prefect names its runs so."""
    for key, names in runs.tracked_tasks.items():
        if any(task_run_name.startswith(f"{name}-") for name in names):
            return key
    return None


def reconciler(asker: Asker) -> Reconcile:
    """One for `recover`: asks the API for a run's task runs, as long as it can be asked.

    Args:
        asker: who is asked what became of the runs.
    """

    def reconcile(archive: Archive, run_id: str, fold: Fold) -> None:
        unnamed = fold.said_of_run("deployment_id") if fold.said_of_run("deployment_name") is None else None
        if asker.unreachable or not (fold.task_keys or unnamed):
            return
        rows: list[dict[str, Any]] = []
        given: list[str] = []
        name: str | None = None
        try:
            with api.client() as prefect:
                if unnamed:
                    name = api.name_besides(prefect, unnamed, SECONDS)
                if fold.task_keys:
                    rows = api.read_task_runs(prefect, run_id, time.monotonic() + SECONDS)
                    given = _given(prefect, run_id, fold)
        except Exception as exc:  # noqa: BLE001 - whatever the client raises, the API could not be asked
            asker.lost(f"about recovered runs ({type(exc).__name__}: {exc})")
            return
        known = {str(r["id"]): r for r in rows if r.get("task_key") in fold.task_keys}
        emit = archive.writer(run_id).append
        _tell(emit, known, fold, now(), away=_away(known, fold))
        fields = _counted_anew(rows, fold)
        if name is not None:
            fields["deployment_name"] = name
        if fields:
            emit(ev.RunUpdated(at=now(), run=fields))
        if given:
            emit(ev.ItemsGiven(at=now(), paths=given, turn=fold.attempt()))

    return reconcile


def _given(prefect: Requests, run_id: str, fold: Fold) -> list[str]:
    """The items of a run that has not told that it completed, as Prefect has them, where the journal has not."""
    own, parameter = fold.end(), fold.said_of_run("items_parameter")
    ended = own or ev.RunEnded(at=now(), status=RunStatus.ABORTED.value)
    unfinished = own is None or own.state is None or own.status == RunStatus.ABORTED.value
    if not isinstance(parameter, str) or not unfinished or fold.given(ended):
        return []
    answer = api.answer(prefect, "GET", f"/flow_runs/{run_id}", timeout=SECONDS)
    return items.names(answer.json().get("parameters"), parameter) if answer.is_success else []


def _counted_anew(rows: Iterable[dict[str, Any]], fold: Fold) -> dict[str, Any]:
    """The fields that count a run's task runs, where nobody has, or before all of those were over."""
    counts, failed = fold.updated("task_counts"), fold.updated("failed_tasks") or []
    open_ = [str(r["id"]) for r in rows if not api.is_final(r)]
    found = api.summed(rows, {name: _end_of(row) for name, row in fold.outcomes_of(open_).items()})
    if not found or found["task_counts"] == counts:
        return {}
    known = {one.get("task_run_id"): one for one in failed}  # told by the flow's process, which knew more of them
    return {**found, "failed_tasks": [known.get(o["task_run_id"], o) for o in found.get("failed_tasks", [])]}


def _away(rows: Mapping[str, Mapping[str, Any]], fold: Fold, *, at_the_end: bool = False) -> set[str]:
    """Those task runs that run still in another process, which may well tell of their end (a task worker does).

    Args:
        rows: the task runs.
        fold: the run's events.
        at_the_end: whether the flow's process asks, of task runs that are none of its own; later a process that nobody
            can look for counts as dead, unless it was taken for alive then.
    """
    found = set()
    for name in [name for name, row in rows.items() if row.get("state_type") == "RUNNING"]:
        writer = fold.begun_by(name)
        alive = None if writer is None else lives(writer, 1)
        if writer is not None and (writer.host, writer.pid) == (host_name(), os.getpid()):
            continue
        if alive or (alive is None and (at_the_end or (fold.said(name) or {}).get("reason") == WENT_ON)):
            found.add(name)
    return found


def _tell(
    emit: Callable[[ev.Event], bool],
    rows: Mapping[str, Mapping[str, Any]],
    fold: Fold,
    at: datetime,
    paths: Mapping[str, str] | None = None,
    away: Collection[str] = (),
) -> None:
    silent = fold.without_outcome(rows)
    for name in [n for n in rows if n in silent]:
        key = str(rows[name].get("task_key"))
        names = fold.task_names.get(key, set()) | runs.tracked_tasks.get(key, set())
        event = inferred(rows[name], at, (paths or {}).get(name), names)
        if name in away:
            event.row.update(status=FileStatus.SKIPPED.value, reason=WENT_ON, error_type=None, error_message=None)
        if not _is_known(event.row, fold.said(name)):
            emit(event)


def _is_known(row: Mapping[str, Any], said: Mapping[str, Any] | None) -> bool:
    names = ("file_path", "status", "reason", "error_message")
    return said is not None and all(row.get(name) == said.get(name) for name in names)


def inferred(
    row: Mapping[str, Any], at: datetime, path: str | None = None, names: Iterable[str] = ()
) -> ev.FileInferred:
    """The file of a task run that told nothing, by what the API says of it.

    Args:
        row: the task run.
        at: now.
        path: the file's path, where it is known; the task run's name else.
        names: what its task may be named.
    """
    key, name = str(row.get("task_key")), str(row.get("name"))
    shown = mask_text(name)
    fields = {
        "file_path": path or shown,
        "task_name": next((n for n in names if name.startswith(f"{n}-")), None),
        "task_run_id": str(row["id"]),
        "task_run_name": shown,
        "started_at": row.get("start_time"),
        "ended_at": row.get("end_time"),
        **fields_of_state(row),
    }
    turn = row.get("flow_run_run_count") or 1
    return ev.FileInferred(at=at, row=fields, item=f"{key}\0{path or mask_name(name)}", turn=turn)


def fields_of_state(row: Mapping[str, Any]) -> dict[str, Any]:
    """Status and reason or error of a task run's file, by the state in which its flow run left it."""
    kind, state = row.get("state_type"), str(row.get("state_name") or "Unknown")
    message = (row.get("state") or {}).get("message")
    text = mask_text(message)[:1_000] if message else None
    if kind == "COMPLETED" and state not in ("Cached", "Skipped"):
        return {"status": FileStatus.SUCCESS.value}
    if kind == "COMPLETED":
        return _skipped("cached" if state == "Cached" else text or "skipped")
    if kind in ("FAILED", "CRASHED"):
        return _failed(state, text or f"ended in state {state}")
    if kind == "RUNNING" or (kind == "CANCELLED" and row.get("start_time")):
        return _failed("Crashed" if kind == "RUNNING" else state, text or STILL_RUNS)
    if state == api.NOT_READY:
        return _skipped(f"upstream failed: {text}" if text else "upstream failed")
    if state == REFUSED:
        return _skipped(f"{NOT_BEGUN}: {text}")
    return _skipped(f"{state.lower()} {BEFORE}" if kind in ("CANCELLED", "CANCELLING") else NOT_BEGUN)


def _skipped(reason: str) -> dict[str, Any]:
    return {"status": FileStatus.SKIPPED.value, "reason": reason}


def _failed(kind: str, message: str) -> dict[str, Any]:
    return {"status": FileStatus.FAILED.value, "error_type": kind, "error_message": message}
