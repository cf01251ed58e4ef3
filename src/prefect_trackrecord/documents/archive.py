"""A store with its journal and documents: the one thing that capture writes to and reading reads from.

Events go to files of this host (the store's own folder, or the spool for a bucket or a folder that can't be written);
`seal` brings them into the store and makes the documents.

Over 300 lines: it holds what writers and readers share, and leaves the work to the rooms beside it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.documents.reading import Reading
from prefect_trackrecord.documents.troubles import Troubles
from prefect_trackrecord.errors import StoreError
from prefect_trackrecord.journal.liveness import boot_id, host_name
from prefect_trackrecord.journal.spool import Spool
from prefect_trackrecord.settings import Durability, Settings, current
from prefect_trackrecord.store import identity_of, open_store, within
from prefect_trackrecord.store.base import Blob, Store, StoreConfig

if TYPE_CHECKING:  # what writes is loaded when something is written: readers start without it
    from prefect_trackrecord import events as ev
    from prefect_trackrecord.documents.known import Announcement
    from prefect_trackrecord.documents.uploading import Uploader
    from prefect_trackrecord.journal.writer import JournalWriter

_uploaders: dict[tuple[str, Path], Uploader] = {}


@dataclass(frozen=True)
class SpooledRun:
    """A run of which this host still keeps events for a store."""

    run_id: str
    folder: Path


class Archive(Troubles, Reading):
    """The journal and the documents of one store.

    Its warnings are in `troubles`.

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
        self._identity: str | None = None
        self._own_spool: Spool | None = None
        self._announced: dict[str, Announcement] = {}

    @property
    def config(self) -> StoreConfig:
        """Where the store is, as plain data."""
        return self._config or StoreConfig(self.store.url)

    @property
    def name(self) -> str:
        """What a person calls it: a block's name, or a folder or URL."""
        return self._name or self.store.url

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
        from prefect_trackrecord.documents.open_writers import writers

        return writers.of((self.identity, run_id), lambda: self._new_writer(run_id))

    def _new_writer(self, run_id: str) -> JournalWriter:
        from prefect_trackrecord.documents import seal  # noqa: F401 - whoever writes will seal, maybe as it dies
        from prefect_trackrecord.journal.spool_writer import SpoolWriter
        from prefect_trackrecord.journal.writer import JournalWriter

        run = layout.safe_part(run_id)
        if (root := self.store.local_root) is not None:
            return JournalWriter([root / layout.journal_prefix(run_id), self.spool / run], self._left, self._losing)
        return SpoolWriter(
            self._spool,
            run_id,
            run,
            self.uploader,
            stored=self.durability == "stored",
            on_refusal=self._spool_refuses,
            on_loss=self._losing,
        )

    @property
    def durability(self) -> Durability:
        """What an event that was acknowledged has reached: `spool` (this host) or `stored`."""
        return self.config.durability or self.settings.durability

    @property
    def identity(self) -> str:
        """Which store it is: its URL, and the endpoint or account where that leaves it open; no credentials."""
        if self._identity is None:
            self._identity = identity_of(self.store)
        return self._identity

    @property
    def _spool(self) -> Spool:
        if self._own_spool is None:
            self._own_spool = Spool(self.settings.spool, self.identity, self.settings.spool_limit)
        return self._own_spool

    @property
    def spool(self) -> Path:
        """This store's folder in the spool of this host."""
        return self._spool.folder

    @property
    def uploader(self) -> Uploader:
        """Brings this process's events into the store in the background."""
        key = (self.identity, self.spool)
        found = _uploaders.get(key)
        if found is None:
            from prefect_trackrecord.documents.uploading import Uploader

            new = Uploader(lambda: self.store, self.settings.upload_seconds, self.settings.call_deadline)
            found = _uploaders.setdefault(key, new)
        return found

    def home(self) -> list[Any] | None:
        """Which spool of which host it is, as plain data: who is told the same collects each other's events.

        None for a spool that can't be made, and where nothing has to be collected.
        """
        if self.store.local_root is not None:
            return None
        self._spool.begin()
        try:
            found = os.stat(self.spool)
        except OSError:
            return None
        return [host_name(), boot_id(), found.st_dev, found.st_ino]

    def _left(self, trouble: str) -> None:
        """The folder takes no events: the spool says whose they are, for `doctor` of other storages too."""
        self._spool.begin()
        self._diverted(trouble)

    def flush(self) -> bool:
        """Wait, bounded, until all that this process has told so far is in the store; whether it is.

        For a process on a host of its own, whose spool nobody else will collect.
        """
        return self.store.local_root is not None or self.uploader.flush()

    def announce(self, run: RunMetadata) -> None:
        """Write a run's document as it starts, so that it is seen while it runs; never raises.

        A document that is there already stays. For a store that is no local folder this happens in the background.
        """
        from prefect_trackrecord.documents.known import Announcement
        from prefect_trackrecord.documents.writing import dump_model

        key = layout.run_key(run.run_id, layout.day_of(run.started_at))
        note = self._announced[run.run_id] = Announcement(key, dump_model(run))
        if self.store.local_root is not None:
            note.write(self.store)
        else:
            self.uploader.soon(lambda: note.write(self.store))

    def reopen(self, run: RunMetadata) -> None:
        """Another attempt of a run begins: its document, should its end be sealed, says so; see `reopening`."""
        from prefect_trackrecord.documents.reopening import reopen

        if self.store.local_root is not None:
            reopen(self.store, run)
        else:
            self.uploader.soon(lambda: reopen(self.store, run))

    # --- sealing -----------------------------------------------------------------------------------------

    def seal(
        self,
        run_id: str,
        *,
        now: datetime | None = None,
        ended: ev.RunEnded | None = None,
        seconds: float | None = None,
        made: Callable[[int], None] | None = None,
    ) -> RunMetadata | None:
        """Bring this host's events of a run into the store and make its documents. Idempotent.

        Args:
            run_id: the run.
            now, ended, made: see `seal.seal`.
            seconds: how long the store may take in all; `TRACKRECORD_END_DEADLINE` where left out.

        Returns:
            The metadata as written; None for a run that has no events.

        Raises:
            StoreError: the store can't be written now; the events stay, and calling again later is safe.
        """
        from prefect_trackrecord.documents.collecting import let_go
        from prefect_trackrecord.documents.known import Known
        from prefect_trackrecord.documents.open_writers import writers
        from prefect_trackrecord.documents.seal import seal, utc_now

        writer = writers.take((self.identity, run_id))
        uploader = _uploaders.get((self.identity, self.spool))
        sent, left = uploader.forget(run_id) if uploader is not None else ({}, {})
        note = self._announced.pop(run_id, None)
        try:
            with within(self.settings.end_deadline if seconds is None else seconds):
                if writer is not None:
                    self._tell_directly(run_id, writer)
                    let_go(writer)
                    self._send_unspooled(run_id, writer)
                segments = {**left, **self._collect(run_id, sent)}
                known = Known(segments, {} if note is None else note.settle())
                return seal(self.store, run_id, now=now or utc_now(), ended=ended, known=known, made=made)
        except StoreError as exc:
            if writer is not None:
                writer.fault(f"the store could not be written at the run's end: {exc}")
                writer.tell()
                self._say_lost(run_id, writer)
                let_go(writer)
            raise

    def _send_unspooled(self, run_id: str, writer: JournalWriter) -> None:
        from prefect_trackrecord.documents.collecting import send
        from prefect_trackrecord.journal.spool_writer import SpoolWriter

        if isinstance(writer, SpoolWriter) and writer.unspooled:
            send(self.store, run_id, writer.unspooled)

    def _say_lost(self, run_id: str, writer: JournalWriter) -> None:
        """In the log, what waits in memory only, too: it is lost should this process end before the store is back."""
        from prefect_trackrecord.journal.spool_writer import SpoolWriter

        lost = Counter(writer.dropped)
        if isinstance(writer, SpoolWriter) and (waiting := len(writer.unspooled)):
            lost["neither the spool nor the store could be written until the run's end"] += waiting
        if lost:
            self._lost(run_id, lost)

    def _tell_directly(self, run_id: str, writer: JournalWriter) -> None:
        """Losses that the journal on this host does not take go to the store as a segment of their own."""
        if untold := writer.tell():
            from prefect_trackrecord.documents.run_journal import SAVED
            from prefect_trackrecord.events import encode

            name = f"{SAVED}losses-{os.urandom(8).hex()}.ndjson"
            try:
                self.store.put(f"{layout.journal_prefix(run_id)}/{name}", b"".join(map(encode, untold)))
            except StoreError:
                writer.again(untold)
                raise
            writer.held(untold)

    def _collect(self, run_id: str, sent: dict[Path, tuple[int, str]]) -> dict[str, Blob]:
        from prefect_trackrecord.documents import collecting

        folder, silence = self.spool / layout.safe_part(run_id), self.settings.silence.total_seconds()
        return collecting.collect(self.store, run_id, folder, sent, silence)

    def spooled(self) -> Iterator[SpooledRun]:
        """The runs of which this host keeps events for this store."""
        from prefect_trackrecord.journal.reader import segment_paths

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
        from prefect_trackrecord.documents.saving import save
        from prefect_trackrecord.documents.seal import utc_now

        save(self.store, run_id, document, value, at or utc_now())
