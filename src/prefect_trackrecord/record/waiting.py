"""What happens to records before anybody said where they are kept: events and pictures wait in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable

from prefect_trackrecord.forking import ProcessLock

KeepPicture = Callable[[str, bytes], None]
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
        self._elsewhere: KeepPicture | None = None
        self._lock = ProcessLock(threading.RLock)

    def hold(self, line: bytes) -> bool:
        """Keep an event; False where there is no room."""
        if self._room < len(line):
            return False
        self._room -= len(line)
        self.lines.append(line)
        return True

    def hold_picture(self, name: str, data: bytes) -> bool:
        """Keep a picture, once, or hand it on; False where there is no room."""
        with self._lock():
            if self._elsewhere is not None:
                self._elsewhere(name, data)
            elif name not in self.pictures:
                if self._room < len(data):
                    return False
                self._room -= len(data)
                self.pictures[name] = data
        return True

    def hand_over(self, keep_picture: KeepPicture) -> None:
        """There is a folder now: pictures go there, those that are being taken at this moment, too."""
        with self._lock():
            self._elsewhere = keep_picture
            for name, data in self.pictures.items():
                keep_picture(name, data)
            self.pictures.clear()
