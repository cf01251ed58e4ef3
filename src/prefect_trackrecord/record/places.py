"""Where the records of a run lie: its folder on this machine, and its place in a store where that is elsewhere."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect_trackrecord.documents.layout import records_prefix, safe_part
from prefect_trackrecord.journal.context import RunContext
from prefect_trackrecord.settings import current
from prefect_trackrecord.store import open_store
from prefect_trackrecord.store.base import Store

DEFAULT_PROCESS = "process_name"
DEFAULT_RUN = "run_id"
"""The folders of a run outside Prefect: T-Record's own, so that a history of its is gone on with."""


@dataclass(frozen=True)
class Place:
    """Where a program said that records go: a folder of this machine, or a store elsewhere."""

    folder: Path | None
    store: Store | None
    process: str | None = None
    run_id: str | None = None

    @classmethod
    def of(cls, path: str | os.PathLike[str], process: str | None = None, run_id: str | None = None) -> Place:
        """The place of a path or URL.

        Raises:
            StorageUrlError, MissingDriverError: the URL can't be opened.
        """
        text = os.fspath(path)
        if "://" in text:
            store = open_store(text)
            if store.local_root is None:
                return cls(None, store, process, run_id)
            text = str(store.local_root)
        return cls(Path(os.path.abspath(os.path.expanduser(text))), None, process, run_id)


@dataclass(frozen=True)
class Located:
    """One run's place.

    Attributes:
        path: its folder on this machine; for a store elsewhere, in the spool.
        spool: where what can't be written to `path` is kept.
        process, run_id: its names.
        store, prefix: its place in a store that is no folder of this machine.
    """

    path: Path
    spool: Path | None
    process: str
    run_id: str
    store: Store | None = None
    prefix: str = ""


def locate(place: Place | None, run: RunContext | None) -> Located:
    """The run that code is in, by what the program said and by the run that surrounds it; one of both is given."""
    process = (place and place.process) or (run.process_name if run else DEFAULT_PROCESS)
    run_id = (place and place.run_id) or (run.run_id if run else DEFAULT_RUN)
    if place is None:
        assert run is not None
        return of_archive(run.archive, process, run_id)
    if place.folder is not None:
        parent = place.folder / part_of(place.folder, process)
        path = parent / part_of(parent, run_id)
        return Located(path, spool_of(str(path)), process, run_id)
    assert place.store is not None
    prefix = f"{safe_part(process)}/{safe_part(run_id)}"
    spool = spool_of(place.store.url) / safe_part(process) / safe_part(run_id)
    return Located(spool, None, process, run_id, place.store, prefix)


def of_archive(archive: Any, process: str, run_id: str) -> Located:
    """The records of a tracked run, in its archive (a `documents.archive.Archive`)."""
    prefix = records_prefix(process, run_id)
    spool = Path(archive.spool) / prefix
    root = archive.store.local_root
    if root is not None:
        return Located(Path(root) / prefix, spool, process, run_id)
    return Located(spool, None, process, run_id, archive.store, prefix)


def spool_of(name: str) -> Path:
    """Where this host keeps what could not be brought to a folder or store."""
    tag = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return current().spool / "records" / tag


def part_of(parent: Path, name: str) -> str:
    """`name` as a folder's name; as it is where such a folder is there already, from before this package."""
    safe = safe_part(name)
    if safe == name or any(c in name for c in "/\\\0") or name in {"", ".", ".."}:
        return safe
    return name if os.path.isdir(parent / name) and not os.path.isdir(parent / safe) else safe
