"""A run's documents on disk: the JSON when it is asked for, the page soon after, both at exit.

Small documents are written before `dump` returns. One above `LARGE` bytes, and the page after its first time, are
left to a background thread, which is never more than two seconds behind.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

from prefect_trackrecord.record import document, images
from prefect_trackrecord.record.folder import PAGE, RunFolder
from prefect_trackrecord.record.page_model import PageData, page_of, render
from prefect_trackrecord.record.recorder import Recorder

LARGE = 20_000_000
_JSON_LAG = 1.0
_ROUNDS = 10
_PAGE_LAG = 1.6


class Elsewhere(Protocol):
    """Brings a run's folder into a store that is no folder of this machine (see `publish.Publisher`)."""

    @property
    def where(self) -> str:
        """The store, for people."""

    def publish(self, output: Output) -> None:
        """Bring everything there."""

    def send(self, output: Output) -> None:
        """Bring there what this host has told."""

    def forked(self) -> None:
        """This is a child now."""

    def leave(self, output: Output, alone: contextlib.AbstractContextManager[bool]) -> bool:
        """Tidy up on this host; whether all was there."""


class Output:
    """Writes the documents of one recorder.

    Args:
        recorder: whose records they are.
        folder: where they go.
        ui_url: base of links to the run, or None.
        publisher: brings all of it into a store that is no folder of this machine; None where there is none.
    """

    def __init__(
        self,
        recorder: Recorder,
        folder: RunFolder,
        ui_url: str | None = None,
        publisher: Elsewhere | None = None,
    ) -> None:
        self.recorder = recorder
        self.folder = folder
        self.ui_url = ui_url
        self.publisher = publisher
        self.dumped = False
        self._writing, self._paging = threading.Lock(), threading.Lock()
        self._busy: list[int] = []
        self._json_version = -1
        self._synced = True
        self._page_version = -1
        self._wake = threading.Condition()
        self._json_due: float | None = None
        self._page_due: float | None = None
        self._thread: threading.Thread | None = None
        self._page_seconds = 0.0

    def dump(self) -> None:
        """Write what is known; a little later, where this thread is at it (this is a signal handler). Never raises."""
        want = self.recorder.version
        if self._is_at_work():
            self._later(json=0.0, page=_PAGE_LAG)
            return
        if self.recorder.state.size > LARGE and self.dumped:
            self._later(json=_JSON_LAG, page=_PAGE_LAG)
            return
        if not self._guarded(lambda: self._write_json(want), document.NAME):
            return
        if self.dumped and os.path.exists(self.folder.path / PAGE):
            self._later(page=_PAGE_LAG)
        else:
            self._guarded(self._write_page, PAGE)
        self.dumped = True

    def mend(self) -> None:
        """Write what could be read of a damaged document at once, so that it can't be lost again. Never raises."""
        if self._guarded(lambda: self._write_json(self.recorder.version), document.NAME):
            self._synced = self._guarded(lambda: self.folder.sync(document.NAME), document.NAME)

    def publish(self) -> bool:
        """Bring the run into its store, where that is elsewhere; whether that is done. Never raises."""
        if self.publisher is None:
            return True
        publisher = self.publisher
        return self._guarded(lambda: publisher.publish(self), f"store {publisher.where}")

    def send(self) -> bool:
        """As `publish`, without the documents."""
        if self.publisher is None:
            return True
        publisher = self.publisher
        return self._guarded(lambda: publisher.send(self), f"store {publisher.where}")

    def finish(self) -> None:
        """Bring both documents up to date; nothing is written where they are. Never raises.

        A signal handler that has stopped this thread in the middle of that leaves it to what it has stopped.
        """
        if self._is_at_work():
            return
        with self._wake:
            self._json_due = self._page_due = None
        version = self.recorder.version
        if version == 0:
            return
        if self._json_version < version:
            self._guarded(lambda: self._write_json(version), document.NAME)
        if not self._synced:
            self._synced = self._guarded(lambda: self.folder.sync(document.NAME), document.NAME)
        if self._page_version < version:
            self._guarded(self._write_page, PAGE)

    def parts(self) -> list[bytes]:
        """The records as they are now."""
        with self.recorder.lock:
            self.recorder.follow()
            return self.recorder.state.parts()

    def page(self) -> Iterator[bytes]:
        """The page as it would be now, part by part."""
        return render(self._page_data(self.parts()), self._picture)

    def pictures(self) -> Iterator[tuple[str, Path]]:
        """Every picture of the run: its name below the run's folder, and where it lies."""
        seen = set()
        for home in self.folder.homes:
            with contextlib.suppress(OSError):
                for path in sorted((home / images.FOLDER).iterdir()):
                    if not path.name.startswith(".") and path.name not in seen and path.is_file():
                        seen.add(path.name)
                        yield f"{images.FOLDER}/{path.name}", path

    def forked(self) -> None:
        """This is a child now: the thread is gone, and no lock of the parent's may be waited for."""
        self._writing, self._paging, self._busy = threading.Lock(), threading.Lock(), []
        self._wake = threading.Condition()
        self._thread = None
        if self.publisher is not None:
            self.publisher.forked()
        self._json_due = self._page_due = None
        self._json_version = self._page_version = self.recorder.version

    # --- writing ------------------------------------------------------------------------------------------

    def _write_json(self, want: int) -> None:
        with self._at_work(), self._writing, self.folder.writing():
            if self._json_version >= want and self._json_there():
                return  # somebody else's dump took ours along
            version, parts, journal = self._as_it_is()
            self.folder.replace(document.NAME, list(document.compose(parts, journal)))
            self._json_version = version
            self._synced = False

    def _as_it_is(self) -> tuple[int, list[bytes], dict[str, int]]:
        """The version, its records, and how much of which segment is in them."""
        recorder = self.recorder
        with recorder.lock:
            recorder.follow()
            for _ in range(_ROUNDS):
                version = recorder.version
                journal = {**self.folder.offsets, **recorder.own_sizes()}
                parts = recorder.state.parts()
                if recorder.version == version:  # else a signal handler of this thread has told something
                    break
            return version, parts, journal

    def _json_there(self) -> bool:
        return os.path.exists(self.folder.path / document.NAME)

    def _write_page(self) -> None:
        begin = time.monotonic()
        with self._at_work(), self._paging:  # one at a time, so that none puts an older one over a newer
            with self.recorder.lock:
                self.recorder.follow()
                version = self.recorder.version
                parts = self.recorder.state.parts()
            self.folder.replace(PAGE, render(self._page_data(parts), self._picture))
            self._page_version = version
        self._page_seconds = time.monotonic() - begin

    def _is_at_work(self) -> bool:
        return threading.get_ident() in self._busy or self.recorder.is_at_work()

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        self._busy.append(threading.get_ident())
        try:
            yield
        finally:
            self._busy.remove(threading.get_ident())

    def _page_data(self, parts: list[bytes]) -> PageData:
        recorder = self.recorder
        return page_of(parts, recorder.process, recorder.run_id, self.ui_url, now=datetime.now(timezone.utc))

    def _picture(self, name: str) -> bytes | None:
        base = os.path.basename(name)
        for home in self.folder.homes:
            with contextlib.suppress(OSError, ValueError):
                return (home / images.FOLDER / base).read_bytes()
        return None

    def _guarded(self, write: Callable[[], None], what: str) -> bool:
        try:
            write()
            return True
        except Exception as exc:  # noqa: BLE001 - a document that can't be written must not break the flow
            cause = exc.strerror if isinstance(exc, OSError) and exc.strerror else f"{type(exc).__name__}: {exc}"
            self.recorder.trouble(f"{what} of {self.folder.path} could not be written: {cause}")
            return False

    # --- later --------------------------------------------------------------------------------------------

    def _later(self, *, json: float | None = None, page: float | None = None) -> None:
        now, alone = time.monotonic(), False
        with self._wake:
            if json is not None and self._json_due is None:
                self._json_due = now + json
            if page is not None and self._page_due is None:
                # a page that takes long must not take the whole processor
                self._page_due = now + max(page, 5 * self._page_seconds)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="trackrecord-records", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter ends: there is no later
                    self._thread, alone = None, True
            self._wake.notify()
        if alone:
            self.finish()

    def _run(self) -> None:
        while True:
            with self._wake:
                dues = [due for due in (self._json_due, self._page_due) if due is not None]
                if not dues:
                    if not self._wake.wait(timeout=5.0) and self._json_due is None and self._page_due is None:
                        self._thread = None
                        return
                    continue
                now = time.monotonic()
                if min(dues) > now:
                    self._wake.wait(timeout=min(dues) - now)
                    continue
                json_now = self._json_due is not None and self._json_due <= now
                page_now = self._page_due is not None and self._page_due <= now
                if json_now:
                    self._json_due = None
                if page_now:
                    self._page_due = None
            if json_now:
                self._guarded(lambda: self._write_json(self.recorder.version), document.NAME)
            if page_now:
                self._guarded(self._write_page, PAGE)
