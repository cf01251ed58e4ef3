"""Recovery as a flow, to be run by a schedule: what `trackrecord recover` does, with every run closed in the log."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging.loggers import get_run_logger
from prefect.states import Completed, Failed

from prefect_trackrecord._prefect import untold
from prefect_trackrecord._prefect.asking import Asker
from prefect_trackrecord._prefect.reconciling import reconciler
from prefect_trackrecord._prefect.settings import current
from prefect_trackrecord.pages.words import plural
from prefect_trackrecord.tracking import RunTracker
from prefect_trackrecord.tracking.recovery import UPKEEP_ROLE, recover
from prefect_trackrecord.tracking.storage import resolve_storage


@flow(name="recover-runs")
def recover_runs(storage: str | None = None) -> State[list[str]]:
    """Close the runs that dead processes left open, and store the events that wait on this host.

    What became of a run is asked of Prefect's API, which this flow itself runs by; a run that is said to be running is
    judged by its process, where that ran on this host. Safe anywhere, any number of times, at once. Where a run was
    closed, or could not be, the history has a run `recover` that says so; else it is left as it was.

    Args:
        storage: the history: a folder, a URL or `trackrecord-storage/<block name>`; the settings say it where left out.

    Returns:
        The ids of the runs that were closed; Failed where one of them could not be.
    """
    logger = get_run_logger()
    place = resolve_storage(storage, current())
    asker = Asker()
    found = recover(place, ask=asker, reconcile=reconciler(asker))
    closed = [one.run_id for one in found if one.run is not None]
    for one in found:
        if one.run is not None:
            run = one.run
            logger.info("run %s (%s): %s; %s", one.run_id, run.command, run.status.value, run.reason or "its own end")
        else:
            logger.error("run %s could not be closed: %s", one.run_id, one.error)
    untold.tell(place, [one.run for one in found if one.run is not None])
    troubles = len(found) - len(closed)
    if found:
        with RunTracker("recover", storage=place, role=UPKEEP_ROLE) as tracker:
            tracker.metric("recovered", len(closed))
            if troubles:
                tracker.complete("failed", f"{troubles} of {len(found)} runs could not be recovered")
    message = f"{plural(len(closed), 'run')} closed in {place.url}"
    if troubles:
        return Failed(message=f"{message}, {troubles} could not be", data=closed)
    return Completed(message=message, data=closed)
