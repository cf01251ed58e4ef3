"""A store with its journal and documents: the one thing that capture writes to and reading reads from.

Events go to files of this host (the store's own folder, or the spool for a bucket or a folder that can't be written);
`seal` brings them into the store and makes the documents.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import layout, window
from prefect_trackrecord.documents.fold import Documents
from prefect_trackrecord.documents.models import EmailResult, FileProcessingLog, RunMetadata, RunStatus
from prefect_trackrecord.documents.run_journal import RunJournal
from prefect_trackrecord.documents.saving import known_day, save
from prefect_trackrecord.documents.seal import seal, utc_now
from prefect_trackrecord.documents.writing import dump_model
from prefect_trackrecord.errors import (
    ConflictError,
    DamagedDocumentError,
    RunNotFoundError,
    StoreError,
)
from prefect_trackrecord.journal.reader import segment_paths, whole, writer_alive
from prefect_trackrecord.journal.writer import JournalWriter
from prefect_trackrecord.settings import Settings, current
from prefect_trackrecord.store import open_store
from prefect_trackrecord.store.base import Blob, Store, StoreConfig

logger = logging.getLogger("prefect_trackrecord")
_writers: dict[tuple[str, str], JournalWriter] = {}
_writers_lock = threading.Lock()
_closed: set[Path] = set()  # segments of this process that nobody writes to any more
_warned: set[str] = set()


def _fresh_lock() -> None:
    """A lock that some thread held at the fork stays locked in the child for ever."""
    global _writers_lock  # noqa: PLW0603
    _writers_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)


@dataclass(frozen=True)
class SpooledRun:
    """A run of which this host still keeps events for a store."""

    run_id: str
    folder: Path


class Archive:
    """The journal and the documents of one store.

    Args:
        place: where the store is, or an opened store.
        settings: deadlines and the spool's folder; the process's own where left out.
        name: what a person calls it (a block's name), for messages; its URL where left out.
    """

    def __init__(
        self, place: StoreConfig | Store, settings: Settings | None = None, *, name: str | None = None
    ) -> None:
        self.settings = settings or current()
        self._name = name
        self._config = place if isinstance(place, StoreConfig) else None
        self._store: Store | None = None if isinstance(place, StoreConfig) else place

    @property
    def config(self) -> StoreConfig:
        """Where the store is, as plain data."""
        return self._config or StoreConfig(self.store.url)

    @property
    def store(self) -> Store:
        """The store, opened when it is first asked for.

        Raises:
            StorageUrlError, MissingDriverError: the URL can't be opened.
        """
        if self._store is None:
            assert self._config is not None
            self._store = open_store(self._config, settings=self.settings)
        return self._store

    # --- capture -----------------------------------------------------------------------------------------

    def writer(self, run_id: str) -> JournalWriter:
        """The journal of a run in this process; one and the same for all who ask."""
        key = (self.store.url, run_id)
        found = _writers.get(key)
        if found is None:
            with _writers_lock:
                found = _writers.get(key) or _writers.setdefault(key, self._new_writer(run_id))
        return found

    def _new_writer(self, run_id: str) -> JournalWriter:
        folders = [self.spool / layout.safe_part(run_id)]
        if (root := self.store.local_root) is not None:
            folders.insert(0, root / layout.journal_prefix(run_id))
        return JournalWriter(folders, self._diverted)

    @property
    def spool(self) -> Path:
        """This store's folder in the spool of this host."""
        tag = hashlib.sha256(self.store.url.encode()).hexdigest()[:16]
        return self.settings.spool / tag

    def _diverted(self, trouble: str) -> None:
        self.warn(
            f"the history at {self.store.url} can't be written ({trouble}); events are kept in {self.spool}. "
            f"{self._way_out()}",
            about=f"can't be written: {self.store.url}",
        )

    def not_stored(self, run_id: str, exc: Exception) -> None:
        """Warn that a run's documents could not be made; its events are kept."""
        self.warn(
            f"the history at {self.store.url} can't be written ({exc}); the events of run {run_id} are kept on this "
            f"host. {self._way_out()}",
            about=f"can't be written: {self.store.url}",
        )

    def _way_out(self) -> str:
        if self._config is not None and self._config.options and self._name in (None, self._config.url):
            return "Once it can be written again: prefect_trackrecord.recover(storage), with the same TrackingStorage"
        return f"Once it can be written again: trackrecord recover --storage {self._name or self.store.url}"

    def warn(self, text: str, *, about: str | None = None) -> None:
        """Log a warning, once per process and text, or per what it is `about`."""
        key = about or text
        if key not in _warned:
            _warned.add(key)
            logger.warning(text)

    def announce(self, run: RunMetadata) -> None:
        """Write a run's document as it starts, so that it is seen while it runs; never raises.

        A document that is there already stays. For a store that is no local folder this happens in the background.
        """
        key = layout.run_key(run.run_id, layout.day_of(run.started_at))
        body = dump_model(run)

        def write() -> None:
            try:
                self.store.create(key, body)
            except StoreError as exc:
                logger.debug("run %s is not announced: %s", run.run_id, exc)

        if self.store.local_root is not None:
            write()
        else:
            threading.Thread(target=write, name="trackrecord-announce", daemon=True).start()

    # --- sealing -----------------------------------------------------------------------------------------

    def seal(self, run_id: str, *, now: datetime | None = None, ended: ev.RunEnded | None = None) -> RunMetadata | None:
        """Bring this host's events of a run into the store and make its documents. Idempotent.

        Returns:
            The metadata as written; None for a run that has no events.

        Raises:
            StoreError: the store can't be written now; the events stay, and calling again later is safe.
        """
        writer = _writers.pop((self.store.url, run_id), None)
        if writer is not None:
            for cause, count in writer.dropped.items():
                writer.append(ev.TrackingFailed(at=utc_now(), cause=f"events lost: {cause}", count=count))
            if writer.close() and writer.path is not None:
                _closed.add(writer.path)
        self.collect(run_id)
        return seal(self.store, run_id, now=now or utc_now(), ended=ended)

    def collect(self, run_id: str) -> int:
        """Bring this host's spooled segments of a run into the store; returns how many.

        A segment leaves the spool once nobody writes to it any more.

        Raises:
            StoreError: the store can't be written now; nothing has left the spool.
        """
        folder = self.spool / layout.safe_part(run_id)
        paths = segment_paths(folder)
        for path in paths:
            with contextlib.suppress(FileNotFoundError):  # another collector was faster
                self._bring(f"{layout.journal_prefix(run_id)}/{path.name}", path)
        if paths:
            with contextlib.suppress(OSError):  # somebody still writes there
                folder.rmdir()
        return len(paths)

    def _bring(self, key: str, path: Path) -> None:
        """Bring one segment into the store; what is there already is only ever replaced by more of it."""
        data = path.read_bytes()
        finished = path in _closed or writer_alive(data) is False
        body = whole(data)
        old: Blob | None = None
        while body and (old is None or len(old.data) < len(body)):
            try:
                self.store.replace(key, body, old.etag if old else None)
                break
            except ConflictError:
                old = self.store.get(key)
        if finished and path.stat().st_size == len(data):
            path.unlink(missing_ok=True)
            _closed.discard(path)

    def spooled(self) -> Iterator[SpooledRun]:
        """The runs of which this host keeps events for this store."""
        try:
            names = sorted(os.listdir(self.spool))
        except OSError:
            return
        for name in names:
            if segment_paths(self.spool / name):
                yield SpooledRun(name, self.spool / name)

    def save(self, run_id: str, document: str, value: Any, *, at: datetime | None = None) -> None:
        """Save one document of a run directly; a later seal keeps what it holds. See `saving.save`.

        Raises:
            StoreError: it could not be written.
        """
        save(self.store, run_id, document, value, at or utc_now())

    # --- reading -----------------------------------------------------------------------------------------

    def runs(
        self,
        start: window.Bound = None,
        end: window.Bound = None,
        command: str | None = None,
        status: str | None = None,
    ) -> window.WindowResult:
        """The runs of a window and the documents that can't be read; see `window.read_window`."""
        return window.read_window(self.store, start, end, command, status)

    def run(self, run_id: str) -> RunMetadata:
        """One run; of a run whose documents are not made yet what its journal says so far.

        Raises:
            RunNotFoundError: there is none.
            DamagedDocumentError: its document can't be read.
        """
        day = known_day(self.store, run_id)
        if day is not None and (blob := self.store.get(layout.run_key(run_id, day))) is not None:
            key = layout.run_key(run_id, day)
            try:
                run = RunMetadata.model_validate_json(blob.data)
            except ValidationError as exc:
                way_out = "trackrecord recover makes it again from the journal"
                raise DamagedDocumentError(key, f"{window.first_line(exc)}; {way_out}") from None
            if run.status is not RunStatus.RUNNING:
                return run
        if (live := self._live(run_id)) is not None:
            return live.run
        if day is not None and blob is not None:
            return run
        raise RunNotFoundError(f"no run {run_id} in {self.store.url}; trackrecord runs list shows what is there")

    def _live(self, run_id: str) -> Documents | None:
        """What the journal says of a run so far, with what this host still keeps; None where it says nothing."""
        fold = RunJournal.read(self.store, run_id, self.spool).fold().fold
        return fold.documents(fold.end()) if fold.started and fold.tracked else None

    def files(self, run: RunMetadata) -> list[FileProcessingLog]:
        """A run's file rows; of a run that is still running those so far.

        Raises:
            DamagedDocumentError: the document can't be read.
        """
        if run.status is RunStatus.RUNNING and (live := self._live(run.run_id)) is not None:
            return window.FILE_ROWS.validate_python(list(live.files))
        return self._rows(run, layout.files_key, window.FILE_ROWS)

    def emails(self, run: RunMetadata) -> list[EmailResult]:
        """A run's email rows.

        Raises:
            DamagedDocumentError: the document can't be read.
        """
        return self._rows(run, layout.emails_key, window.EMAIL_ROWS)

    def _rows(self, run: RunMetadata, key: Callable[[str, str], str], adapter: Any) -> list[Any]:
        return window.read_rows(self.store, key(run.run_id, layout.day_of(run.started_at)), adapter)
