"""The end of a tracked flow run: its documents, its artifact and its one line in the log, in bounded time.

A flow's last hook runs inside the flow's timeout, so the work is done in a thread of its own: the hook waits for it as
long as the timeout leaves time, and the thread goes on alone after that (the process does not end before it).
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from prefect import Flow
from prefect.client.schemas import FlowRun
from prefect.client.schemas.objects import State
from prefect.context import AsyncClientContext, FlowRunContext, SyncClientContext
from prefect.logging.loggers import flow_run_logger

from prefect_trackrecord import events as ev
from prefect_trackrecord._prefect import (
    api,
    artifact,
    clients,
    events_out,
    events_queue,
    items,
    posting,
    reconciling,
    showing,
    untold,
)
from prefect_trackrecord._prefect.bounded import Requests
from prefect_trackrecord._prefect.runs import LiveRun
from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.documents.seal import utc_now as now
from prefect_trackrecord.errors import TrackRecordError
from prefect_trackrecord.tracking.ending import complete_records

logger = logging.getLogger("prefect_trackrecord")
LONGEST = 60.0
MARGIN = 0.5
QUIET_PERIOD = 0.5
SENDING = 5.0
"""Seconds for events, at most, where the process ends right after."""
_LEVELS = {
    RunStatus.PARTIAL_SUCCESS: logging.WARNING,
    RunStatus.FAILED: logging.ERROR,
    RunStatus.ABORTED: logging.ERROR,
}


class Finish:
    """Finishes one run; may be called again when more has come."""

    def __init__(self, run: LiveRun, flow: Flow[..., Any], flow_run: FlowRun) -> None:
        self.run, self.flow, self.flow_run = run, flow, flow_run
        self.loop: asyncio.AbstractEventLoop | None = None
        self._lock, self._timing = threading.Lock(), threading.Lock()
        self._timer: threading.Timer | None = None
        self._line = ""
        self._named = flow_run.deployment_id is None

    def __call__(self) -> None:
        """Do all of it; nothing is raised."""
        with self._lock, ExitStack() as stack:
            try:
                prefect = self._client(stack)
                if prefect is not None and not self._named:
                    self._name(prefect, api.QUICK)
                self._tasks(prefect)
                sealed = self._seal()
                spread = api.leaves_the_process(self.flow.task_runner)
                complete_records(self.run.archive, self.flow.name, self.run.run_id, elsewhere=spread)
                events_out.know(self.flow_run, self.flow)
                if sealed is not None and self._tell(sealed, prefect) and not self._named:
                    self._name_late()
                if not self.run.turn:  # a process that was started for this hook, and is about to end
                    events_queue.send(SENDING)
            except Exception as exc:  # noqa: BLE001 - tracking never breaks the flow
                self.run.trouble("the run's end could not be tracked", exc)

    def _client(self, stack: ExitStack) -> Requests | None:
        try:
            return stack.enter_context(api.client(self.loop))
        except Exception as exc:  # noqa: BLE001 - the API may be gone
            self.run.trouble("Prefect's API could not be reached at the run's end", exc)
            return None

    def later(self) -> None:
        """Do it again once events have stopped coming for a moment. Waits for nothing: this may be an event loop."""
        with self._timing:
            if self._timer is not None:
                self._timer.cancel()
            context = contextvars.copy_context()
            self._timer = threading.Timer(QUIET_PERIOD, context.run, args=(self._alone,))
            self._timer.daemon = False
            try:
                self._timer.start()
            except RuntimeError:  # the interpreter ends: there is no later
                context.run(self._alone)

    def _alone(self) -> None:
        """Finish after the flow has ended: its client is closed by then, and is not to be used."""
        SyncClientContext.__var__.set(None)  # type: ignore[arg-type]
        AsyncClientContext.__var__.set(None)  # type: ignore[arg-type]
        self()

    def _name(self, prefect: Requests, seconds: float) -> None:
        """Tell of the deployment by its name, which people look for; Prefect's flow run has only its id."""
        try:
            name = api.deployment_name(prefect, self.flow_run.deployment_id, seconds)
        except Exception as exc:  # noqa: BLE001 - the API may be gone
            logger.debug("the deployment of run %s was not named: %s: %s", self.run.run_id, type(exc).__name__, exc)
            return
        self._named = True
        if name is not None:
            self.run.emit(ev.RunUpdated(at=now(), run={"deployment_name": name}))

    def _name_late(self) -> None:
        """An API that was too busy to name the deployment is asked once more, with patience, when all else is done."""
        with clients.new() as own:  # the flow's client may be closed by now
            self._name(own, posting.SECONDS)
        if self._named:
            self._seal()
        else:
            untold.note(self.run.archive.settings, self.run.storage.url, self.run.run_id, shown=True)

    def _tasks(self, prefect: Requests | None) -> None:
        try:
            told = functools.partial(reconciling.told, self.run)
            found = api.task_runs(prefect, self.run, told) if prefect else api.observed()
        except Exception as exc:  # noqa: BLE001 - the API may be gone
            self.run.trouble("Prefect could not be asked for the flow's task runs", exc)
            found = api.observed()
        seen = dict(self.run.tasks)
        try:
            seen = reconciling.at_the_end(self.run, found.rows, elsewhere=found.elsewhere)
        except (TrackRecordError, OSError) as exc:
            self.run.trouble("files that told nothing could not be added", exc)
        if fields := api.summed(found.rows, seen):
            self.run.emit(ev.RunUpdated(at=now(), run=fields))
        if paths := items.of_end(self.run, self.flow_run):
            self.run.emit(ev.ItemsGiven(at=now(), paths=paths, turn=self.run.turn or self.flow_run.run_count or 1))

    def _seal(self) -> RunMetadata | None:
        try:
            return self.run.archive.seal(self.run.run_id, now=now(), ended=self.run.ended)
        except (TrackRecordError, OSError) as exc:
            self.run.archive.not_stored(self.run.run_id, exc)
            return None

    def _tell(self, sealed: RunMetadata, prefect: Requests | None) -> bool:
        """Say how the run ended; whether Prefect was told, as it is later where it could not be."""
        settings = self.run.archive.settings
        place = self.run.storage.url
        line = artifact.line(sealed, place)
        if not settings.quiet and line != self._line:  # done again, it may say the same
            flow_run_logger(self.flow_run, self.flow).log(_LEVELS.get(sealed.status, logging.INFO), "%s", line)
            self._line = line
        try:
            if prefect is not None:
                self._show(sealed, prefect)
                return True
            untold.note(settings, place, self.run.run_id)
        except Exception as exc:  # noqa: BLE001 - the API or the store may be gone
            untold.note(settings, place, self.run.run_id)
            self.run.archive.warn(f"the artifact of run {self.run.run_id} was not made: {type(exc).__name__}: {exc}")
        return False

    def _show(self, sealed: RunMetadata, prefect: Requests) -> None:
        try:
            showing.show(prefect, self.run, sealed)
        except RuntimeError:  # the flow did not wait so long: its client is closed, or its event loop
            with clients.new() as own:
                showing.show(own, self.run, sealed)


def seconds_left(run: LiveRun, flow: Flow[..., Any], state: State[Any]) -> float:
    """How long a hook may wait: what a flow's timeout leaves, where it runs inside of that (a function returned)."""
    context = FlowRunContext.get()
    within = context is not None and context.flow_run is not None and str(context.flow_run.id) == run.run_id
    if not flow.timeout_seconds or not within or run.error is not None or state.name == "TimedOut":
        return LONGEST
    left = flow.timeout_seconds - (time.monotonic() - run.began) - MARGIN
    return max(0.0, min(LONGEST, left))


def on_event_loop() -> bool:
    """Whether this thread runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def start(finish: Finish) -> Callable[[float], None]:
    """Begin finishing in a thread that the end of the process waits for.

    Returns:
        What waits for it, so many seconds.
    """
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(finish,), name="trackrecord-finish", daemon=False)
    try:
        thread.start()
    except RuntimeError:  # the interpreter ends, this flow's thread being the last
        context.run(finish)
        return lambda _seconds: None
    return thread.join


def wait(finish: Finish, seconds: float) -> None:
    """Finish a run, and wait for it that long."""
    start(finish)(seconds)


async def await_(finish: Finish, seconds: float) -> None:
    """As `wait`, without blocking the event loop."""
    finish.loop = asyncio.get_running_loop()
    await asyncio.to_thread(start(finish), seconds)
    finish.loop = None


def late(run: LiveRun) -> None:
    """Events have come after the run's end (a task that nobody waited for): they belong in its documents too."""
    if isinstance(run.finish, Finish):
        run.finish.later()
