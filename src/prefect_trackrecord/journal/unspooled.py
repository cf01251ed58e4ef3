"""Events of one run that the spool of this host does not take, on their way into the store as segments in memory.

They are no longer there than this process: so they count as kept only once the store has them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from prefect_trackrecord.journal.segments import first_line, segment_name
from prefect_trackrecord.journal.spool import SEGMENT

_ROOM = 1 << 20
Bring = Callable[[str, bytes, str | None], str]
"""Brings a segment into the store: its name, its bytes, the etag of what the store has of it; returns the new one."""


class Unspooled:
    """Takes lines in from any thread, also from a signal handler; sends them in their order."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._sending = threading.Lock()
        self._name, self._body, self._etag = "", b"", None  # type: str, bytes, str | None
        self._begun = self._sent = 0

    def __bool__(self) -> bool:
        """Whether there is anything that the store does not have."""
        return bool(self._lines) or self._sent < len(self._body)

    def __len__(self) -> int:
        """How many events the store does not have."""
        return len(self._lines) + self._body[max(self._sent, self._begun) :].count(b"\n")

    def has_room(self) -> bool:
        """Whether one more may wait."""
        return sum(map(len, list(self._lines))) < _ROOM

    def add(self, line: bytes) -> None:
        """Take in an encoded event, with its newline."""
        self._lines.append(line)

    def send(self, bring: Bring) -> None:
        """Bring all that waits into the store; what `bring` raises is let through, and all of it still waits."""
        with self._sending:
            while self:
                self._fill()
                self._etag = bring(self._name, self._body, self._etag)
                self._sent = len(self._body)

    def _fill(self) -> None:
        """Take lines over into the segment, or into a new one where the last one is large."""
        if not self._name or (len(self._body) >= SEGMENT and self._sent == len(self._body)):
            self._name, self._body, self._etag, self._sent = segment_name(), first_line(), None, 0
            self._begun = len(self._body)
        lines = []
        room = SEGMENT - len(self._body)
        while self._lines and room > 0:
            lines.append(self._lines.popleft())
            room -= len(lines[-1])
        self._body += b"".join(lines)
