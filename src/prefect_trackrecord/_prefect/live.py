"""How far a run is, in an artifact that is changed as the run goes on; from whichever process its tasks run in.

A task that has ended only sees to it that a thread waits for the time to come. That one counts what the journal of this
host says and changes the artifact; a small file keeps this host's processes from doing that more often than they
should, and each host keeps its own count in the artifact's metadata, so that several add up.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prefect.context import AsyncClientContext, FlowRunContext, SyncClientContext
from prefect.exceptions import Pause

from prefect_trackrecord._prefect import api, artifact, artifact_keys, clients, posting
from prefect_trackrecord._prefect.bounded import SECONDS, Bounded, Requests
from prefect_trackrecord._prefect.runs import LiveRun
from prefect_trackrecord._prefect.tally import Expects, Tally
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.seal import utc_now as now
from prefect_trackrecord.journal.liveness import host_name

logger = logging.getLogger("prefect_trackrecord")
STALE = 60.0
WAIT = 1.0
FINAL = "ended"
ATTEMPT = "attempt"
"""Beside `FINAL`: which attempt of the flow has ended."""
STOPPED = "stopped"
SEVERAL = "several files of an item"
_OVER = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class Progress:
    """What this process shows of one run."""

    def __init__(self, run: LiveRun) -> None:
        self.run = run
        self.every = run.archive.settings.live_seconds
        self.next = time.monotonic() + self.every
        self.turn = run.turn or _turn_by_context()
        self.tally = Tally(run, self.turn)
        self.waiting = self._only_again = False
        self._waits_in = 0
        self._stopped: str | None = None
        self._expects = Expects()

    def tick(self) -> None:
        """A file has come to its end; let it be shown when it is time."""
        here = os.getpid()  # a child made by fork has not the thread that its parent waits for
        if (self.waiting and self._waits_in == here) or not self.every or self.run.ended is not None or self._stopped:
            return
        self.waiting, self._waits_in = True, here
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._work,), name="trackrecord-live", daemon=True).start()

    def again(self) -> None:
        """Where the end of an earlier attempt is shown, or that the run is suspended, show now that it goes on."""
        self._only_again, self.next = True, time.monotonic()
        self.tick()

    def stop(self, state: str) -> None:
        """The flow is suspended: show that, and how far it came; its process may end, but not before this is done."""
        if not self.every:
            return
        self._stopped = state
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._show_stopped,), name="trackrecord-stopped").start()

    def _show_stopped(self) -> None:
        _use_no_client_of_the_flow()
        try:
            end = time.monotonic() + WAIT
            while True:  # another process, or thread of ours, may be at it
                with _turn(note_of(self.run), 0.0) as known:
                    if known is not None:
                        known.update(self._show())
                if known is not None or time.monotonic() > end:
                    return
                time.sleep(0.02)
        except Exception as exc:  # noqa: BLE001 - tracking never breaks the flow
            logger.debug("run %s is not shown suspended: %s: %s", self.run.run_id, type(exc).__name__, exc)

    def _work(self) -> None:
        _use_no_client_of_the_flow()
        try:
            time.sleep(max(0.0, self.next - time.monotonic()))
            self.next = time.monotonic() + self.every
            self.waiting = False  # what ends from now on may be too late for this time
            if self.run.ended is not None or self._stopped:
                return
            with _turn(note_of(self.run), self.every) as known:
                if known is not None:
                    known.update(self._show())
            if known is None:  # another process had its turn, perhaps before what ended here
                self.tick()
        except Exception as exc:  # noqa: BLE001 - tracking never breaks the flow
            logger.debug("the progress of run %s was not shown: %s: %s", self.run.run_id, type(exc).__name__, exc)

    def _show(self) -> dict[str, Any]:
        counts, waiting = self.counted()
        key = artifact_keys.run_key(self.run.run_id)
        with clients.kept() as client:
            prefect = Bounded(client)
            found = posting.find(prefect, self.run.run_id, key)
            theirs = dict((found or {}).get("metadata_") or {})
            only_again, self._only_again = self._only_again, False
            if theirs.pop(STOPPED, None) is None and only_again and FINAL not in theirs:
                return {}
            if FINAL in theirs and _attempt(theirs) >= max(self.turn, self.run.turn):
                return {}
            if self.run.ended is not None or self._is_over(prefect):
                return {}
            if FINAL in theirs:
                theirs = {}  # counts of an attempt that is over
            theirs[host_name()] = json.dumps(dict(counts))
            total = _sum(theirs)
            name, items = self.run.told.get("flow_run_name"), self._given()
            kinds = self.tally.kinds | self.run.handed.keys()
            expected = self._expects(total.total(), counts.total() + waiting if waiting else 0, items, len(kinds))
            if items is not None and (expected is None or SEVERAL in theirs):  # as another process may have seen
                expected, theirs[SEVERAL] = None, "true"
            more: dict[str, Any] = {"expected": expected, "waiting": waiting, "items": items, "stopped": self._stopped}
            if self._stopped:
                theirs[STOPPED] = self._stopped
            text = artifact.live(total, self.tally.last_failed, name, now=now(), **more)
            about = f"How far run {self.run.run_id} is"
            if found is not None and posting.update(prefect, found["id"], text, about, theirs):
                return {"artifact": found["id"], "metadata": theirs}
            made = posting.create(prefect, self.run.run_id, key, text, about, metadata=theirs)
            return {"artifact": made, "metadata": theirs}

    def counted(self) -> tuple[Counter[str], int]:
        """Files by status so far, and how many more wait in this process or are worked on."""
        handed_over = list(self.run.submitted.items())  # first: of these each is counted below, or waits
        names = [name for name, one in handed_over if one.tracked and name not in self.run.tasks]
        counts = self.tally.counts()
        return counts, sum(hash(name) not in self.tally.task_runs for name in names)

    def _given(self) -> int | None:
        """How many items the flow was given; None where it does not say which parameter takes them."""
        parameter = self.run.options.items if self.run.options else None
        context = FlowRunContext.get()
        items = (context.parameters or {}).get(parameter) if context and parameter else None
        return len(items) if isinstance(items, list | tuple | set | frozenset) else None

    def _is_over(self, prefect: Requests) -> bool:
        """Whether the flow run has ended, in a process other than its own, which is not told so."""
        if self.run.turn:
            return False
        found = api.answer(prefect, "GET", f"/flow_runs/{self.run.run_id}", timeout=SECONDS)
        return found.status_code == 404 or (found.is_success and found.json().get("state_type") in _OVER)


def again(run: LiveRun) -> None:
    """The run goes on in this process, which has seen no attempt of it before or has told its end.

    Never raises.
    """
    try:
        run.progress = Progress(run)
        run.progress.again()
    except Exception as exc:  # noqa: BLE001 - tracking never breaks the flow
        logger.debug("run %s is not shown to go on again: %s: %s", run.run_id, type(exc).__name__, exc)


def stopped(run: LiveRun, signal: Pause) -> None:
    """The run's flow is suspended, to go on in another process. Never raises."""
    try:
        progress = run.progress or Progress(run)
        run.progress = None  # should it go on in this one, that begins anew
        progress.stop((getattr(signal.state, "name", None) or "Suspended").lower())
    except Exception as exc:  # noqa: BLE001 - tracking never breaks the flow
        logger.debug("run %s is not shown suspended: %s: %s", run.run_id, type(exc).__name__, exc)


def _use_no_client_of_the_flow() -> None:
    """It may be closed while a thread of ours goes on."""
    SyncClientContext.__var__.set(None)  # type: ignore[arg-type]
    AsyncClientContext.__var__.set(None)  # type: ignore[arg-type]


def _turn_by_context() -> int:
    """The flow's attempt, in a process that its tasks were sent to."""
    context = FlowRunContext.get()
    return (context.flow_run.run_count if context is not None and context.flow_run is not None else 0) or 1


def _attempt(metadata: Mapping[str, str]) -> int:
    """Which attempt's end an artifact shows."""
    try:
        return int(metadata.get(ATTEMPT, 1))
    except ValueError:
        return 1


def end_of(status: str, attempt: int) -> dict[str, str]:
    """What the metadata of the artifact say once the run has ended."""
    return {FINAL: status, ATTEMPT: str(attempt)}


def tick(run: LiveRun) -> None:
    """A file of the run has come to its end in this process. Never raises, and costs next to nothing."""
    try:
        if run.progress is None:
            run.progress = Progress(run)
        run.progress.tick()
    except Exception as exc:  # noqa: BLE001 - tracking never breaks the flow
        logger.debug("the progress of run %s was not shown: %s: %s", run.run_id, type(exc).__name__, exc)


def note_of(run: LiveRun) -> Path:
    """The file in which this host's processes tell each other that they have shown the run's progress."""
    return run.archive.settings.spool / "live" / f"{layout.safe_part(run.run_id)}.json"


@contextlib.contextmanager
def settled(run: LiveRun) -> Iterator[dict[str, Any] | None]:
    """The run has ended: nobody of this host shows its progress from now on; waits for one that is at it.

    Gives what the note says that is forgotten with this (`artifact`, `metadata`); None where nothing was shown here.
    """
    note = note_of(run)
    known: dict[str, Any] | None = None
    if not note.parent.is_dir():
        yield None
        return
    lock, end = _lock_of(note), time.monotonic() + WAIT
    while not (ours := _taken(lock)) and time.monotonic() < end:
        time.sleep(0.01)
    try:
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(note.read_bytes())
        yield known
    finally:
        for path in (note, lock) if ours else (note,):
            with contextlib.suppress(OSError):
                path.unlink()


def _sum(hosts: dict[str, str]) -> Counter[str]:
    total: Counter[str] = Counter()
    for text in hosts.values():
        with contextlib.suppress(ValueError, TypeError):
            total.update(json.loads(text))
    return total


@contextlib.contextmanager
def _turn(note: Path, every: float) -> Iterator[dict[str, Any] | None]:
    """What the note says, while no other process of this host has its turn; None where one had it lately."""
    note.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock_of(note)
    if not _taken(lock):
        yield None
        return
    try:
        try:
            age = time.time() - note.stat().st_mtime
            if age < every * 0.9:
                yield None
                return
            known = json.loads(note.read_bytes())
        except (OSError, ValueError):
            known = {}
        yield known
        if known:
            note.write_text(json.dumps(known))
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()


def _lock_of(note: Path) -> Path:
    return note.with_suffix(".lock")


def _taken(lock: Path) -> bool:
    """Take a lock, if nobody has it; one that was killed has it no more after a while."""
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        with contextlib.suppress(OSError):
            if time.time() - lock.stat().st_mtime > STALE:
                lock.unlink()
        return False
    return True
