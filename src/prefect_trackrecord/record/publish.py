"""Records of a run whose store is no local folder: kept on this host, brought into the store when it matters.

The run's folder in the spool is complete by itself. What goes to the store is its segments and pictures as they are,
then a document made from the segments of every host that are there. A task on another host than its flow's sends the
former before it returns; the flow's end makes the document.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from prefect_trackrecord.events import RecordChanged
from prefect_trackrecord.journal.reader import SegmentReader, segment_paths, whole, writer_alive
from prefect_trackrecord.record import document
from prefect_trackrecord.record.folder import JOURNAL, PAGE, RunFolder
from prefect_trackrecord.record.output import Output
from prefect_trackrecord.record.state import RunRecords
from prefect_trackrecord.store.base import Store

_ROUNDS = 5
_MUCH = 256 << 10
"""Bytes above which a segment that was sent is not written to any more: it would be sent whole each time."""


class Publisher:
    """Brings one run's records into a store.

    Args:
        store: the store.
        prefix: the run's place in it.
    """

    def __init__(self, store: Store, prefix: str) -> None:
        self.store = store
        self.prefix = prefix
        self._sent: set[str] = set()
        self._sizes: dict[str, int] | None = None
        self.forked()

    def forked(self) -> None:
        """This is a child now: nobody else sends."""
        # a signal handler that completes a run may stop the thread that holds them
        self._busy, self._publishing = threading.RLock(), threading.RLock()

    @property
    def where(self) -> str:
        """The store, for people."""
        return self.store.url

    def publish(self, output: Output) -> None:
        """Bring everything that this host has into the store, and write the documents there.

        Whoever writes last looks once more afterwards, so that of two hosts at the same time one has it all.

        Raises:
            StoreError: the store can't be written now; everything stays in the spool.
        """
        with self._publishing:  # one at a time, so that none puts an older document over a newer
            with self._busy:
                self._sizes = None
            self.send(output)
            for _ in range(_ROUNDS):
                self.follow(output.folder, output.recorder.state, output)
                output.finish()
                for name in (document.NAME, PAGE):
                    if os.path.exists(path := output.folder.path / name):
                        self.store.put(f"{self.prefix}/{name}", path.read_bytes())
                if not self.follow(output.folder, output.recorder.state, output):
                    return

    def send(self, output: Output) -> None:
        """Bring what this host has told into the store, and leave the documents to the flow's end.

        Those who wait meanwhile have theirs sent together.

        Raises:
            StoreError: the store can't be written now; everything stays in the spool.
        """
        with self._busy:
            much = self._send_segments(output.folder)
            for name, path in output.pictures():
                if name not in self._sent:
                    self.store.put(f"{self.prefix}/{name}", path.read_bytes())
                    self._sent.add(name)
        if much:
            with output.recorder.lock:
                output.recorder.close()

    def is_there(self) -> bool:
        """Whether anybody has brought records of the run into the store.

        Raises:
            StoreError: the store can't be read now.
        """
        return bool(self.store.list(f"{self.prefix}/{JOURNAL}"))

    def follow(self, folder: RunFolder, state: RunRecords, output: Output | None = None) -> int:
        """Take in what other hosts have brought into the store; returns how many events that were.

        Raises:
            StoreError: the store can't be read now.
        """
        mine = {path.name for journal in folder.journals for path in segment_paths(journal)}
        count = 0
        for entry in self.store.list(f"{self.prefix}/{JOURNAL}"):
            name = entry.key.rsplit("/", 1)[-1]
            start = folder.offsets.get(name, 0)
            if name in mine or not name.endswith(".ndjson") or entry.size <= start:
                continue
            blob = self.store.get(entry.key)
            if blob is None:
                continue
            data = whole(blob.data)
            events = [e for e in SegmentReader(data[start:]) if isinstance(e, RecordChanged)]
            count += len(events)
            with output.recorder.lock if output is not None else nullcontext():
                folder.take(state, events)
                folder.offsets[name] = len(data)
                if output is not None:
                    output.recorder.version += 1
        return count

    def _send_segments(self, folder: RunFolder) -> bool:
        """Send what has grown; whether a lot was sent of one that may grow further."""
        sizes = self._sizes
        if sizes is None:
            sizes = self._sizes = {e.key: e.size for e in self.store.list(f"{self.prefix}/{JOURNAL}")}
        much = False
        for path in _segments(folder):
            key = f"{self.prefix}/{JOURNAL}/{path.name}"
            if path.stat().st_size > sizes.get(key, 0):
                data = whole(path.read_bytes())
                if len(data) > sizes.get(key, 0):
                    self.store.put(key, data)
                    sizes[key] = len(data)
                    much = much or len(data) > _MUCH
        return much

    def leave(self, output: Output, alone: AbstractContextManager[bool]) -> bool:
        """Remove the run's folder from the spool if nobody writes there any more and all of it is in the store.

        Args:
            output: the run's, which its owner has dropped or will drop.
            alone: held meanwhile; whether this process has not opened the folder anew.

        Raises:
            StoreError: the store can't be read now; the folder stays.
        """
        there = {e.key: e.size for e in self.store.list(f"{self.prefix}/{JOURNAL}")}
        # no thread of this process writes there until it is gone, or stays
        with alone as is_alone, output.recorder.lock:
            if not is_alone:
                return False
            output.recorder.close()
            own = output.recorder.own_sizes()
            for path in _segments(output.folder):
                data = path.read_bytes()
                sent = there.get(f"{self.prefix}/{JOURNAL}/{path.name}", 0) >= len(whole(data))
                if not sent or (path.name not in own and writer_alive(data) is not False):
                    return False
            shutil.rmtree(output.folder.path, ignore_errors=True)
        return True


def _segments(folder: RunFolder) -> Iterator[Path]:
    for journal in folder.journals:
        yield from segment_paths(journal)


def read_stored(store: Store, prefix: str, folder: RunFolder) -> RunRecords:
    """A run's records from a store and from this host's spool.

    Args:
        store: the store.
        prefix: the run's place in it.
        folder: the run's folder in the spool.

    Raises:
        StoreError: the store can't be read now.
    """
    state = RunRecords()
    folder.load(state, set_aside=False)
    Publisher(store, prefix).follow(folder, state)
    if not len(state) and (blob := store.get(f"{prefix}/{document.NAME}")) is not None:
        for entry in document.read(blob.data).entries:
            state.put(entry)
    return state
