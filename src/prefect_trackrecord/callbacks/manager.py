"""The callback manager: says what happens in a batch of files to every handler, and stops for none of them."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from prefect_trackrecord.callbacks.handler import BatchEvent, CallbackHandler, FileEvent, PathLike
from prefect_trackrecord.documents.models import FileStatus
from prefect_trackrecord.forking import ProcessLock

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger("prefect_trackrecord")


class CallbackManager:
    """Passes what happens in batches on to handlers.

    A handler that raises is logged, once per cause, and stops neither the batch nor the other handlers.

    Args:
        handlers: who is told, in this order.

    Example:
        ```python
        manager = CallbackManager(handlers=[TrackerCallbackHandler(tracker), StdOutCallbackHandler()])
        with manager.on_batch_start(total_files=len(paths)) as batch:
            for index, path in enumerate(paths):
                batch.on_file_start(path, index, len(paths))
                try:
                    output = process(path)
                except Exception as exc:
                    batch.on_file_error(path, index, len(paths), exc)
                else:
                    batch.on_file_end(path, index, len(paths), "success", output_path=output)
        ```
    """

    def __init__(self, handlers: Iterable[CallbackHandler] = ()) -> None:
        self.handlers = list(handlers)
        self._open: dict[str, BatchCallbackManager] = {}
        self._logged: set[str] = set()

    def on_batch_start(self, total_files: int | None = None) -> BatchCallbackManager:
        """Begin a batch; returns who is to be told of its files.

        Args:
            total_files: how many files there will be; None where nobody knows yet.
        """
        batch = BatchCallbackManager(self, total_files)
        self._open[batch.batch_id] = batch
        self.tell("on_batch_start", batch.state())
        return batch

    def close(self) -> None:
        """End the batches that are still open."""
        for batch in list(self._open.values()):
            batch.on_batch_end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tell(self, name: str, event: BatchEvent | FileEvent) -> None:
        """Call the method `name` of each handler."""
        for handler in list(self.handlers):
            try:
                getattr(handler, name)(event)
            except Exception as exc:  # noqa: BLE001 - a handler is foreign code, and the batch goes on whatever it does
                self._failed(handler, name, exc)

    def ended(self, batch_id: str) -> None:
        """The batch is no longer open."""
        self._open.pop(batch_id, None)

    def _failed(self, handler: CallbackHandler, name: str, exc: Exception) -> None:
        cause = f"{type(handler).__name__}.{name} raised {type(exc).__name__}"
        if cause not in self._logged:
            self._logged.add(cause)
            logger.warning("%s; the batch goes on, and this is not logged again", cause, exc_info=exc)
        for other in list(self.handlers):
            told = getattr(other, "on_handler_error", None)
            if told is None:
                continue
            try:
                told(cause)
            except Exception:  # nobody is left to be told
                logger.debug("%s.on_handler_error raised", type(other).__name__, exc_info=True)


class BatchCallbackManager:
    """Is told of a batch's files, from any thread. Use it as a context manager, or call `on_batch_end`.

    Made by `CallbackManager.on_batch_start`.
    """

    def __init__(self, manager: CallbackManager, total_files: int | None) -> None:
        self.batch_id = uuid.uuid4().hex
        self.total_files = total_files
        self._manager = manager
        self._lock = ProcessLock(threading.RLock)
        self._began = time.monotonic()
        self._starts: dict[tuple[str, int | None], float] = {}
        self._failed: set[tuple[str, int | None]] = set()
        self._counts = dict.fromkeys(FileStatus, 0)
        self._ended = False

    def on_file_start(
        self,
        file_path: PathLike,
        index: int | None = None,
        total: int | None = None,
        *,
        file_type: str | None = None,
        agent_id: str | None = None,
    ) -> None:
        """A file's processing begins; from here its duration is measured.

        Args:
            file_path: which file.
            index, total: its place, from 0, and how many files there are.
            file_type: audio, transcript, report...
            agent_id: whose it is.
        """
        key = (os.fspath(file_path), index)
        with self._lock():
            self._starts[key] = time.monotonic()
        self._tell("on_file_start", file_path, index, total, file_type=file_type, agent_id=agent_id)

    def on_file_end(
        self,
        file_path: PathLike,
        index: int | None = None,
        total: int | None = None,
        status: FileStatus | str = FileStatus.SUCCESS,
        *,
        duration_ms: float | None = None,
        output_path: PathLike | None = None,
        error: BaseException | str | None = None,
        file_type: str | None = None,
        agent_id: str | None = None,
        reason: str | None = None,
    ) -> None:
        """A file's processing ended. After `on_file_error` of the same file it is the same outcome, not a second one.

        Args:
            file_path: which file.
            index, total: its place, from 0, and how many files there are.
            status: success, failed or skipped. A status that there is none of counts as failed, and says so.
            duration_ms: how long it took; the time since `on_file_start` where left out.
            output_path: what was made of it.
            error: what it failed with: the exception, or a message.
            file_type: audio, transcript, report...
            agent_id: whose it is.
            reason: why it was skipped.
        """
        key = (os.fspath(file_path), index)
        value, error = _status(status, error)
        with self._lock():
            duration_ms = self._duration(key, duration_ms)
            told_before = key in self._failed
            self._failed.discard(key)
            if told_before:
                self._counts[FileStatus.FAILED] -= 1
            self._counts[value] += 1
        self._tell(
            "on_file_end",
            file_path,
            index,
            total,
            status=value,
            duration_ms=duration_ms,
            output_path=output_path,
            error=error,
            file_type=file_type,
            agent_id=agent_id,
            reason=reason,
        )

    def on_file_error(
        self,
        file_path: PathLike,
        index: int | None = None,
        total: int | None = None,
        error: BaseException | str | None = None,
        *,
        duration_ms: float | None = None,
        file_type: str | None = None,
        agent_id: str | None = None,
    ) -> None:
        """A file failed. It counts as failed at once, whether `on_file_end` follows or not.

        Args:
            file_path: which file.
            index, total: its place, from 0, and how many files there are.
            error: the exception, or a message.
            duration_ms: how long it took; the time since `on_file_start` where left out.
            file_type: audio, transcript, report...
            agent_id: whose it is.
        """
        key = (os.fspath(file_path), index)
        with self._lock():
            duration_ms = self._duration(key, duration_ms)
            if key not in self._failed:
                self._failed.add(key)
                self._counts[FileStatus.FAILED] += 1
        self._tell(
            "on_file_error",
            file_path,
            index,
            total,
            status=FileStatus.FAILED,
            error=error if error is not None else "failed",
            duration_ms=duration_ms,
            file_type=file_type,
            agent_id=agent_id,
        )

    def on_batch_end(self) -> None:
        """The batch ended; a second call does nothing."""
        with self._lock():
            if self._ended:
                return
            self._ended = True
        self._manager.ended(self.batch_id)
        self._manager.tell("on_batch_end", self.state())

    def state(self) -> BatchEvent:
        """The batch as it stands."""
        with self._lock():
            counts = dict(self._counts)
        return BatchEvent(self.batch_id, self.total_files, counts, (time.monotonic() - self._began) * 1000)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.on_batch_end()

    def _duration(self, key: tuple[str, int | None], given: float | None) -> float | None:
        began = self._starts.pop(key, None)
        return given if given is not None or began is None else (time.monotonic() - began) * 1000

    def _tell(self, name: str, file_path: PathLike, index: int | None, total: int | None, **more: object) -> None:
        known = total if total is not None else self.total_files
        with self._lock():
            done, failed = sum(self._counts.values()), self._counts[FileStatus.FAILED]
        event = FileEvent(self.batch_id, file_path, index, known, done=done, failed=failed, **more)  # type: ignore[arg-type]
        self._manager.tell(name, event)


def _status(
    status: FileStatus | str, error: BaseException | str | None
) -> tuple[FileStatus, BaseException | str | None]:
    """The status that is meant, and the error; a pipeline's typing mistake must neither stop it nor go unseen."""
    try:
        return FileStatus(status), error
    except ValueError:
        return FileStatus.FAILED, error or f"reported with the unknown status {status!r}; there are: " + ", ".join(
            s.value for s in FileStatus
        )
