"""Records read back from disk, whether they were dumped, merged or only journaled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from prefect_trackrecord.journal.context import current_run, inside_flow
from prefect_trackrecord.record import document
from prefect_trackrecord.record.entries import RecordEntry
from prefect_trackrecord.record.folder import JOURNAL, RunFolder
from prefect_trackrecord.record.places import Located, Place, locate, spool_of
from prefect_trackrecord.record.publish import read_stored
from prefect_trackrecord.record.state import RunRecords
from prefect_trackrecord.record.story import story_of


def load_records(
    folder_path: str | os.PathLike[str], process_name: str | None = None, run_id: str | None = None
) -> list[RecordEntry]:
    """The records of a run, in order of creation, from what is on disk now.

    Reading changes nothing. Of a damaged log every record that is whole is there, and everything that is in
    the journals.

    Args:
        folder_path: as for `configure_records_tracing`; or a run's own folder, when neither name is given.
        process_name, run_id: as for `configure_records_tracing`.

    Raises:
        StorageUrlError, MissingDriverError: the URL can't be opened.
        StoreError: the store can't be read now.
    """
    place = Place.of(folder_path, process_name, run_id)
    if place.folder is not None and process_name is None and run_id is None and is_run(place.folder):
        return list(stories(Located(place.folder, spool_of(str(place.folder)), "", "")))
    return list(stories(locate(place, current_run() if inside_flow() else None)))


def is_run(path: Path) -> bool:
    """Whether this is a run's own folder."""
    return os.path.isfile(path / document.NAME) or os.path.isdir(path / JOURNAL)


def state_of(located: Located, folder: RunFolder | None = None) -> RunRecords:
    """The records of a run as they are kept now; reading changes nothing.

    Raises:
        StoreError: the store can't be read now.
    """
    folder = folder or RunFolder(located.path, (located.spool,) if located.spool else ())
    if located.store is not None:
        return read_stored(located.store, located.prefix, folder)
    state = RunRecords()
    folder.load(state, set_aside=False)
    return state


def stories(located: Located) -> Iterator[RecordEntry]:
    """The records of a run, one after the other."""
    for story in state_of(located).stories():
        try:
            yield RecordEntry.model_validate(story)
        except ValidationError:  # somebody else's hand was in the journal
            yield RecordEntry.model_validate_json(story_of(document.entry_of(story["record_id"], story)))
