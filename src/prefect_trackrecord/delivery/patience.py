"""How long deferred mails are tried again: each wait twice the one before, all of them together bounded."""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST_WAIT = 300.0


class Patience:
    """The waits between rounds.

    Args:
        whole: seconds from now until no new wait begins; 0 for no second try.
        first: seconds of the first wait.
        sleep: waits.
        clock: seconds that only go forwards.

    Attributes:
        next_wait: seconds until the next round; 0 when there is none.
    """

    def __init__(
        self,
        whole: float,
        first: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sleep, self._clock = sleep, clock
        self._whole, self._began, self._waited = whole, clock(), 0.0
        self._first = self._wait = max(first, 0.01)
        self.next_wait = min(self._wait, whole) if whole > 0 else 0.0

    def wait(self, needed: bool) -> None:
        """Sleep until the next round, and choose the wait after it."""
        if not needed or not self.next_wait:
            return
        self._sleep(self.next_wait)
        self._waited += self.next_wait
        self._wait = min(self._wait * 2, LONGEST_WAIT)
        left = self._whole - max(self._waited, self._clock() - self._began)
        # What is left goes into one last try, unless it is next to nothing.
        self.next_wait = min(self._wait, left) if left >= self._first / 2 else 0.0
