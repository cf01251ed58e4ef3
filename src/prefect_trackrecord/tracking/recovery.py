"""Seals what a dead process left behind; never a run that is alive. Safe to run at any time, any number of times.

Two listings tell which runs there is anything to do for; of the others nothing is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Literal

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.attempts import GONE, GUESSED, RECOVERED
from prefect_trackrecord.documents.fold import Fold
from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.documents.run_journal import SAVED, Folded, RunJournal
from prefect_trackrecord.documents.seal import utc_now
from prefect_trackrecord.store.base import Entry, Store
from prefect_trackrecord.tracking.ending import recover_records
from prefect_trackrecord.tracking.storage import TrackingStorage, resolve_storage

_PATIENCE = 3600.0
"""Seconds that one seal may take where no flow waits for it: a slow line may need them for a large document."""
UPKEEP_ROLE = "upkeep"
"""The role of runs that look after others, as recoveries do."""
Verdict = ev.RunEnded | Literal["alive", "running"] | None
Ask = Callable[[str], Verdict]
"""Says what became of a Prefect run: how it ended; `alive` for one that waits or will go on; `running` for one that is
said to run, which only its process can tell; None where nobody knows it. One that has a method `expect` is
told first of which runs, in that order, it may be asked."""
Reconcile = Callable[[Archive, str, Fold], None]
"""Told of each run before it is sealed: adds to its journal what others know of it."""


@dataclass(frozen=True)
class RecoveredRun:
    """A run that was looked at and sealed, or could not be.

    Attributes:
        run_id: the run.
        run: its metadata as sealed; None where it could not be.
        error: why it could not be sealed.
    """

    run_id: str
    run: RunMetadata | None
    error: str | None = None


def recover(
    storage: TrackingStorage | str | Path | None = None,
    *,
    ask: Ask | None = None,
    reconcile: Reconcile | None = None,
    silence: timedelta | None = None,
    running_silence: timedelta | None = None,
    now: Callable[[], datetime] = utc_now,
    progress: Callable[[int, int], None] | None = None,
) -> list[RecoveredRun]:
    """Seal the runs of a store that have no end and no living process, and bring late events into sealed ones.

    A run that no Prefect flow made is judged by whether its processes live. One of another host, or of another
    container, is left alone, unless nothing has been heard of it for long. A Prefect run is asked for first.

    Args:
        storage: where to look; resolved as everywhere.
        ask: what became of a Prefect run; see `Ask`.
        reconcile: told of each run of Prefect's that is about to be sealed; see `Reconcile`.
        silence: after how long without an event a run that nobody can tell of counts as dead; by default what
            `TRACKRECORD_SILENCE_HOURS` says, else a day. Its own end, should one come after all, replaces that.
        running_silence: the same for one that Prefect says is running; by default what
            `TRACKRECORD_RUNNING_SILENCE_HOURS` says, else three days; never less than `silence`.
        now: where the time comes from.
        progress: called with (runs looked at, runs in all).

    Returns:
        The runs that were sealed, and those that should have been and could not; not the runs of other recoveries
        and of other upkeep that were just about to end.

    Raises:
        StoreError: the store can't be listed.
    """
    archive = resolve_storage(storage).archive
    silence = silence or archive.settings.silence
    judge = _Judge(ask, silence, max(silence, running_silence or archive.settings.running_silence), now)
    open_runs, documents = _open_runs(archive)
    if (expect := getattr(ask, "expect", None)) is not None:
        expect([journal.run_id for journal in open_runs])
    done: list[RecoveredRun] = []
    for n, journal in enumerate(open_runs, 1):
        try:
            made: list[int] = []
            before = documents.get(layout.safe_part(journal.run_id))
            run = _recover_one(archive, journal, judge, reconcile, made.append)
            if run is not None and run.generation not in made:
                if run.generation != journal.generation or (run.reason or "").startswith(RECOVERED):
                    continue  # another recovery has closed it, and says so
                if before is not None and (now_is := archive.store.get(before.key)) and now_is.etag == before.etag:
                    continue  # there was nothing new: its workers live on, or it was only copied here
        except Exception as exc:  # noqa: BLE001 - one run that can't be sealed keeps no other from it
            done.append(RecoveredRun(journal.run_id, None, f"{type(exc).__name__}: {exc}"))
        else:
            if run is not None and not _is_others_upkeep(run):
                done.append(RecoveredRun(journal.run_id, run))
        if progress is not None:
            progress(n, len(open_runs))
    recover_records(archive, [(one.run.flow_name or one.run.command, one.run_id) for one in done if one.run])
    return done


def _is_others_upkeep(run: RunMetadata) -> bool:
    """Whether it is such as recoveries that run at the same time, which needed nobody to end them."""
    return run.role == UPKEEP_ROLE and not (run.reason or "").startswith(RECOVERED)


def _open_runs(archive: Archive) -> tuple[list[RunJournal], dict[str, Entry]]:
    """The runs of which a listing does not tell that they are done, and those with events in this host's spool.

    Returns:
        The runs, and the documents of all runs by their names.
    """
    store = archive.store
    documents = {entry.key.rsplit("/", 1)[-1].removesuffix(".json"): entry for entry in store.list(layout.RUNS)}
    found: dict[str, RunJournal] = {}
    for run_id, entries in groupby(_of_journals(store), key=lambda entry: entry.key.split("/")[1]):
        journal = RunJournal.read(store, run_id, archive.spool, entries=entries)
        only_saved = not journal.spooled and not journal.generation and _were_saved(journal)
        entry = documents.get(layout.safe_part(run_id))
        if not only_saved and not journal.is_done(entry):
            found[run_id] = journal
    for spooled in archive.spooled():
        if spooled.run_id not in found:
            found[spooled.run_id] = RunJournal.read(store, spooled.run_id, archive.spool, entries=())
    return [journal for _, journal in sorted(found.items())], documents


def _of_journals(store: Store) -> Iterator[Entry]:
    """What lies where journals do; what somebody else has put there is none of ours."""
    for entry in store.list(layout.JOURNAL):
        parts = entry.key.split("/")
        if len(parts) == 3 and layout.safe_part(parts[1]) == parts[1]:
            yield entry


def _were_saved(journal: RunJournal) -> bool:
    """Whether its documents were saved directly, or imported: what Prefect told then is all that there is."""
    return all(name.startswith(SAVED) for name in (*journal.segments, *journal.spooled))


def _recover_one(
    archive: Archive,
    journal: RunJournal,
    judge: _Judge,
    reconcile: Reconcile | None,
    made: Callable[[int], None],
) -> RunMetadata | None:
    run_id = journal.run_id
    before = journal.newest()
    if before is not None and before.ended is not None and journal.lacks(before):
        # its journal has expired in part: nothing of what its documents say is asked for anew
        return archive.seal(run_id, now=judge.now(), seconds=_PATIENCE, made=made)
    found = journal.fold()
    fold = found.fold
    if not fold.tracked:
        return None  # documents saved directly: nothing ran
    sealed_attempt = ((before.ended or {}).get("run_count") or 1) if before and before.ended else 0
    ended: ev.RunEnded | None = None
    if sealed_attempt < fold.attempt():
        own = fold.end()
        if own is None or _may_go_on(own):
            ended = judge(run_id, found)
            if ended is None:
                return None
    # also where tasks have told something after the end
    if reconcile is not None and _is_prefects(fold) and not _were_saved(journal):
        reconcile(archive, run_id, fold)
    return archive.seal(run_id, now=judge.now(), ended=ended, seconds=_PATIENCE, made=made)


def _may_go_on(own: ev.RunEnded) -> bool:
    """Whether it is the end of an attempt, told as its function raised: Prefect may start another one."""
    return own.state is None and own.run_count is not None


def _is_prefects(fold: Fold) -> bool:
    return not fold.started or fold.documents(None).run.flow_name is not None


@dataclass(frozen=True)
class _Judge:
    """Says how a run without an end ended; None for one that lives, or that nobody here can judge."""

    ask: Ask | None
    silence: timedelta
    running_silence: timedelta
    now: Callable[[], datetime]

    def __call__(self, run_id: str, found: Folded) -> ev.RunEnded | None:
        fold, writers = found.fold, found.writers
        flow = _is_prefects(fold)
        verdict = self.ask(run_id) if self.ask is not None and flow else None
        if isinstance(verdict, ev.RunEnded):
            return verdict
        if verdict == "alive":
            return None
        if flow and fold.started and found.starter is not None:
            # a flow runs in one process; the workers of a pool may outlive it without end
            return None if found.starter else self._gone(fold)
        if any(writers):
            return None
        if writers and all(lives is False for lives in writers):
            # of a flow that is not tracked, that its tasks' processes are gone says nothing
            return self._gone(fold) if fold.started else self._silent(fold, verdict)
        return self._silent(fold, verdict)

    def _gone(self, fold: Fold) -> ev.RunEnded:
        run = fold.documents(None).run
        return ev.RunEnded(
            at=self.now(),
            status=RunStatus.ABORTED.value,
            error_message="the process ended without completing the run",
            reason=f"{GONE} {run.pid} on {run.host} is gone and left the run without an end",
        )

    def _silent(self, fold: Fold, verdict: Verdict) -> ev.RunEnded | None:
        """Nobody here can tell: only a long silence counts, a longer one where Prefect says that it runs.

        What Prefect says of a pod that was killed stays so for ever.
        """
        running = verdict == "running"
        if fold.last_at is None or self.now() - fold.last_at < (self.running_silence if running else self.silence):
            return None
        silent = (self.now() - fold.last_at).total_seconds()
        span = f"{silent / 3600:.0f} hours" if silent >= 7200 else f"{silent / 60:.0f} minutes"
        where = fold.documents(None).run.host
        though = ", though Prefect says that it is running" if running else ""
        return ev.RunEnded(
            at=self.now(),
            status=RunStatus.ABORTED.value,
            error_message="the run stopped without an end",
            reason=f"{GUESSED} for {span}" + (f" from {where}" if where else "") + though,
        )
