"""The runs that this process takes part in: each with its storage and what is known of it here.

Only the flow run's id joins hooks, wrappers and tasks; each finds its run here, or makes it from what the flow carries.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from prefect import Flow
from prefect.context import FlowRunContext

from prefect_trackrecord import events as ev
from prefect_trackrecord._prefect import settings
from prefect_trackrecord._prefect.options import FlowOptions, Storage, checked_storage
from prefect_trackrecord._prefect.quiet import HOOK_NAME
from prefect_trackrecord._prefect.wrapping import options_of
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.seal import utc_now as now
from prefect_trackrecord.errors import TrackRecordError
from prefect_trackrecord.forking import ProcessLock
from prefect_trackrecord.journal.plain import clean, mask_text
from prefect_trackrecord.store.base import StoreConfig
from prefect_trackrecord.tracking.storage import TrackingStorage, resolve_storage
from prefect_trackrecord.tracking.values import Call

logger = logging.getLogger("prefect_trackrecord")
KEPT = 128
PLACE = "_trackrecord_place"
HOOK_LISTS = (
    "on_running_hooks",
    "on_completion_hooks",
    "on_failure_hooks",
    "on_crashed_hooks",
    "on_cancellation_hooks",
)


class TaskEnd(NamedTuple):
    """How a task run ended: its name, its last state's name and message, and whether that is no success."""

    name: str
    state: str
    message: str | None
    bad: bool


class Came(NamedTuple):
    """A task run's last state."""

    type: str
    name: str
    message: str | None


@dataclass
class Submitted:
    """A task that was handed to the flow's task runner.

    Attributes:
        task_key, name: the task's.
        path: its file's, where that could be told.
        tracked: whether the task is.
        turn: the flow's attempt.
        future: Prefect's, held weakly: who holds a future holds its result, here or on a cluster.
        came: how it ended, where that was seen.
        refused: why the runner did not run it: the kind of the error, and its words.
    """

    task_key: str
    name: str
    path: str | None
    tracked: bool
    turn: int
    future: weakref.ref[Any]
    came: Came | None = None
    refused: tuple[str, str] | None = None


_FINE: dict[str, TaskEnd] = {}
tracked_tasks: dict[str, set[str]] = {}
"""The tracked tasks that this process knows: names by task key (tasks of one function have one key)."""


@dataclass
class LiveRun:
    """A flow run as this process knows it.

    Attributes:
        run_id: the flow run's id.
        storage: where its history is kept.
        by_settings: whether the settings say so, and not the flow.
        options: its flow's; None for a flow that is not tracked.
        turn: the attempt that began last in this process; 0 where none did.
        outer: the run inside which it runs.
        began: when that attempt began, by the monotonic clock.
        told: what the journal holds of its flow run already.
        error: what that attempt's function raised.
        ended: how the run ended, once this process has sealed it.
        finish: how it was finished, to do it again should more come.
        tasks: how each task run ended that this process has seen the end of.
        submitted: the tasks that were handed to the flow's task runner, by task run; without those seen to end well.
        watched: whether all that is handed to its task runner is noted.
        handed: names, by task key, of the tracked tasks among that, as the journal was told.
        progress: shows how far it is (see `live`).
        shown: the artifacts that this process has made of its end, by key; doing it again changes them.
        texts: what those of failed files say.
        said: how it ended, as Prefect was told by an event.
    """

    run_id: str
    storage: TrackingStorage
    options: FlowOptions | None
    by_settings: bool = False
    turn: int = 0
    outer: str | None = None
    began: float = 0.0
    told: dict[str, Any] = field(default_factory=dict)
    error: BaseException | None = None
    ended: ev.RunEnded | None = None
    finish: Any = None
    tasks: dict[str, TaskEnd] = field(default_factory=dict)
    submitted: dict[str, Submitted] = field(default_factory=dict)
    watched: bool = False
    handed: dict[str, set[str]] = field(default_factory=dict)
    progress: Any = None
    shown: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    said: Any = None

    @property
    def archive(self) -> Archive:
        """Its journal and documents."""
        return self.storage.archive

    def note_task(self, task_run_id: object, end: TaskEnd) -> None:
        """Note how a task run ended; of one that ended well only that, as there may be very many."""
        if not end.bad:
            end = _FINE.get(end.state) or _FINE.setdefault(end.state, TaskEnd("", end.state, None, bad=False))
            self.submitted.pop(str(task_run_id), None)
        self.tasks[str(task_run_id)] = end

    def emit(self, event: ev.Event) -> bool:
        """Write one event; whether it is kept. Never raises."""
        try:
            return self.archive.writer(self.run_id).append(event)
        except (TrackRecordError, OSError) as exc:
            self.archive.warn(f"an event of run {self.run_id} is lost: {exc}")
            return False

    def trouble(self, what: str, exc: BaseException | None = None) -> None:
        """Count something that tracking could not do, and say so in the log once for each cause."""
        cause = mask_text(clean(what if exc is None else f"{what}: {type(exc).__name__}: {exc}"))[:300]
        self.archive.warn(cause)
        self.emit(ev.TrackingFailed(at=now(), cause=cause))


_runs: OrderedDict[str, LiveRun] = OrderedDict()
_storages: dict[Any, TrackingStorage] = {}
_lock = ProcessLock(threading.RLock)


def find(run_id: Any) -> LiveRun | None:
    """The run, if this process knows it already."""
    return _runs.get(str(run_id))


def open_run(
    run_id: Any, options: FlowOptions | None, storage: Storage = None, arguments: Mapping[str, Any] | None = None
) -> tuple[LiveRun, bool]:
    """The run of a flow run, and whether it was made just now.

    Args:
        run_id: the flow run's id.
        options: its flow's options; None for a flow that is not tracked.
        storage: where to keep it when the flow's options don't say.
        arguments: of the flow, from which its options may take the storage.
    """
    name = str(run_id)
    found = _runs.get(name)
    if found is not None and (found.options is not None or options is None):
        return found, False
    with _lock():
        found = _runs.get(name)
        if found is not None and (found.options is not None or options is None):
            return found, False
        place = options.storage if options else None
        if isinstance(place, Call):
            place = _asked(place, arguments or {})
        found = LiveRun(name, _storage(place or storage), options, options is not None and place is None)
        found.began = time.monotonic()
        _runs[name] = found
        while len(_runs) > KEPT:
            done = next((k for k, r in _runs.items() if r.ended is not None), None)
            if done is None:
                break
            del _runs[done]
        return found, True


def _asked(of_arguments: Call, arguments: Mapping[str, Any]) -> Storage:
    """The storage that a flow's arguments name; that of the settings where they name none that can be used."""
    try:
        return checked_storage(of_arguments(arguments))
    except Exception as exc:  # noqa: BLE001 - a user's callable may raise anything
        logger.warning("storage= can't be told by the flow's arguments (%s: %s)", type(exc).__name__, exc)
        return None


def _storage(given: Storage) -> TrackingStorage:
    """The storage of a run, opened once per process; the default folder where the given one can't be had."""
    if isinstance(given, TrackingStorage):
        return given
    now_set = settings.current()
    key = (repr(given), repr(sorted(given.options.items())) if isinstance(given, StoreConfig) else "", now_set)
    found = _storages.get(key)
    if found is None:
        try:
            found = resolve_storage(given, now_set)
            found.archive.store  # noqa: B018 - opened here, where its failure is handled
        except Exception as exc:  # noqa: BLE001 - a block may not be there, the API may be down...
            found = TrackingStorage(base_path=now_set.default_path, settings=now_set)
            place = given.url if isinstance(given, StoreConfig) else given
            logger.warning(
                "the storage %s can't be used (%s: %s); the history of this process is kept in %s",
                place or "of the settings",
                type(exc).__name__,
                exc,
                found.url,
            )
            return found
        with _lock():
            found = _storages.setdefault(key, found)
    return found


def flow_options_of(flow: Flow[..., Any] | None) -> FlowOptions | None:
    """The options of a tracked flow; None for one that is not. They travel with it to other processes."""
    if flow is None:
        return None
    found = options_of(flow.fn)
    if isinstance(found, FlowOptions):
        return found
    for name in HOOK_LISTS:
        for hook in getattr(flow, name, None) or ():
            if getattr(hook, "__name__", None) == HOOK_NAME and isinstance(options := options_of(hook), FlowOptions):
                return options
    return None


def tell_place(run: LiveRun, flow: Flow[..., Any]) -> None:
    """Let the flow carry to its tasks' processes where its own settings keep the run; theirs may differ."""
    if run.by_settings:
        now_set = run.archive.settings
        setattr(flow, PLACE, str(now_set.tracking_path or now_set.prefect_storage or now_set.default_path))


def told_place(context: FlowRunContext) -> str | None:
    """Where the flow's own process keeps the run, in a process that its tasks were sent to."""
    place = getattr(context.flow, PLACE, None) if context.detached else None
    return place if isinstance(place, str) else None
