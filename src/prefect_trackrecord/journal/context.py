"""Which run is the current one: set by whoever runs it, asked by records, trackers and tasks."""

from __future__ import annotations

import importlib
import sys
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

_PROVIDER = "prefect_trackrecord._prefect.context"


@dataclass(frozen=True)
class RunContext:
    """The run that surrounds this code.

    Attributes:
        run_id: its id.
        archive: its `documents.archive.Archive` (this room lies below that one and hands it on unopened).
        tracker: its `tracking.RunTracker`.
        process_name: the name under which its records are kept (the flow's or the command's).
    """

    run_id: str
    archive: Any
    tracker: Any
    process_name: str = "run"


_current: ContextVar[RunContext | None] = ContextVar("trackrecord_run", default=None)


def current_run() -> RunContext | None:
    """The current run, or None outside of any.

    Where Prefect is loaded its own context is asked too: tasks in other threads and processes find their flow's run
    that way.
    """
    found = _current.get()
    provider = _provider()
    return found if provider is None else cast("RunContext | None", provider.provide(found))


def run_set_here() -> RunContext | None:
    """What `set_current` set around this code, without asking Prefect."""
    return _current.get()


def inside_flow() -> bool:
    """Whether this code runs in a Prefect flow or task, tracked or not."""
    provider = _provider()
    return provider is not None and bool(provider.inside_flow())


def carry(name: str, value: Any) -> None:
    """Let the flow that surrounds this code, if one does, carry plain data to the processes of its tasks."""
    if (provider := _provider()) is not None:
        provider.carry(name, value)


def carried(name: str) -> Any:
    """What the flow's own process gave its tasks to carry, in a process that they were sent to; else None."""
    provider = _provider()
    return None if provider is None else provider.carried(name)


def _provider() -> ModuleType | None:
    """The one who knows Prefect's context: it lies above this room, and counts only where Prefect is loaded."""
    if "prefect" not in sys.modules:
        return None
    try:
        return importlib.import_module(_PROVIDER)
    except ImportError:
        return None


def set_current(run: RunContext) -> Token[RunContext | None]:
    """Make `run` the current one; give the token to `reset_current`."""
    return _current.set(run)


def reset_current(token: Token[RunContext | None]) -> None:
    """Undo `set_current`; a token of another thread or task is let pass."""
    try:
        _current.reset(token)
    except ValueError:
        _current.set(None)
