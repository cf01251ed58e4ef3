"""Who wants to hear of status changes of records as they happen; those who tell of them know nobody above."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class StatusChange(NamedTuple):
    """A business record came into another status."""

    run_id: str
    process: str
    record_id: str
    record_type: str
    old: str
    new: str
    reason: str


_watchers: list[Callable[[StatusChange], None]] = []


def on_status(watcher: Callable[[StatusChange], None]) -> None:
    """Call `watcher` at each status change in this process; it must be quick and must not raise."""
    if watcher not in _watchers:
        _watchers.append(watcher)


def status_changed(change: StatusChange) -> None:
    """Tell all who want to hear of it."""
    for watcher in _watchers:
        watcher(change)
