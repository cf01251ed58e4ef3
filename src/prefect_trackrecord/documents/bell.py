"""A call for the uploading thread, which a signal handler may make, too."""

from __future__ import annotations

import contextlib
import queue


class Bell:
    """As `threading.Event`, and a signal handler may ring it: an Event's own lock could be held by whom it stopped."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.rung = False

    def ring(self) -> None:
        """Wake who waits, or will."""
        if not self.rung:
            self.rung = True
            self._calls.put(None)

    def wait(self, seconds: float) -> bool:
        """Whether it was rung; one call is answered once."""
        try:
            self._calls.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    def clear(self) -> None:
        """Forget all calls so far."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._calls.get_nowait()
        # last: a ring before this is answered by what follows, and one that was drained must not count as rung
        self.rung = False
