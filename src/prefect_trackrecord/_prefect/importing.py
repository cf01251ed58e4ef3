"""Brings flow runs that Prefect knows and the history does not into it, so that a team sees its past on the first day.

Runs are read in the order in which they started, a page from the last start on: nothing is read twice or left out when
runs come or go meanwhile, as happens with offsets.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from httpx import HTTPError

from prefect_trackrecord import events as ev
from prefect_trackrecord._prefect import api
from prefect_trackrecord._prefect.asking import moment
from prefect_trackrecord._prefect.bounded import Requests
from prefect_trackrecord._prefect.reconciling import fields_of_state
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import FileStatus, RunStatus
from prefect_trackrecord.documents.run_journal import IMPORTED, SAVED
from prefect_trackrecord.errors import KeyExistsError, PrefectApiError
from prefect_trackrecord.journal.naming import mask_name
from prefect_trackrecord.journal.plain import mask_text, plain
from prefect_trackrecord.journal.segments import SUFFIX
from prefect_trackrecord.tracking.describing import MAX_ITEMS, MAX_PARAMETER, masked, text_or_none

PAGE = 100
SECONDS = 30.0
FIRST = 10.0
"""Seconds for the first request: an API that does not answer is told of soon."""
SOURCE = "imported from Prefect"
_OWN = frozenset({"delivery-report", "recover-runs", "trackrecord-watch", "alert-on-run"})
"""The names of our own flows: what they do is in the history where it matters, and nobody counts them."""
_STATUS = {
    "COMPLETED": None,
    "FAILED": RunStatus.FAILED.value,
    "CRASHED": RunStatus.ABORTED.value,
    "CANCELLED": RunStatus.ABORTED.value,
}


@dataclass
class Imported:
    """What an import did, in runs.

    Attributes:
        found: that Prefect knows of the window and that have ended.
        added: that are in the history now and were not before.
        known: that were there already.
        unfinished: that have not ended, and are left alone.
        own: that looked after the history itself, and are left out.
        files: task runs that became files.
    """

    found: int = 0
    added: int = 0
    known: int = 0
    unfinished: int = 0
    own: int = 0
    files: int = 0


def import_runs(
    archive: Archive, start: datetime, end: datetime, *, progress: Callable[[int, int], None] | None = None
) -> Imported:
    """Import the runs that started in a window. Idempotent; a run that the history has is left as it is.

    Args:
        archive: the history.
        start, end: the window, aware; `end` exclusive.
        progress: called with (runs looked at, runs in all).

    Raises:
        PrefectApiError: the API does not answer, or refuses.
        StoreError: the history can't be read or written.
    """
    done = Imported()
    known = _known(archive)
    names: dict[str, str | None] = {}
    try:
        with api.client() as prefect:
            total = _count(prefect, start, end)
            for n, row in enumerate(_flow_runs(prefect, start, end), 1):
                if _begun(row) >= end:
                    continue
                if row.get("state_type") not in _STATUS:
                    done.unfinished += 1
                elif _name(prefect, names, "flows", row["flow_id"]) in _OWN:
                    done.own += 1
                else:
                    done.found += 1
                    new = layout.safe_part(row["id"]) not in known
                    files = _import_one(prefect, archive, row, names) if new else None
                    if files is None:
                        done.known += 1
                    else:
                        done.files += files
                        done.added += 1
                if progress is not None:
                    progress(n, max(total, n))
    except (HTTPError, TimeoutError) as exc:
        raise PrefectApiError(f"Prefect's API can't be read: {type(exc).__name__}: {exc}") from exc
    return done


def _known(archive: Archive) -> set[str]:
    """The runs of which there is a document, or events: those that have not ended are `recover`'s."""
    documents = {entry.key.rsplit("/", 1)[-1].removesuffix(".json") for entry in archive.store.list(layout.RUNS)}
    segments = (entry.key.split("/")[1:] for entry in archive.store.list(layout.JOURNAL))
    told = {run_id for run_id, name in segments if name.endswith(SUFFIX) and not name.startswith(SAVED)}
    return documents | told | {spooled.run_id for spooled in archive.spooled()}


def _begun(row: Mapping[str, Any]) -> datetime:
    """When a run began, or is to begin: what Prefect sorts them by."""
    return moment(row.get("start_time") or row.get("expected_start_time") or row.get("created"))


def _window(start: datetime, end: datetime) -> dict[str, Any]:
    return {"start_time": {"after_": start.isoformat(), "before_": end.isoformat()}}


def _count(prefect: Requests, start: datetime, end: datetime) -> int:
    answer = prefect.request("POST", "/flow_runs/count", json={"flow_runs": _window(start, end)}, timeout=FIRST)
    answer.raise_for_status()
    return int(answer.json())


def _flow_runs(prefect: Requests, start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    """The flow runs by start, each once: a page begins at the start of the last one of the page before."""
    seen: set[str] = set()
    while True:
        rows = _page(prefect, start, end, sort="START_TIME_ASC")
        yield from (row for row in rows if row["id"] not in seen)
        if len(rows) < PAGE:
            return
        last = _begun(rows[-1])
        at_edge = {row["id"] for row in rows if _begun(row) == last}
        if last > start:
            seen, start = at_edge, last
            continue
        # a whole page of one moment, as schedules make them: all of that moment, in an order that tells them apart
        yield from (row for row in _all_at(prefect, last) if row["id"] not in seen | at_edge)
        seen, start = set(), last + timedelta(microseconds=1)


def _all_at(prefect: Requests, start: datetime) -> Iterator[dict[str, Any]]:
    offset = 0
    while rows := _page(prefect, start, start, sort="ID_DESC", offset=offset):
        yield from rows
        offset += len(rows)


def _page(prefect: Requests, start: datetime, end: datetime, **more: Any) -> list[dict[str, Any]]:
    body = {"flow_runs": _window(start, end), "limit": PAGE, **more}
    answer = prefect.request("POST", "/flow_runs/filter", json=body, timeout=SECONDS)
    answer.raise_for_status()
    rows: list[dict[str, Any]] = answer.json()
    return rows


def _import_one(
    prefect: Requests, archive: Archive, row: Mapping[str, Any], names: dict[str, str | None]
) -> int | None:
    """One run: its events as one segment, then its documents. The same row gives the same segment.

    Returns:
        How many files it has; None where another import has brought it meanwhile.
    """
    begun = moment(row.get("start_time") or row["created"])  # one that never began has only that
    tasks = api.read_task_runs(prefect, row["id"], time.monotonic() + SECONDS)
    deployment = row.get("deployment_id")
    fields = {
        "command": _name(prefect, names, "flows", row["flow_id"]),
        "flow_name": _name(prefect, names, "flows", row["flow_id"]),
        "flow_id": row["flow_id"],
        "flow_run_name": text_or_none(row.get("name")),
        "deployment_id": deployment,
        "deployment_name": _name(prefect, names, "deployments", deployment) if deployment else None,
        "tags": [masked(tag) for tag in row.get("tags") or []],
        "parameters": plain(row.get("parameters") or {}, max_text=MAX_PARAMETER, max_items=MAX_ITEMS),
        "run_count": row.get("run_count") or 1,
        "parent_run_id": _parent(prefect, row.get("parent_task_run_id")),
        **api.summed(tasks, {}),
    }
    events: list[ev.Event] = [ev.RunStarted(at=begun, run=fields)]
    own = [task for task in tasks if not _is_subflow(task)]
    files = [_file(task) for task in sorted(own, key=lambda t: (t.get("start_time") or "", t["id"]))]
    events += files
    ended = _ended(row)
    events.append(ended)
    body = b"".join(ev.encode(event) for event in events)
    name = f"{IMPORTED}{hashlib.sha256(body).hexdigest()[:16]}.ndjson"
    with suppress(KeyExistsError):
        archive.store.create(f"{layout.journal_prefix(row['id'])}/{name}", body)
    made: list[int] = []
    archive.seal(row["id"], now=ended.at, made=made.append)
    return len(files) if made else None


def _is_subflow(task: Mapping[str, Any]) -> bool:
    """Whether a task run only stands for a flow run inside of its flow run, which is a run of its own."""
    return bool(((task.get("state") or {}).get("state_details") or {}).get("child_flow_run_id"))


def _parent(prefect: Requests, task_run_id: str | None) -> str | None:
    """The flow run inside of which another ran, by the task run that stands for it there."""
    if task_run_id is None:
        return None
    return _found(prefect, f"/task_runs/{task_run_id}").get("flow_run_id")


def _found(prefect: Requests, path: str) -> dict[str, Any]:
    """What the API has at a path; nothing where that was deleted."""
    answer = api.answer(prefect, "GET", path, timeout=SECONDS)
    if answer.status_code == 404:
        return {}
    answer.raise_for_status()
    return dict(answer.json())


def _name(prefect: Requests, names: dict[str, str | None], kind: str, identifier: str) -> str | None:
    """The name of a flow or deployment; None for one that was deleted."""
    if identifier not in names:
        names[identifier] = _found(prefect, f"/{kind}/{identifier}").get("name")
    return names[identifier]


def _ended(row: Mapping[str, Any]) -> ev.RunEnded:
    state = row.get("state") or {}
    status = _STATUS[row["state_type"]]
    kind, message = _error(state.get("message"))
    bad = status is not None
    return ev.RunEnded(
        at=moment(row.get("end_time") or state.get("timestamp")),
        status=status,
        state=row.get("state_name"),
        error_type=(kind or row.get("state_name")) if status == RunStatus.FAILED.value else None,
        error_message=message if bad else None,
        reason=SOURCE,
        run_count=row.get("run_count") or 1,
    )


def _file(task: Mapping[str, Any]) -> ev.FileTracked:
    """A task run as a file: its path is the task run's name, as where `track` is given no `file`."""
    state = task.get("state") or {}
    name = str(task.get("name"))
    shown = mask_text(name)
    row: dict[str, Any] = {
        "file_path": shown,
        "file_type": "task",
        "task_run_id": task["id"],
        "task_run_name": shown,
        "started_at": task.get("start_time"),
        "ended_at": task.get("end_time"),
    }
    took = task.get("total_run_time")
    if isinstance(took, int | float):
        row["processing_time_ms"] = round(took * 1000)
    ended = str(task.get("state_name") or "Unknown")
    kind, message = _error(state.get("message"))
    if task.get("state_type") == "COMPLETED" and ended not in ("Cached", "Skipped"):
        row["status"] = FileStatus.SUCCESS.value
    elif task.get("state_type") == "COMPLETED" or not task.get("start_time"):  # served otherwise, or never begun
        row.update(fields_of_state(task))
    else:
        row.update(
            status=FileStatus.FAILED.value, error_type=kind or ended, error_message=message or f"ended in {ended}"
        )
    at = moment(task.get("end_time") or task.get("start_time") or state.get("timestamp"))
    item = f"{task.get('task_key')}\0{mask_name(name)}"
    return ev.FileTracked(at=at, row=row, item=item, turn=task.get("flow_run_run_count") or 1)


def _error(message: str | None) -> tuple[str | None, str | None]:
    """Type and message of the exception that a state's message tells of; no type where it tells of none.

    Prefect writes `Flow run encountered an exception: ValueError: no such thing`.
    """
    if not message:
        return None, None
    text = mask_text(message)
    _, found, rest = text.partition("encountered an exception")
    if not found:
        return None, text[:1_000]
    rest = rest.lstrip(":. ")
    kind, colon, tail = rest.partition(":")
    if colon and kind.isidentifier():
        return kind, tail.strip()[:1_000]
    if rest.endswith(")") and "(" in rest and rest.partition("(")[0].isidentifier():  # ValueError('no such thing')
        kind, _, tail = rest[:-1].partition("(")
        return kind, tail.strip("'\"")[:1_000]
    return None, rest[:1_000] or text[:1_000]
