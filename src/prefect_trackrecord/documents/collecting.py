"""Brings segments of this host into the store: what is there already is only ever replaced by more of it."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path

from prefect_trackrecord.documents import layout
from prefect_trackrecord.errors import ConflictError, StoreError
from prefect_trackrecord.journal.reader import segment_paths, whole, writer_alive
from prefect_trackrecord.journal.spool_writer import SpoolWriter
from prefect_trackrecord.journal.unspooled import Unspooled
from prefect_trackrecord.journal.writer import JournalWriter
from prefect_trackrecord.store.base import Blob, Store

ROUNDS = 20
_HELD = 4 << 20
closed: set[Path] = set()
"""Segments of this process that nobody writes to any more, and that are still in the spool."""


def let_go(writer: JournalWriter) -> None:
    """Close a writer's file; what it has written is nobody's any more."""
    paths = writer.close()
    if writer.diverted or isinstance(writer, SpoolWriter):
        closed.update(paths)


def bring(store: Store, key: str, body: bytes, etag: str | None = None) -> Blob:
    """Put a segment's bytes into the store, unless it holds as much of it already; returns what it holds then.

    Args:
        store: where to.
        key: the segment's.
        body: its whole lines so far.
        etag: what the store's shorter copy has; None where there is none.

    Raises:
        StoreError: the store can't be written now.
    """
    for _ in range(ROUNDS):
        try:
            return Blob(body, store.replace(key, body, etag))
        except ConflictError:
            there = store.get(key)
            if there is not None and len(there.data) >= len(body):  # somebody else of this host was faster
                return there
            etag = there.etag if there else None
    raise StoreError(f"{key} could not be brought into the store: others kept changing it")


def send(store: Store, run_id: str, unspooled: Unspooled) -> None:
    """Bring a run's events into the store that this host's spool did not take.

    Raises:
        StoreError: the store can't be written now; what it does not hold is still in memory.
    """
    prefix = layout.journal_prefix(run_id)
    unspooled.send(lambda name, body, etag: bring(store, f"{prefix}/{name}", body, etag).etag)


def collect(
    store: Store,
    run_id: str,
    folder: Path,
    sent: Mapping[Path, tuple[int, str]] | None = None,
    silence: float = math.inf,
) -> dict[str, Blob]:
    """Bring this host's spooled segments of a run into the store; what it holds of them then, so far as that is known.

    A segment leaves the spool once nobody writes to it any more. What was uploaded before is not sent again.

    Args:
        store: where to.
        run_id: the run.
        folder: its folder in the spool.
        sent: of which segments the store has how many bytes, under which etag, as this process has sent them.
        silence: seconds after which one that has not grown is nobody's, where this host can't tell whether its process
            runs (it was a container's, or the host had another name).

    Raises:
        StoreError: the store can't be written now; what it does not hold is still in the spool.
    """
    paths = segment_paths(folder)
    if not paths:
        return {}
    prefix = layout.journal_prefix(run_id)
    stored = dict(sent or {})
    if sum(path not in stored for path in paths) > 1:  # of one it is asked by sending it
        entries = {entry.key.rsplit("/", 1)[-1]: entry for entry in store.list(prefix)}
        stored = {p: (entries[p.name].size, entries[p.name].etag) for p in paths if p.name in entries}
    found: dict[str, Blob] = {}
    room = _HELD
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # another collector was faster
            data = path.read_bytes()
            lives = writer_alive(data)
            finished = path in closed or lives is False or (lives is None and _age(path) > silence)
            body, (size, etag) = whole(data), stored.get(path, (0, None))
            if len(body) > size:
                there = bring(store, f"{prefix}/{path.name}", body, etag)
            else:
                there = Blob(body, etag if etag and len(body) == size else "")
            if there.etag and (room := room - len(there.data)) >= 0:
                found[path.name] = there
            if finished and os.stat(path).st_size == len(data):
                path.unlink(missing_ok=True)
                closed.discard(path)
    with contextlib.suppress(OSError):  # somebody still writes there
        folder.rmdir()
    return found


def _age(path: Path) -> float:
    """Seconds since a file was last written to."""
    return time.time() - path.stat().st_mtime
