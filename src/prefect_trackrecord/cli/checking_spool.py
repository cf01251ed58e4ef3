"""Tries the spool of this host as a flow would use it, and tells what waits there, for this storage and for others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from prefect_trackrecord.cli.finding import Finding
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.journal.reader import segment_paths
from prefect_trackrecord.journal.spool import SEGMENT, spools
from prefect_trackrecord.pages.words import plural

_MIB = 1 << 20


def check_spool(archive: Archive) -> Iterator[Finding]:
    """Write a segment's worth, look at the room, and at what was left behind."""
    yield _write(archive.spool, archive.settings.spool_limit)
    yield _waiting(archive)
    yield from _of_others(archive)


def _write(folder: Path, limit: int) -> Finding:
    there = folder.exists()
    probe = folder / f".doctor-{os.urandom(4).hex()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"\n" * SEGMENT)
        finally:
            probe.unlink(missing_ok=True)
        free = shutil.disk_usage(folder).free
        if not there:
            folder.rmdir()
    except OSError as exc:
        said = f"it takes no events ({folder}): {exc.strerror or exc}"
        return Finding("spool: write", "wrong", said, "make room and give the right to write, or set TRACKRECORD_SPOOL")
    said = f"{free // _MIB:,} MiB are free, up to {limit // _MIB:,} MiB may wait"
    if free < limit:
        way_out = "a disk with more room (TRACKRECORD_SPOOL), or a lower TRACKRECORD_SPOOL_LIMIT_MB"
        return Finding("spool: write", "warning", said, way_out)
    return Finding("spool: write", "ok", said)


def _waiting(archive: Archive) -> Finding:
    waiting = list(archive.spooled())
    if not waiting:
        return Finding("spool", "ok", f"nothing waits on this host ({archive.spool})")
    times = [path.stat().st_mtime for one in waiting for path in one.folder.iterdir() if path.exists()]
    age = plural(round((datetime.now(timezone.utc).timestamp() - max(times, default=0.0)) / 60), "minute")
    said = f"events of {plural(len(waiting), 'run')} wait on this host, the newest for {age} ({archive.spool})"
    return Finding("spool", "warning", said, f"trackrecord recover --storage {archive.name}; runs that go on stay")


def _of_others(archive: Archive) -> Iterator[Finding]:
    """What waits on this host for other storages: of a flow that keeps its history elsewhere, or once did."""
    for store, folder in spools(archive.settings.spool):
        if folder == archive.spool:
            continue
        waiting = sum(bool(segment_paths(run)) for run in folder.iterdir() if run.is_dir())
        if waiting:
            said = f"events of {plural(waiting, 'run')} wait on this host for {store or 'another storage'} ({folder})"
            yield Finding("spool", "warning", said, _way_out(store))


def _way_out(store: str) -> str:
    place, _, at = store.partition(" at ")
    if not at:
        return f"trackrecord recover --storage {place or 'URL'}; runs that go on stay"
    return (
        f"trackrecord recover with the storage at {at}: its block (--storage trackrecord-storage/NAME), or recover() "
        f"with its TrackingStorage; {place} alone may be another one. Runs that go on stay"
    )
