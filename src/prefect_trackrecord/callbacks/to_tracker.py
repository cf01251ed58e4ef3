"""TrackerCallbackHandler: what happens in a batch becomes the files of a tracked run."""

from __future__ import annotations

import threading

from prefect_trackrecord.callbacks.handler import BatchEvent, CallbackHandler, FileEvent, Key, key_of
from prefect_trackrecord.documents.models import FileStatus
from prefect_trackrecord.forking import ProcessLock
from prefect_trackrecord.tracking import RunTracker, current_tracker
from prefect_trackrecord.tracking.describing import describe, traceback_tail


class TrackerCallbackHandler(CallbackHandler):
    """Feeds a tracker from callbacks.

    An error is tracked when it is told, so that it survives whatever follows; the end of the same file, when it says
    no more than that it failed, is not tracked again.

    Args:
        tracker: a started tracker; the current run's where left out.
    """

    def __init__(self, tracker: RunTracker | None = None) -> None:
        self._tracker = tracker
        self._lock = ProcessLock(threading.RLock)
        self._failed: set[Key] = set()

    @property
    def tracker(self) -> RunTracker:
        """The tracker that is fed.

        Raises:
            UsageError: none was given, and no tracked run surrounds the call.
        """
        return self._tracker or current_tracker()

    def on_file_start(self, file: FileEvent) -> None:
        """Another try of a file that failed is another outcome."""
        with self._lock():
            self._failed.discard(key_of(file))

    def on_file_error(self, file: FileEvent) -> None:
        """Track the file as failed."""
        with self._lock():
            if key_of(file) in self._failed:
                return
            self._failed.add(key_of(file))
        self._track(file)

    def on_file_end(self, file: FileEvent) -> None:
        """Track the file's outcome, unless it is the failure that was told before."""
        with self._lock():
            told_before = key_of(file) in self._failed
            self._failed.discard(key_of(file))
        if not (told_before and file.status is FileStatus.FAILED):
            self._track(file)

    def on_batch_end(self, batch: BatchEvent) -> None:
        """Forget the batch's failures."""
        with self._lock():
            self._failed = {key for key in self._failed if key[0] != batch.batch_id}

    def on_handler_error(self, cause: str) -> None:
        """Count it among what tracking could not do."""
        self.tracker.tracking_failed(cause)

    def _track(self, file: FileEvent) -> None:
        status = file.status or FileStatus.SUCCESS
        error = file.error
        exception = error if isinstance(error, BaseException) else None
        message = describe(exception) if exception is not None else error
        self.tracker.track_file(
            file.file_path,
            status,
            error_type=type(exception).__name__ if exception is not None else None,
            error_message=None if message is None else str(message),
            traceback=traceback_tail(exception) if exception is not None else None,
            output_path=file.output_path,
            file_type=file.file_type,
            agent_id=file.agent_id,
            processing_time_ms=file.duration_ms,
            reason=file.reason,
        )
