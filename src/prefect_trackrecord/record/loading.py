"""Records read back from disk, whether they were dumped, merged or only journaled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from prefect_trackrecord.journal.context import current_run
from prefect_trackrecord.record import document
from prefect_trackrecord.record.entries import RecordEntry
from prefect_trackrecord.record.folder import JOURNAL, RunFolder
from prefect_trackrecord.record.page_model import DEFAULT_PROCESS, DEFAULT_RUN
from prefect_trackrecord.record.state import RunRecords
from prefect_trackrecord.record.tracing import part_of, spool_of


def load_records(
    folder_path: str | os.PathLike[str], process_name: str | None = None, run_id: str | None = None
) -> list[RecordEntry]:
    """The records of a run, in order of creation, from what is on disk now.

    Reading changes nothing. Of a damaged log every record that is whole is there, and everything that is in
    the journals.

    Args:
        folder_path: as for `configure_records_tracing`; or a run's own folder, when neither name is given.
        process_name, run_id: as for `configure_records_tracing`.
    """
    base = Path(os.path.abspath(os.path.expanduser(os.fspath(folder_path))))
    if process_name is None and run_id is None and is_run(base):
        return read_run(base)
    run = current_run()
    process = process_name or (run.process_name if run else DEFAULT_PROCESS)
    parent = base / part_of(base, process)
    return read_run(parent / part_of(parent, run_id or (run.run_id if run else DEFAULT_RUN)))


def is_run(path: Path) -> bool:
    """Whether this is a run's own folder."""
    return (path / document.NAME).is_file() or (path / JOURNAL).is_dir()


def read_run(path: Path) -> list[RecordEntry]:
    """The records of the run in this folder."""
    return list(stories(path))


def stories(path: Path) -> Iterator[RecordEntry]:
    """The records of the run in this folder, one after the other."""
    state = RunRecords()
    RunFolder(path, (spool_of(path),)).load(state, set_aside=False)
    for story in state.stories():
        yield RecordEntry.model_validate(story)
