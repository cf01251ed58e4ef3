"""`trackrecord import-runs`: the past that Prefect knows, brought into the history."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from prefect_trackrecord.cli.output import dump, note
from prefect_trackrecord.cli.place import storage_of, tracked
from prefect_trackrecord.cli.progress import progress
from prefect_trackrecord.documents.window import bounds
from prefect_trackrecord.errors import PrefectApiError
from prefect_trackrecord.pages.words import plural

if TYPE_CHECKING:
    from prefect_trackrecord._prefect.importing import Imported


def import_runs(storage: str | None, first: str, last: str | None, as_json: bool) -> int:
    """Import a window, and say how many runs that were.

    Raises:
        DateRangeError: the dates are wrong.
        PrefectApiError: no API is configured, or it does not answer.
    """
    start, end = bounds(first, last)
    assert start is not None
    place = storage_of(storage)
    from prefect_trackrecord._prefect.importing import import_runs as work
    from prefect_trackrecord._prefect.settings import has_api

    if not has_api():
        raise PrefectApiError("no Prefect API is configured; set PREFECT_API_URL to that of the server with the runs")
    with tracked("import-runs", place, role="upkeep") as run:
        with progress("runs") as tell:
            done = work(place.archive, start, end or datetime.now(timezone.utc), progress=tell)
        run.tracker.metric("imported", done.added)
    if as_json:
        dump(dataclasses.asdict(done))
    left_out = _left_out(done)
    if done.added:
        said = f"{plural(done.added, 'run')} with {plural(done.files, 'task run')} imported into {place.url}"
        note(f"{said}; {done.known:,} were there already{left_out}")
    else:
        note(f"nothing to import into {place.url}; {done.known:,} were there already{left_out}")
    return 0


def _left_out(done: Imported) -> str:
    """What was not imported, and why, after a semicolon; empty where nothing was left out."""
    counts = ((done.unfinished, "without an end yet"), (done.own, "of trackrecord's own flows"))
    them = " and ".join(f"{count:,} {which}" for count, which in counts if count)
    verb = "was" if done.unfinished + done.own == 1 else "were"
    return f"; {them} {verb} left out" if them else ""
