"""A run's records as they are kept, in a folder or a bucket, for the page and the archive; reading changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from prefect_trackrecord.documents.layout import RECORDS
from prefect_trackrecord.record.folder import IMAGES, RunFolder, inside
from prefect_trackrecord.record.loading import state_of
from prefect_trackrecord.record.page_model import page_of, render
from prefect_trackrecord.record.places import Located, of_archive
from prefect_trackrecord.settings import current

if TYPE_CHECKING:
    from prefect_trackrecord.documents.archive import Archive


class KeptRecords:
    """The records of one run, from what is kept now.

    Args:
        located: where the run is.

    Raises:
        StoreError: the store can't be read now.
    """

    def __init__(self, located: Located) -> None:
        self.located = located
        self._folder = RunFolder(located.path, (located.spool,) if located.spool else ())
        self.state = state_of(located, self._folder)

    def __len__(self) -> int:
        return len(self.state)

    def parts(self) -> list[bytes]:
        """The records as they stand in `records_logs.json`."""
        return self.state.parts()

    def page(self) -> Iterator[bytes]:
        """The page, pictures inside, part by part."""
        process, run_id = self.located.process, self.located.run_id
        page = page_of(self.parts(), process, run_id, current().ui_url, now=datetime.now(timezone.utc))
        return render(page, self._picture)

    def pictures(self) -> Iterator[tuple[str, Path | bytes]]:
        """Every picture: its name below the run's folder, and where it lies, or what it is."""
        here = {path.name: path for home in reversed(self._folder.homes) for path in _files(home / IMAGES)}
        for name, path in sorted(here.items()):
            yield f"{IMAGES}/{name}", path
        if (store := self.located.store) is not None:
            for entry in store.list(f"{self.located.prefix}/{IMAGES}"):
                name = os.path.basename(entry.key)
                if name not in here and (blob := store.get(entry.key)) is not None:
                    yield f"{IMAGES}/{name}", blob.data

    def _picture(self, name: str) -> bytes | None:
        base = os.path.basename(name)
        for home in self._folder.homes:
            try:
                return (home / IMAGES / base).read_bytes()
            except (OSError, ValueError):
                continue
        if self.located.store is None:
            return None
        blob = self.located.store.get(f"{self.located.prefix}/{IMAGES}/{base}")
        return blob.data if blob is not None else None


def runs_in(archive: Archive) -> Iterator[Located]:
    """Every run of a history that has records.

    Raises:
        StoreError: the store can't be read now.
    """
    for process in archive.store.folders(RECORDS):
        for run_id in archive.store.folders(f"{RECORDS}/{process}"):
            yield of_archive(archive, process, run_id)


def _files(folder: Path) -> list[Path]:
    return [path for path in inside(folder) if os.path.isfile(path) and not path.name.startswith(".")]
