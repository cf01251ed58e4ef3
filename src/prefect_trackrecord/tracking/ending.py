"""A run's records are completed with the run. The record room is loaded only where a run has some."""

from __future__ import annotations

import sys
from pathlib import Path

from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.layout import RECORDS, records_prefix
from prefect_trackrecord.errors import StoreError


def complete_records(archive: Archive, process: str | None, run_id: str) -> None:
    """A run ended: its records' log and page are completed, and brought into its store. Never raises.

    Args:
        archive: the run's.
        process: the flow's or the command's name.
        run_id: the run.
    """
    name = process or ""
    if "prefect_trackrecord.record.tracing" not in sys.modules and not _has_records(archive, name, run_id):
        return
    from prefect_trackrecord.record import finishing

    finishing.complete_records(archive, name, run_id)


def _has_records(archive: Archive, process: str, run_id: str) -> bool:
    """Whether this host holds records of a run, made in other processes."""
    try:
        homes = (archive.spool, archive.store.local_root)
    except StoreError:
        return False
    return any(home is not None and (Path(home) / records_prefix(process, run_id)).is_dir() for home in homes)


def recover_records(archive: Archive) -> None:
    """Bring into a store the records that this host still keeps for it. Never raises."""
    if not (Path(archive.spool) / RECORDS).is_dir():
        return
    from prefect_trackrecord.record import finishing

    finishing.recover_records(archive)
