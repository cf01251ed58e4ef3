"""The tracker of code that nobody tracks: takes everything that a RunTracker takes and keeps nothing."""

from __future__ import annotations

import contextlib
import uuid
from contextvars import Token
from typing import TYPE_CHECKING, Any

from prefect_trackrecord import events as ev
from prefect_trackrecord.settings import current
from prefect_trackrecord.tracking.run_tracker import RunTracker, untracked

if TYPE_CHECKING:
    from typing_extensions import Self


class UntrackedRun(RunTracker):
    """Stands in for a RunTracker where no history is to be kept, so that code need not ask whether it is.

    Between `start` and `complete` it is what `current_tracker()` gives, unless a tracked run surrounds the call. It
    installs no signal handler, writes nothing, and `track_file` returns False: nothing is stored.

    Args:
        command: what runs.
    """

    def __init__(self, command: str) -> None:
        super().__init__(command, storage=current().default_path)
        self._outer: Token[RunTracker | None] | None = None

    def start(self) -> Self:
        """Begin; keeps nothing."""
        self.run_id = str(uuid.uuid4())
        self._state = "running"
        self._outer = untracked.set(self)
        return self

    def complete(self, *_args: Any, **_more: Any) -> None:
        """End; keeps nothing."""
        if self._outer is not None:
            outer, self._outer = self._outer, None
            with contextlib.suppress(ValueError):  # completed in another thread or task than it was started in
                untracked.reset(outer)
        self._state = "completed"

    def _emit(self, event: ev.Event | bytes) -> bool:
        return False
