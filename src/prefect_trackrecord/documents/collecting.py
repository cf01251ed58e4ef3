"""Brings segments of this host into the store: what is there already is only ever replaced by more of it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from prefect_trackrecord.documents import layout
from prefect_trackrecord.errors import ConflictError, StoreError
from prefect_trackrecord.journal.reader import segment_paths, whole, writer_alive
from prefect_trackrecord.store.base import Store

ROUNDS = 20
closed: set[Path] = set()
"""Segments of this process that nobody writes to any more, and that are still in the spool."""


def bring(store: Store, key: str, body: bytes, etag: str | None = None) -> str:
    """Put a segment's bytes into the store, unless it holds as much of it already; returns the etag that it has then.

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
            return store.replace(key, body, etag)
        except ConflictError:
            there = store.get(key)
            if there is not None and len(there.data) >= len(body):  # somebody else of this host was faster
                return there.etag
            etag = there.etag if there else None
    raise StoreError(f"{key} could not be brought into the store: others kept changing it")


def collect(store: Store, run_id: str, folder: Path) -> int:
    """Bring this host's spooled segments of a run into the store; returns how many there were.

    A segment leaves the spool once nobody writes to it any more. What was uploaded before is not sent again.

    Args:
        store: where to.
        run_id: the run.
        folder: its folder in the spool.

    Raises:
        StoreError: the store can't be written now; what it does not hold is still in the spool.
    """
    paths = segment_paths(folder)
    if not paths:
        return 0
    prefix = layout.journal_prefix(run_id)
    stored = {entry.key.rsplit("/", 1)[-1]: entry for entry in store.list(prefix)}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # another collector was faster
            data = path.read_bytes()
            finished = path in closed or writer_alive(data) is False
            body, there = whole(data), stored.get(path.name)
            if body and (there is None or there.size < len(body)):
                bring(store, f"{prefix}/{path.name}", body, there.etag if there else None)
            if finished and os.stat(path).st_size == len(data):
                path.unlink(missing_ok=True)
                closed.discard(path)
    with contextlib.suppress(OSError):  # somebody still writes there
        folder.rmdir()
    return len(paths)
