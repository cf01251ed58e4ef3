"""What happens to records before anybody said where they are kept: events and pictures wait in memory."""

from __future__ import annotations

import threading

_ROOM = 64 << 20


class Waiting:
    """Events and pictures in memory, as many as there is room for.

    Attributes:
        lines: encoded events, in order.
        pictures: by name.
    """

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.pictures: dict[str, bytes] = {}
        self._room = _ROOM
        self._lock = threading.Lock()

    def hold(self, line: bytes) -> bool:
        """Keep an event; False where there is no room."""
        if self._room < len(line):
            return False
        self._room -= len(line)
        self.lines.append(line)
        return True

    def hold_picture(self, name: str, data: bytes) -> bool:
        """Keep a picture, once; False where there is no room."""
        with self._lock:
            if name not in self.pictures:
                if self._room < len(data):
                    return False
                self._room -= len(data)
                self.pictures[name] = data
        return True
