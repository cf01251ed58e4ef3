"""A run's records are completed with the run. The record room is loaded only where a run has some."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.layout import RECORDS, records_prefix
from prefect_trackrecord.errors import StoreError


def complete_records(archive: Archive, process: str | None, run_id: str, *, elsewhere: bool = False) -> None:
    """A run ended: its records' log and page are completed, and brought into its store. Never raises.

    Args:
        archive: the run's.
        process: the flow's or the command's name.
        run_id: the run.
        elsewhere: whether processes of other hosts may have had records of it (one more request to a bucket).
    """
    name = process or ""
    if not elsewhere and not _in_use() and not _has_records(archive, name, run_id):
        return
    from prefect_trackrecord.record import finishing

    finishing.complete_records(archive, name, run_id, elsewhere=elsewhere)


def send_records(archive: Archive, run_id: str) -> None:
    """Bring the records that this process has of a run into its store. Never raises.

    Args:
        archive: the run's.
        run_id: the run.
    """
    if not _in_use():
        return
    from prefect_trackrecord.record import finishing

    finishing.send_records(archive, run_id)


def _in_use() -> bool:
    """Whether this process may have records: the room is loaded by the first one."""
    return "prefect_trackrecord.record.tracing" in sys.modules


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
        complete_records(archive, process, run_id, elsewhere=True)
    if not (Path(archive.spool) / RECORDS).is_dir():
        return
    from prefect_trackrecord.record import finishing

    finishing.recover_records(archive)
