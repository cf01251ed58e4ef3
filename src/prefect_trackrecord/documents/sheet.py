"""A list document in the making: one row a line, in memory while it is small, in a temporary file once it is large."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from prefect_trackrecord.documents.rows import RUN_ID

IN_MEMORY = 8 << 20
_PIECE = 1 << 20


class Sheet:
    """The rows of one run: a JSON array with a row on each line, so that people and line tools can read it.

    Args:
        run_id: the run.
        folder: a folder on the disk that is to have the document: a large one is made there at once, without a name, so
            that it need not be copied, and a process that dies leaves nothing. In the system's folder for temporary
            files where left out, or where that can't be.
        in_memory: bytes that are held in memory; `IN_MEMORY` where left out.
    """

    def __init__(self, run_id: str, folder: Path | None = None, in_memory: int | None = None) -> None:
        self._run_id = orjson.dumps(run_id)
        self._folder, self._left = folder, IN_MEMORY if in_memory is None else in_memory
        self._out: BinaryIO = io.BytesIO()
        self.large = False
        self._count = 0
        self._closed = False

    def add(self, lines: bytes) -> None:
        """Take rows in, as `rows.dump` makes them: one on each line, each line with its newline."""
        if not lines:
            return
        start = b",\n" if self._count else b"[\n"
        self._count += lines.count(b"\n")
        # within a row JSON writes newlines and marks otherwise
        self._put(start + lines[:-1].replace(RUN_ID, self._run_id).replace(b"\n", b",\n"))

    def close(self) -> None:
        """There are no more rows."""
        if not self._closed:
            self._put(b"\n]\n" if self._count else b"[\n\n]\n")
            self._closed = True
            self._out.flush()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._out.seek(0)
        rest, at = b"", 0
        while piece := self._out.read(_PIECE):
            at += len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.startswith(b"{"):
                    yield orjson.loads(line.rstrip(b","))
            self._out.seek(at)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return list(self)[place]

    def body(self) -> bytes:
        """The document's bytes."""
        self._out.seek(0)
        return self._out.read()

    @property
    def file(self) -> BinaryIO:
        """The document as a file."""
        return self._out

    def _put(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0 and not self.large:
            small = self.body()
            self.large, self._out = True, nameless(self._folder)
            self._out.write(small)
        self._out.write(data)


def nameless(folder: Path | None) -> BinaryIO:
    """An empty file that nobody else sees and that is gone once it is closed; in `folder` where the system can."""
    if folder is not None and hasattr(os, "O_TMPFILE"):
        try:
            os.makedirs(folder, exist_ok=True)
            return open(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), "w+b")
        except OSError:
            pass
    return tempfile.TemporaryFile(prefix="trackrecord-")
