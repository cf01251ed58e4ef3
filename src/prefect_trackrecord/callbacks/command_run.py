"""One run of a command: its tracker, its callbacks, and what its exceptions and exit codes say of how it ended."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from pathlib import Path
from types import TracebackType
from typing import Any

from prefect_trackrecord.callbacks.manager import CallbackManager
from prefect_trackrecord.callbacks.stdout import StdOutCallbackHandler
from prefect_trackrecord.callbacks.to_tracker import TrackerCallbackHandler
from prefect_trackrecord.documents.models import RunStatus
from prefect_trackrecord.forking import ProcessLock
from prefect_trackrecord.settings import current
from prefect_trackrecord.tracking import RunTracker, TrackingStorage
from prefect_trackrecord.tracking.untracked import UntrackedRun

_manager: ContextVar[CallbackManager | None] = ContextVar("trackrecord_callbacks", default=None)
_running: list[CallbackManager] = []
_running_lock = ProcessLock(threading.RLock)


class CommandRun:
    """One run of a command: a tracker (one that keeps nothing where nobody tracks), and its callbacks.

    Use it as a context manager. Exceptions and exit codes pass through unchanged and say how the run ended.

    Args:
        command, subcommand, config_path, target_date, parameters, role: as `RunTracker` takes them.
        storage: where the history is kept; `TRACKING_PATH` where left out, and nowhere without it.
        verbose: also show progress on standard output.
        troubles: what could not be found out about the run; logged, and counted in its metadata.
    """

    def __init__(
        self,
        command: str,
        subcommand: str | None = None,
        config_path: str | Path | None = None,
        target_date: Any = None,
        *,
        storage: TrackingStorage | str | Path | None = None,
        verbose: bool = False,
        parameters: Mapping[str, Any] | None = None,
        role: str | None = None,
        troubles: Sequence[str] = (),
    ) -> None:
        self.tracker: RunTracker
        if storage is None and current().tracking_path is None:
            self.tracker = UntrackedRun(command)
        else:
            more = {"parameters": parameters, "role": role}
            self.tracker = RunTracker(command, subcommand, config_path, storage, target_date, **more)  # type: ignore[arg-type]
        self.callbacks = CallbackManager([TrackerCallbackHandler(self.tracker)])
        if verbose:
            self.callbacks.handlers.append(StdOutCallbackHandler())
        self._troubles = troubles
        self._token: Token[CallbackManager | None] | None = None

    def __enter__(self) -> CommandRun:
        self.tracker.start()
        for trouble in self._troubles:
            self.tracker.archive.warn(trouble)
            self.tracker.tracking_failed(trouble)
        self._token = _manager.set(self.callbacks)
        with _running_lock():
            _running.append(self.callbacks)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _running_lock():
            _running.remove(self.callbacks)
        if self._token is not None:
            _manager.reset(self._token)
        self.callbacks.close()
        code = _exit_code(exc)
        if _is_abort(exc):
            self.tracker.complete(RunStatus.ABORTED, "the user aborted the command")
        elif code == 0:
            self.tracker.complete()
        elif code is not None and isinstance(exc, BaseException):
            self.tracker.complete(RunStatus.FAILED, f"exit code {code}", error_type=type(exc).__name__)
        else:
            self.tracker.__exit__(kind, exc, trace)


def command_callbacks() -> CallbackManager:
    """The callback manager of the command that runs; one without handlers where none does."""
    found = _manager.get()
    if found is None:
        with _running_lock():  # a thread of the user's own starts with no context: the only command is meant
            found = _running[0] if len(_running) == 1 else None
    return found if found is not None else CallbackManager()


def _is_click(exc: BaseException, name: str) -> bool:
    """Whether it is click's or typer's exception of that name, without importing either."""
    return any(c.__name__ == name and c.__module__.split(".")[0] in {"click", "typer"} for c in type(exc).__mro__)


def _is_abort(exc: BaseException | None) -> bool:
    return exc is not None and _is_click(exc, "Abort")


def _exit_code(exc: BaseException | None) -> int | None:
    """The exit code that an exception asks for; None for one that asks for none."""
    if exc is None:
        return 0
    code: Any
    if isinstance(exc, SystemExit):
        code = exc.code or 0
    elif _is_click(exc, "Exit"):
        code = getattr(exc, "exit_code", 1)
    else:
        return None
    return code if isinstance(code, int) else None
