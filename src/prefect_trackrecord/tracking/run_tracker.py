"""RunTracker: a run's life, from its start to its sealed documents. What it can be told meanwhile is in `telling`."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar, Token
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import FileStatus, RunMetadata, RunStatus
from prefect_trackrecord.documents.seal import utc_now
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.forking import ProcessLock
from prefect_trackrecord.journal.context import RunContext, current_run, inside_flow, reset_current, set_current
from prefect_trackrecord.journal.liveness import host_name
from prefect_trackrecord.journal.plain import plain
from prefect_trackrecord.tracking import abort
from prefect_trackrecord.tracking.describing import (
    MAX_ITEMS,
    MAX_PARAMETER,
    MAX_TEXT,
    describe,
    masked,
    text_or_none,
    traceback_tail,
    versions,
)
from prefect_trackrecord.tracking.ending import complete_records
from prefect_trackrecord.tracking.storage import TrackingStorage, resolve_storage
from prefect_trackrecord.tracking.telling import Telling

if TYPE_CHECKING:
    from typing_extensions import Self

untracked: ContextVar[RunTracker | None] = ContextVar("trackrecord_untracked", default=None)
"""What stands in for a tracker where code runs that could be tracked and is not (see `tracking.untracked`)."""

_WORDS = {status.value: status.value for status in FileStatus}


def _new_id() -> str:
    return str(uuid.uuid4())


class RunTracker(Telling):
    """Tracks one run: its files, its emails, its numbers and how it ended.

    Use it as a context manager, or call `start` and `complete`. It may be used from any thread, and in a forked child.

    Args:
        command: what runs (`transcribe`, `report`...).
        subcommand, config_path, target_date: more of the command line, as texts, with secrets masked.
        storage: a `TrackingStorage`, a URL or a folder; where left out `TRACKING_PATH` says it, then the setting
            `PREFECT_INTEGRATIONS_TRACKRECORD_STORAGE`, else a folder under the Prefect home is taken.
        parameters: kept with secrets masked.
        tags: kept with secrets masked.
        role: `report` for a run that only reports on others, which reports leave out.
        parent_run_id: the run inside which this one runs; the current one where left out.
        now, new_id: where time and ids come from.

    Attributes:
        run_id: set by `start`.
    """

    run_id: str

    def __init__(
        self,
        command: str,
        subcommand: str | None = None,
        config_path: str | Path | None = None,
        storage: TrackingStorage | str | Path | None = None,
        target_date: Any = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        role: str | None = None,
        parent_run_id: str | None = None,
        now: Callable[[], datetime] = utc_now,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        self.command = command
        self.subcommand = subcommand
        self.config_path = config_path
        self.target_date = target_date
        self.storage = resolve_storage(storage)
        self._parameters, self._tags, self._role, self._parent = parameters, tuple(tags), role, parent_run_id
        self._now, self._new_id = now, new_id
        self._lock = ProcessLock(threading.RLock)  # a signal handler may come in the middle of `complete`
        self.completing = False
        self._state = "new"
        self._token: Token[RunContext | None] | None = None

    # --- life --------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Begin the run: gives it its `run_id`, writes its document as running, makes it the current run.

        Outside a Prefect flow, and on the main thread, it also sees to it that SIGINT, SIGTERM and the end of the
        process complete the run as aborted; handlers that were there are called afterwards and put back later.

        Raises:
            UsageError: it was started before.
        """
        with self._lock():
            if self._state != "new":
                raise UsageError("this tracker was started before; make a new RunTracker for each run")
            self._state = "running"
        self.run_id = self._new_id()
        outer = current_run()
        moment = self._now()
        fields = self._start_fields(self._parent or (outer.run_id if outer else None), moment)
        self._emit(ev.RunStarted(at=moment, run=fields))
        self.archive.announce(RunMetadata.model_validate({**fields, "run_id": self.run_id}))
        self._token = set_current(RunContext(self.run_id, self.archive, self, masked(self.command)))
        abort.watch(self, signals=not inside_flow())
        return self

    def _start_fields(self, parent: str | None, moment: datetime) -> dict[str, Any]:
        return {
            "command": text_or_none(self.command),
            "subcommand": text_or_none(self.subcommand),
            "config_path": text_or_none(self.config_path),
            "target_date": text_or_none(self.target_date),
            "started_at": moment,
            "role": text_or_none(self._role),
            "parent_run_id": parent,
            "parameters": plain(dict(self._parameters or {}), max_text=MAX_PARAMETER, max_items=MAX_ITEMS),
            "tags": [text_or_none(t) for t in self._tags],
            "host": host_name(),
            "pid": os.getpid(),
            "versions": versions(),
        }

    def complete(
        self,
        status: RunStatus | str | None = None,
        error_message: str | None = None,
        *,
        error_type: str | None = None,
        traceback: str | None = None,
        reason: str | None = None,
    ) -> RunMetadata | None:
        """End the run and make its documents.

        Args:
            status: how it ended; where left out its items say it: none failed (files and emails), success; all files
                failed, failed; else partial success.
            error_message: why it failed, if it did.
            error_type, traceback: of that error.
            reason: why it ended as it did, where that needs words.

        Returns:
            The run's metadata as stored; None when the store can't be written now (a warning says so; the events are
            kept on this host, and `trackrecord recover` stores them later), and on a second call.

        Raises:
            UsageError: it was never started.
            ValueError: `status` is no status.
        """
        value = RunStatus(status).value if status is not None else None
        with self._lock():
            if self._state == "new":
                raise UsageError("complete() before start(); call start() first, or use `with RunTracker(...)`")
            if self._state == "completed":
                return None
            self._state, self.completing = "completed", True
        try:
            ended = ev.RunEnded(
                at=self._now(),
                status=value,
                error_message=text_or_none(error_message, MAX_TEXT),
                error_type=text_or_none(error_type),
                traceback=text_or_none(traceback, MAX_TEXT),
                reason=text_or_none(reason),
            )
            self._emit(ended)
            if self._token is not None:
                reset_current(self._token)
                self._token = None
            sealed = self._seal(ended)
            complete_records(self.archive, masked(self.command), self.run_id)
            return sealed
        finally:
            self.completing = False
            abort.unwatch(self)

    def _seal(self, ended: ev.RunEnded | None) -> RunMetadata | None:
        try:
            return self.archive.seal(self.run_id, now=self._now(), ended=ended)
        except Exception as exc:  # noqa: BLE001 - tracking never breaks what it tracks
            self.archive.not_stored(self.run_id, exc)
            return None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if exc is None or (isinstance(exc, SystemExit) and exc.code in (None, 0)):
            self.complete()
            return
        status = RunStatus.FAILED if isinstance(exc, Exception | SystemExit) else RunStatus.ABORTED
        self.complete(status, describe(exc), error_type=type(exc).__name__, traceback=traceback_tail(exc))

    @property
    def archive(self) -> Archive:
        """The journal and documents that this tracker writes."""
        return self.storage.archive

    def _emit(self, event: ev.Event | bytes) -> bool:
        """Write an event, or one that is encoded already."""
        if self._state == "new":
            raise UsageError("the tracker is not started; call start() first, or use `with RunTracker(...)`")
        try:
            writer = self.storage.archive.writer(self.run_id)
            return writer.write(event) if isinstance(event, bytes) else writer.append(event)
        except Exception as exc:  # noqa: BLE001 - tracking never breaks what it tracks
            self.archive.warn(f"an event of run {self.run_id} is lost: {exc}")
            return False


def current_tracker() -> RunTracker:
    """The tracker of the run that surrounds this code, in any thread, task or process of it.

    Raises:
        UsageError: no tracked run surrounds it.
    """
    run = current_run()
    tracker: RunTracker | None = run.tracker if run is not None else None
    # A thread of the user's own starts with no context: there, the only run of the process is meant.
    tracker = tracker or untracked.get() or abort.only_watched()
    if tracker is None:
        raise UsageError(
            "no tracked run surrounds this code; put @track above @flow, or use it inside `with RunTracker(...)`"
        )
    return tracker
