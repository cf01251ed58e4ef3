"""`trackrecord recover`: closes what dead processes left, and asks Prefect only where a run is Prefect's."""

from __future__ import annotations

from collections.abc import Sequence

from prefect_trackrecord.cli.output import complain, dump, note, table, when
from prefect_trackrecord.cli.place import must_be_there, storage_of, tracked
from prefect_trackrecord.cli.progress import progress
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.fold import Fold
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.pages.words import plural
from prefect_trackrecord.tracking import RecoveredRun, TrackingStorage
from prefect_trackrecord.tracking.recovery import UPKEEP_ROLE, Ask, Reconcile, Verdict
from prefect_trackrecord.tracking.recovery import recover as recover_runs


def recover(storage: str | None, as_json: bool) -> int:
    """Recover, say what was done, and return 1 where a run could not be closed."""
    place = storage_of(storage)
    if not any(place.archive.spooled()):
        must_be_there(place, storage)
    with progress("runs") as bar:
        prefect = _Prefect()
        found = recover_runs(place, ask=prefect, reconcile=prefect.reconcile, progress=bar)
    errors = [one for one in found if one.error]
    if found:  # where there was nothing to do, a schedule's history would be full of that
        with tracked("recover", place, role=UPKEEP_ROLE) as run:
            run.tracker.metric("recovered", len(found) - len(errors))
            if errors:
                run.tracker.complete("failed", f"{len(errors)} of {len(found)} runs could not be recovered")
    _tell_prefect(place, [one.run for one in found if one.run is not None])
    _print(found, as_json)
    done = f"{plural(len(found) - len(errors), 'run')} recovered" if found else "nothing to recover"
    note(f"{done} in {place.url}")
    return 1 if errors else 0


def _tell_prefect(place: TrackingStorage, closed: list[RunMetadata]) -> None:
    """Show Prefect what became of its runs: those closed now, and those it could not be told of when they ended."""
    waiting = place.archive.settings.spool / "untold"
    if not any(run.flow_name for run in closed) and not (waiting.is_dir() and any(waiting.iterdir())):
        return
    from prefect_trackrecord._prefect import events_queue, untold
    from prefect_trackrecord._prefect.settings import has_api

    if has_api() and (told := untold.tell(place, [run for run in closed if run.flow_name])):
        events_queue.send(seconds=5.0)
        note(f"Prefect was told of {plural(told, 'run')}")


def _print(found: list[RecoveredRun], as_json: bool) -> None:
    if as_json:
        dump([{"run_id": r.run_id, "error": r.error, "run": r.run and r.run.model_dump(mode="json")} for r in found])
        return
    done = [(r.run_id, r.run.command, r.run.status.value, when(r.run.started_at), r.run.reason) for r in found if r.run]
    if done:
        table(("run", "command", "status", "started", "reason"), done)
    for one in found:
        if one.error:
            complain(f"run {one.run_id}: {one.error}")


class _Prefect:
    """What Prefect knows of runs; it is imported when the first run of Prefect's is to be judged, and not before.

    Where no API is configured nobody is asked: the embedded one knows only what the dead process told it.
    """

    def __init__(self) -> None:
        self._asks: tuple[Ask, Reconcile] | None = None
        self._due: Sequence[str] = ()

    def expect(self, run_ids: Sequence[str]) -> None:
        """These runs may be asked for."""
        self._due = run_ids

    def __call__(self, run_id: str) -> Verdict:
        """What became of a run."""
        return self._load()[0](run_id)

    def reconcile(self, archive: Archive, run_id: str, fold: Fold) -> None:
        """What became of its task runs."""
        self._load()[1](archive, run_id, fold)

    def _load(self) -> tuple[Ask, Reconcile]:
        if self._asks is None:
            from prefect_trackrecord._prefect.settings import has_api

            self._asks = _asks(self._due) if has_api() else (lambda _: None, lambda *_: None)
        return self._asks


def _asks(due: Sequence[str]) -> tuple[Ask, Reconcile]:
    from prefect_trackrecord._prefect.asking import Asker
    from prefect_trackrecord._prefect.reconciling import reconciler

    note("asking Prefect what became of its runs...")
    asker = Asker()
    asker.expect(due)
    return asker, reconciler(asker)
