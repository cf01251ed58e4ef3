"""Uploads this process's segments to a bucket in the background, one thread for each store.

A segment that grows is uploaded again as a whole: by time (`pause` after an event), sooner where much has come, at once
where somebody waits. Those who wait together share one upload. The spool keeps everything until the store has it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.bell import Bell
from prefect_trackrecord.documents.collecting import bring, closed, let_go, send
from prefect_trackrecord.errors import StoreError
from prefect_trackrecord.forking import tell_of_forks
from prefect_trackrecord.journal.reader import whole
from prefect_trackrecord.journal.spool_writer import SpoolWriter
from prefect_trackrecord.store._budget import pressing
from prefect_trackrecord.store.base import Blob, Store

logger = logging.getLogger("prefect_trackrecord")
_MUCH = 256 << 10
_HELD = 1 << 20
_IDLE = 30.0
_AGAIN = 5.0


class Uploader:
    """Brings what the writers of this process write for one store into that store.

    Args:
        store: opens the store.
        pause: seconds for which events are gathered before an upload.
        patience: seconds that `flush` waits at most.
    """

    def __init__(self, store: Callable[[], Store], pause: float, patience: float) -> None:
        self._store, self._pause, self._patience = store, pause, patience
        self._writers: dict[SpoolWriter, None] = {}  # in their order
        self.forked()
        tell_of_forks(self)

    def forked(self) -> None:
        """This is a child now: thread, locks and what was uploaded are the parent's."""
        self._thread: threading.Thread | None = None
        self._turn = threading.Condition()
        self._wake, self._hurry = Bell(), Bell()
        self._busy = threading.Lock()  # held by the one thread that uploads
        self._jobs: list[Callable[[], object]] = []
        self._sent: dict[Path, tuple[int, str]] = {}
        self._left: dict[tuple[str, str], Blob] = {}
        self._brought: weakref.WeakKeyDictionary[SpoolWriter, int] = weakref.WeakKeyDictionary()
        self._pending = 0
        self._begun = self._done = self._failed = 0
        self._stuck = self._pausing = False

    # --- what others ask ----------------------------------------------------------------------------------

    def watch(self, writer: SpoolWriter) -> None:
        """Upload what this writer writes, until `forget`, or until all is uploaded of one that has long been idle."""
        self._writers[writer] = None

    def watches(self, writer: SpoolWriter) -> bool:
        """Whether it still uploads what this writer writes."""
        return writer in self._writers

    def forget(self, run_id: str) -> tuple[dict[Path, tuple[int, str]], dict[str, Blob]]:
        """The run's segments are somebody else's care from now on.

        Returns:
            Of which segments in the spool the store has how much, and by name those that have left it lately.
        """
        paths = []
        for writer in [w for w in list(self._writers) if w.run_id == run_id]:
            self._writers.pop(writer, None)
            paths += list(writer.segments)
        sent = {path: sent for path in paths if (sent := self._sent.pop(path, None)) is not None}
        left = {name: self._left.pop((run, name), None) for run, name in list(self._left) if run == run_id}
        return sent, {name: blob for name, blob in left.items() if blob is not None}

    def soon(self, job: Callable[[], object]) -> None:
        """Do something at the store in the background; what it raises as a `StoreError` is let pass."""
        self._jobs.append(job)
        if self._pausing:
            self._hurry.ring()
        self._start()

    def nudge(self, size: int) -> None:
        """So many bytes were written to a segment."""
        self._pending += size
        if self._pending > _MUCH and not self._hurry.rung:
            self._hurry.ring()
        if not self._wake.rung:
            self._start()

    def flush(self, writer: SpoolWriter | None = None, seconds: float | None = None) -> bool:
        """Wait, bounded, until everything that was written before this call is in the store; whether it is.

        Args:
            writer: whose events are waited for; all writers' that are watched where left out.
            seconds: how long at most.
        """
        end = time.monotonic() + (self._patience if seconds is None else seconds)
        with self._turn:
            wanted = self._begun + 1  # the upload that runs now may have read the segment before our event
            self._hurry.ring()
            self._start()
            while self._done < wanted:
                if self._failed >= wanted or not self._turn.wait(max(end - time.monotonic(), 0)):
                    break
            return self._done >= wanted and (writer is None or self._brought.get(writer, 0) >= wanted)

    def deliver(self, writer: SpoolWriter, size: int) -> bool:
        """As `flush`, of so many bytes that no spool holds; at once False while the store is down, and tried later."""
        self.nudge(size)
        return False if self._stuck else self.flush(writer)

    def ease(self, most: int, seconds: float) -> None:
        """Wait, bounded, where more than `most` bytes have come since the last upload began.

        Not at all while the store can't be written: waiting would not help.
        """
        if self._pending >= most and not self._stuck:
            self.flush(seconds=seconds)

    # --- the thread ---------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._wake.ring()
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = threading.Thread(target=self._run, name="trackrecord-upload", daemon=True)
        with contextlib.suppress(RuntimeError):  # the interpreter ends: the spool keeps what is there
            self._thread.start()

    def _run(self) -> None:
        if not self._busy.acquire(blocking=False):
            return  # two were started at once
        self._thread, asked, looked = threading.current_thread(), False, time.monotonic()
        try:
            while self._wake.wait(_IDLE) or self._wake.rung or self._writers:
                if not self._wake.rung and not self._retire():
                    continue
                self._work_off()  # at once: what is uploaded with it may wait
                self._pausing = True
                if not asked:
                    self._hurry.wait(self._pause)
                self._pausing = asked = False
                self._hurry.clear()
                self._wake.clear()
                if time.monotonic() - looked > _IDLE:  # a busy process has no quiet moment
                    looked = time.monotonic()
                    self._retire()
                if not self._upload():
                    asked = self._hurry.wait(_AGAIN)  # who waits has rung, and does not ring again
                    self._wake.ring()
        finally:
            self._busy.release()  # first: who is started from now on takes over
            if self._thread is threading.current_thread():
                self._thread = None
            if self._wake.rung:  # rung while it was leaving
                self._start()

    def _upload(self) -> bool:
        with self._turn:
            self._begun += 1
            mine, self._pending = self._begun, 0
        self._work_off()
        writers = list(self._writers)
        with pressing() if any(writer.is_losing for writer in writers) else contextlib.nullcontext():
            trouble = self._bring(writers, mine)
        with self._turn:
            stuck = self._stuck
            if writers:  # an upload of nothing says nothing of the store
                self._stuck = trouble is not None
            if trouble is None:
                self._done = max(self._done, mine)
            else:
                self._failed = max(self._failed, mine)
            self._turn.notify_all()
        if writers and trouble is None and stuck:
            self._tell(writers)
        return trouble is None

    def _bring(self, writers: list[SpoolWriter], upload: int) -> Exception | None:
        """Bring what they have written; the last thing that went wrong."""
        trouble: Exception | None = None
        for writer in writers:
            try:
                self._bring_all(writer.run_id, writer)
                self._brought[writer] = upload
            except StoreError as exc:
                trouble = exc
                writer.fault(f"the store could not be written for a while: {exc}")
            except Exception as exc:
                trouble = exc
                logger.debug("segments of run %s are not uploaded", writer.run_id, exc_info=True)
                writer.fault(f"segments could not be uploaded: {type(exc).__name__}: {exc}")
        return trouble

    def _retire(self) -> bool:
        """Let go of writers that have long been idle: of their files, then of them; whether an upload is due."""
        due = False
        for writer in [w for w in list(self._writers) if w.is_idle()]:
            self._writers.pop(writer, None)
            if writer.holds:  # asked after it was let go: who opens a segment meanwhile notes it, then comes back here
                self._writers[writer] = None
                let_go(writer)
                due = True
        return due

    def _tell(self, writers: list[SpoolWriter]) -> None:
        """The store takes events again: what went wrong meanwhile is told, too, as only the run's end does else."""
        for writer in writers:
            if writer.has_news:
                writer.tell()
                self._wake.ring()

    def _work_off(self) -> None:
        jobs, self._jobs = self._jobs, []
        for job in jobs:
            with contextlib.suppress(StoreError):
                job()

    def _bring_all(self, run_id: str, writer: SpoolWriter) -> None:
        if writer.unspooled:
            send(self._store(), run_id, writer.unspooled)
        for path in list(writer.segments):
            finished = writer.is_finished(path)  # asked first: what comes later is not missed
            try:
                size = os.stat(path).st_size
                sent, etag = self._sent.get(path, (0, None))
                if size > sent:
                    data = path.read_bytes()
                    body, size = whole(data), len(data)
                    if len(body) > sent:
                        key = f"{layout.journal_prefix(run_id)}/{path.name}"
                        there = bring(self._store(), key, body, etag)
                        sent, etag = len(there.data), there.etag
                        if self.watches(writer):
                            self._sent[path] = sent, etag
                if finished and size == os.stat(path).st_size:
                    self._keep(run_id, path)
                    os.unlink(path)
                    self._drop(path, writer)
            except FileNotFoundError:  # a sealer has brought it
                self._drop(path, writer)

    def _keep(self, run_id: str, path: Path) -> None:
        """Spare the run's end the reading of what this process has just sent, so far as it is small."""
        size, etag = self._sent.get(path, (0, ""))
        if not 0 < size <= _HELD:
            return
        self._left[run_id, path.name] = Blob(path.read_bytes()[:size], etag)
        held = list(self._left.items())
        while sum(len(blob.data) for _, blob in held) > _HELD:  # those of runs that end elsewhere, too
            self._left.pop(held.pop(0)[0], None)

    def _drop(self, path: Path, writer: SpoolWriter) -> None:
        writer.segments.pop(path, None)
        self._sent.pop(path, None)
        closed.discard(path)
