"""`trackrecord retry`: starts a flow's deployment again with what failed in a run."""

from __future__ import annotations

from dataclasses import asdict

from prefect_trackrecord.cli.output import dump, note, say
from prefect_trackrecord.cli.place import storage_of
from prefect_trackrecord.cli.progress import waiting
from prefect_trackrecord.cli.runs import find_run
from prefect_trackrecord.documents.models import RunStatus
from prefect_trackrecord.errors import RunGoesOnError
from prefect_trackrecord.journal.printable import printable
from prefect_trackrecord.pages.words import plural
from prefect_trackrecord.tracking.failed import mended


def retry(storage: str | None, run_id: str, deployment: str | None, dry_run: bool, as_json: bool) -> int:
    """Start it, and say what was started."""
    place = storage_of(storage)
    run = find_run(place.archive, run_id)
    if run.status is RunStatus.RUNNING:
        raise RunGoesOnError(f"run {run.run_id} goes on still; retry it when it has ended")
    failed = mended(run, place.archive).still
    if not failed:
        if as_json:
            dump({"retry_of": run.run_id, "flow_run_id": None, "items": []})
        note(f"nothing to retry: no file of run {run.run_id} is failed still")
        return 0
    from prefect_trackrecord._prefect.retrying import retry as start

    with waiting("asking Prefect"):
        made = start(run, place.archive.files(run), failed, deployment=deployment, dry_run=dry_run)
    if as_json:
        dump({"retry_of": run.run_id, **asdict(made)})
        return 0
    for item in made.items:
        say(printable(item))
    if made.flow_run_id is None:
        note(f"{plural(len(made.items), 'file')} would be given to {made.parameter}=; nothing was started")
    else:
        note(f"started {made.name} ({made.flow_run_id}) with {plural(len(made.items), 'file')} as {made.parameter}=")
        if made.url:
            note(made.url)
    return 0
