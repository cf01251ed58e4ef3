"""One segment of a journal: its name, its first line, the room it keeps, and how its file is made."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
from datetime import datetime, timezone
from pathlib import Path

from prefect_trackrecord.events import TrackingFailed, WriterOpened, encode
from prefect_trackrecord.journal.liveness import boot_id, host_name, pid_namespace, start_ticks

SUFFIX = ".ndjson"
ROOM = 200
"""Bytes of the line that says how many events are lost; more than it takes, with a cause that is cut."""


def segment_name() -> str:
    """A name that no other segment has."""
    return f"{_safe(host_name())}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"


def first_line() -> bytes:
    """How a segment of this process begins."""
    opened = WriterOpened(
        at=datetime.now(timezone.utc),
        host=host_name(),
        boot=boot_id(),
        pid=os.getpid(),
        ticks=start_ticks(os.getpid()),
        namespace=pid_namespace(),
    )
    return encode(opened)


def room_for(cause: str, lost: int) -> bytes:
    """A line of always the same length; blanks at its end are no part of the JSON."""
    now = datetime.now(timezone.utc)
    for words in (cause, "events lost"):
        line = encode(TrackingFailed(at=now, cause=words, count=lost, lost=lost)).rstrip(b"\n")
        if len(line) < ROOM:
            break
    return line.ljust(ROOM - 1) + b"\n"


def new_segment(folder: Path, line: bytes) -> tuple[io.FileIO, Path]:
    """A new file in `folder`, which is made where there is none, and its path; `line` is in it.

    Raises:
        OSError: the folder does not take it; nothing is left there.
    """
    path = folder / segment_name()
    file = _made(path)
    try:
        if file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return file, path


def _made(path: Path) -> io.FileIO:
    """A new file, in a folder that may be tidied away as soon as it is made: a sealer removes one that is empty."""
    tries = 10
    while True:
        tries -= 1
        with contextlib.suppress(*((FileNotFoundError,) if tries else ())):
            os.makedirs(path.parent, exist_ok=True)
            # a file object, so that the descriptor's number can't be used again while a thread still writes to it
            return io.FileIO(path, "xb", opener=lambda p, flags: os.open(p, flags | os.O_APPEND, 0o666))


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "_." else "_" for c in name)[:40].strip(".") or "host"
