"""How events go out: into the queue from which Prefect's own task events are sent.

Nothing waits for the API, and nothing is raised. Busy kinds are rationed for each run and process; how many were left
out is told with the next one. What several processes may tell (a worker's hook and a recovery of the same dead run) has
an id made of what it tells, by which Prefect drops the second one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

from prefect.events import Event, emit_event
from prefect.events.worker import EventsWorker

from prefect_trackrecord.forking import ProcessLock
from prefect_trackrecord.settings import Settings

logger = logging.getLogger("prefect_trackrecord")
KEPT = 128
WINDOW = 60.0
MOST = {"trackrecord.file.failed": 20, "trackrecord.record.status-changed": 200}
"""So many events of a kind for each run, in each process, within `WINDOW` seconds."""
_OURS = UUID("5d7b6c1e-0f63-4d0e-9f0e-4f1f5a1c6a52")
"""The namespace of the ids that are made of what an event tells (RFC 9562, version 5)."""


def send(seconds: float) -> None:
    """Wait, bounded, until what was told is sent: at its exit Prefect's queue would complain that it is not empty."""
    waiting = threading.Thread(target=EventsWorker.instance().wait_until_empty, daemon=True)
    waiting.start()
    waiting.join(seconds)


@dataclass
class Said:
    """What this process has said of one run, and what it knows of its flow run."""

    last: Event | None = None
    began: float = 0.0
    count: int = 0
    left_out: int = 0
    held: bool = False
    task_runs: set[str] = field(default_factory=set)
    place: list[dict[str, str]] = field(default_factory=list)


_said: OrderedDict[tuple[str, str], Said] = OrderedDict()
_lock = ProcessLock()


def emit(
    settings: Settings,
    kind: str,
    run_id: str,
    resource: dict[str, str],
    related: list[dict[str, str]],
    payload: dict[str, Any],
    once: str | None = None,
) -> bool:
    """Send an event; whether it was handed over.

    Args:
        settings: whether events are wanted.
        kind, run_id, resource, related, payload: what it says.
        once: what tells it from others of its kind and run, where others may send the same.
    """
    if not settings.events:
        return False
    try:
        left_out = _ration(kind, run_id)
        if left_out is None:
            return False
        if left_out:
            payload["left_out"] = left_out
        before = said_of(run_id, "").last
        name = None if once is None else uuid5(_OURS, f"{run_id} {kind} {once}")
        event = emit_event(kind, resource, related=related, payload=payload, follows=before, id=name)
        if event is not None:
            said_of(run_id, "").last = event
    except Exception as exc:  # noqa: BLE001 - tracking never breaks the flow
        logger.debug("event %s of run %s was not sent: %s", kind, run_id, exc)
        return False
    return True


def said_of(run_id: str, kind: str) -> Said:
    """What was said of a run, and with a kind what was of that; the least recent are forgotten."""
    key = (run_id, kind)
    with _lock():
        found = _said.setdefault(key, Said())
        _said.move_to_end(key)
        while len(_said) > KEPT:
            _said.popitem(last=False)
    return found


def _ration(kind: str, run_id: str) -> int | None:
    """How many events of the kind were left out since the last one; None for one that is to be left out too."""
    most = MOST.get(kind)
    if most is None:
        return 0
    said = said_of(run_id, kind)
    now = time.monotonic()
    with _lock():
        if now - said.began >= WINDOW:
            said.began, said.count = now, 0
        if said.count >= most:
            said.left_out += 1
            return None
        said.count += 1
        left_out, said.left_out = said.left_out, 0
        return left_out
