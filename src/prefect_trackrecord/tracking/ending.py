"""A run's records are completed with the run. The record room is loaded only where a run has some."""

from __future__ import annotations

import sys
from collections.abc import Iterable
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


def recover_records(archive: Archive, recovered: Iterable[tuple[str | None, str]]) -> None:
    """Complete the records of runs that could not end, and bring into a store all that this host keeps. Never raises.

    Args:
        archive: the runs'.
        recovered: flow or command, and id, of the runs that were just sealed.
    """
    for process, run_id in recovered:
        complete_records(archive, process, run_id)
    if not (Path(archive.spool) / RECORDS).is_dir():
        return
    from prefect_trackrecord.record import finishing

    finishing.recover_records(archive)
