"""A file as one of its senders sees it: with a place of its own, however many others read it, or go on reading it.

A request that a service refuses early may still be sending its body while the next try begins.
"""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO

POSSIBLE = hasattr(os, "pread")
_PIECE = 1 << 20


def view(file: BinaryIO) -> io.BufferedReader:
    """A reader of the file from its start; the file itself stays open, and where it is."""
    return io.BufferedReader(_View(file), _PIECE)


class _View(io.RawIOBase):
    def __init__(self, file: BinaryIO) -> None:
        self._file = file  # or it might be closed, and its number be another's
        self._size = os.fstat(file.fileno()).st_size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        data = os.pread(self._file.fileno(), len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
