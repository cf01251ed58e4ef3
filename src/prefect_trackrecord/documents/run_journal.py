"""The one reader of a run's journal: what a listing shows of it, in the store and in this host's spool, and its events.

Beside the segments lie seal records (see `seal`) and a mark of the newest seal that has been carried out. The mark's
name is a digest of what was sealed and of the document that was made, so that a listing alone tells whether there is
anything left to do: `recover` reads nothing of a run that is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.fold import Fold
from prefect_trackrecord.errors import DamagedDocumentError, StoreError
from prefect_trackrecord.journal.reader import segment_paths
from prefect_trackrecord.journal.segments import SUFFIX
from prefect_trackrecord.store.base import Blob, Entry, Store

SAVED = "saved-"
"""How the name of a segment begins that holds a directly saved document: no process keeps on writing to it."""
IMPORTED = f"{SAVED}imported-"
"""How the name of one begins that holds what Prefect told of a run: it counts where the run itself told nothing."""
EXPIRED = f"{SAVED}expired-"
"""How the name of one begins that holds documents whose segments have expired, for what comes after that."""
_SEAL, _MARK = "seal-", "done-"
_AT_ONCE = 32 << 20


@dataclass(frozen=True)
class SealRecord:
    """What one generation is made of.

    Attributes:
        generation: 1 for the first.
        day: `YYYY/MM/DD` of the run's start; never changes, or documents would move.
        segments: size by name; the bytes up to that size are this generation's.
        ended: the run's end, as the event's fields; None for a run whose documents are to say that it still runs.
        sealer: who made it, as a random word: two sealers never make equal records, so that creating one tells who won.
    """

    generation: int
    day: str
    segments: dict[str, int]
    ended: dict[str, Any] | None = None
    format: int = field(default=1)
    sealer: str = field(default="", compare=False)

    def dump(self) -> bytes:
        """As JSON."""
        return orjson.dumps(self.__dict__)

    @classmethod
    def load(cls, key: str, data: bytes) -> SealRecord:
        """From JSON.

        Raises:
            DamagedDocumentError: it is none.
        """
        try:
            body = orjson.loads(data)
            return cls(
                generation=int(body["generation"]),
                day=str(body["day"]),
                segments={str(k): int(v) for k, v in body["segments"].items()},
                ended=body.get("ended"),
                sealer=str(body.get("sealer") or ""),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise DamagedDocumentError(key, f"no seal record: {exc}") from None


class Folded(NamedTuple):
    """A run's events, folded.

    Attributes:
        fold: all of them.
        sizes: by segment, the bytes that were read.
        writers: for each segment whether its process runs: True, False, or None where this host can't tell.
        starter: the same of the process that began the run's last attempt.
    """

    fold: Fold
    sizes: dict[str, int]
    writers: list[bool | None]
    starter: bool | None


@dataclass(frozen=True)
class RunJournal:
    """What a listing of a run's journal shows.

    Attributes:
        store: where it lies.
        run_id: the run.
        segments: those in the store, size by name.
        generation: of the newest seal record; 0 where there is none.
        marks: the names of the marks.
        spooled: this host's own files of segments that may not be in the store, or not whole.
        held: segments whose bytes are at hand already, by name.
    """

    store: Store
    run_id: str
    segments: dict[str, int]
    generation: int
    marks: frozenset[str] = frozenset()
    spooled: Mapping[str, Path] = field(default_factory=dict)
    held: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        store: Store,
        run_id: str,
        spool: Path | None = None,
        *,
        entries: Iterable[Entry] | None = None,
        known: Mapping[str, Blob] | None = None,
    ) -> RunJournal:
        """List a run's journal.

        Args:
            store: where it lies.
            run_id: the run.
            spool: the store's folder in the spool of this host, to have what waits there too.
            entries: what a listing has shown of it already.
            known: segments that somebody has read or written lately.

        Raises:
            StoreError: it can't be listed.
        """
        segments: dict[str, int] = {}
        generation = 0
        marks: set[str] = set()
        held: dict[str, bytes] = {}
        for entry in store.list(layout.journal_prefix(run_id)) if entries is None else entries:
            name = entry.key.rsplit("/", 1)[-1]
            if name.endswith(SUFFIX):
                segments[name] = entry.size
                if known and (blob := known.get(name)) is not None and blob.etag == entry.etag:
                    held[name] = blob.data
            elif name.startswith(_SEAL) and name[5:11].isdigit():
                generation = max(generation, int(name[5:11]))
            elif name.startswith(_MARK):
                marks.add(name)
        paths = segment_paths(spool / layout.safe_part(run_id)) if spool is not None else []
        own = {path.name: path for path in paths}
        return cls(store, run_id, segments, generation, frozenset(marks), own, held)

    def newest(self) -> SealRecord | None:
        """The newest seal record; None for a run that was never sealed.

        Raises:
            DamagedDocumentError, StoreError: it can't be read.
        """
        if not self.generation:
            return None
        key = layout.seal_key(self.run_id, self.generation)
        blob = self.store.get(key)
        if blob is None:
            raise StoreError(f"{key} is gone")
        return SealRecord.load(key, blob.data)

    def is_covered_by(self, record: SealRecord) -> bool:
        """Whether a seal record holds all of the store's segments."""
        return all(size <= record.segments.get(name, 0) for name, size in self.segments.items())

    def lacks(self, record: SealRecord) -> bool:
        """Whether segments of a seal record are gone: a journal may expire sooner than the documents made of it.

        A folder's listing is no snapshot, so what seems to be gone is looked for once more.

        Raises:
            StoreError: it can't be listed.
        """
        gone = record.segments.keys() - self.segments.keys()
        return bool(gone and gone - RunJournal.read(self.store, self.run_id).segments.keys())

    def fold(self, segments: Mapping[str, int] | None = None, *, writing: bool = False) -> Folded:
        """Read the events.

        Args:
            segments: size by name, to read just that much, of the store alone; all there is where left out.
            writing: whether the run is going to be sealed; see `Fold`.

        Raises:
            StoreError: a segment can't be read.
        """
        fold = Fold(self.run_id, writing=writing, folder=self.store.local_root)
        sizes: dict[str, int] = {}
        writers: list[bool | None] = []
        starter: bool | None = None
        told = any(not name.startswith(SAVED) for name in (*self.spooled, *self.segments))
        for name, source in self._sources(segments):
            if told and name.startswith(IMPORTED):
                sizes[name] = (segments or self.segments)[name]
                writers.append(False)
                continue
            begun = fold.last_start()
            try:
                read = fold.read(name, source, (segments or {}).get(name))
            except FileNotFoundError:
                raise StoreError(f"segment {layout.journal_prefix(self.run_id)}/{name} is gone") from None
            if fold.last_start() != begun:
                starter = read.alive
            sizes[name] = read.size
            writers.append(False if name.startswith(SAVED) else read.alive)
        return Folded(fold, sizes, writers, starter)

    def _sources(self, segments: Mapping[str, int] | None) -> Iterator[tuple[str, bytes | Path]]:
        """The segments by name: this host's own and those in a folder as files, others as bytes, a few at a time."""
        prefix = layout.journal_prefix(self.run_id)
        spooled = self.spooled if segments is None else {}
        wanted = self.segments if segments is None else segments
        names = sorted(name for name in wanted if name not in spooled)
        for path in spooled.values():
            try:
                yield path.name, path.read_bytes()
            except FileNotFoundError:  # it was brought into the store since the listing
                names.append(path.name)
        if (root := self.store.local_root) is not None:
            for name in names:
                yield name, Path(root) / prefix / name
            return
        read = self._blobs([name for name in names if name not in self.held], wanted)
        for name in names:
            yield name, self.held[name] if name in self.held else next(read)

    def _blobs(self, names: list[str], sizes: Mapping[str, int]) -> Iterator[bytes]:
        prefix = layout.journal_prefix(self.run_id)
        for few in self._few(names, sizes):
            for key, blob in self.store.get_many(f"{prefix}/{name}" for name in few):
                if isinstance(blob, Exception):
                    raise StoreError(f"{key} can't be read: {blob}") from blob
                if blob is None:
                    raise StoreError(f"segment {key} is gone")
                yield blob.data

    @staticmethod
    def _few(names: Iterable[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
        """The names in parts, none of which brings more into memory than it should, one segment alone excepted."""
        few: list[str] = []
        left = _AT_ONCE
        for name in names:
            left -= sizes.get(name, 0)
            if left < 0 and few:
                yield few
                few, left = [], _AT_ONCE - sizes.get(name, 0)
            few.append(name)
        if few:
            yield few

    # --- the mark of a seal that was carried out -----------------------------------------------------------

    def mark_of(self, run_etag: str) -> str:
        """The name of the mark that says: this generation, of just these segments, made that document."""
        parts = [f"{name}={size}" for name, size in sorted(self.segments.items())]
        digest = hashlib.sha256("\n".join([run_etag, *parts]).encode()).hexdigest()[:24]
        return f"{_MARK}{self.generation:06d}-{digest}"

    def is_done(self, run_entry: Entry | None) -> bool:
        """Whether nothing is left to do: its end is sealed, nothing came since, its document is as it was written.

        Args:
            run_entry: what a listing shows of the run's document.
        """
        return not self.spooled and run_entry is not None and self.mark_of(run_entry.etag) in self.marks


def newest_record(store: Store, run_id: str) -> SealRecord | None:
    """The newest seal record of a run; None for a run that was never sealed."""
    return RunJournal.read(store, run_id).newest()
