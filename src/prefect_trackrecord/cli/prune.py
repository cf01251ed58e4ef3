"""`trackrecord prune`: shows what is old; removes it only where asked to."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone

from prefect_trackrecord.cli.output import dump, note, table, when
from prefect_trackrecord.cli.place import must_be_there, storage_of
from prefect_trackrecord.cli.progress import progress, waiting
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.pruning import old_runs, remove, remove_indexes
from prefect_trackrecord.errors import DateRangeError
from prefect_trackrecord.pages.words import plural

_UNITS = {"d": 1, "w": 7, "y": 365}
SHOWN = 20


def prune(storage: str | None, older_than: str, delete: bool, as_json: bool) -> int:
    """Show or remove, and say how much it is; 1 where documents of that time are left, since they can't be trusted."""
    place = storage_of(storage)
    before = datetime.now(timezone.utc).date() - age(older_than)
    with waiting(f"reading {place.url}"):
        old = old_runs(place.archive, before)
    found = old.runs
    if not found:
        must_be_there(place, storage)
    size, objects = sum(old.size for old in found), sum(len(old.keys) for old in found)
    if as_json:
        rows = [
            {"run_id": o.run.run_id, "started_at": o.run.started_at, "keys": o.keys, "bytes": o.size} for o in found
        ]
        left = [{"key": error.key, "cause": error.cause} for error in old.left]
        dump({"before": before, "deleted": delete, "runs": rows, "left": left})
    elif found:
        shown = found[:SHOWN]
        table(
            ("run", "command", "started", "objects", "bytes"),
            [(o.run.run_id, o.run.command, when(o.run.started_at), len(o.keys), o.size) for o in shown],
        )
        if len(found) > len(shown):
            note(f"... and {len(found) - len(shown):,} more")
    if delete:
        days: set[str] = set()
        with progress("runs") as bar:
            for n, one in enumerate(found):
                if bar is not None:
                    bar(n, len(found))
                remove(place.archive, one)
                days.add(layout.day_of(one.run.started_at))
        remove_indexes(place.archive, days)
    for error in old.left:
        note(f"not removed: {error}")
    runs, much = plural(len(found), "run"), f"{plural(objects, 'object')}, {size / 1e6:,.1f} MB"
    what = f"{runs} before {before} ({much}) in {place.url}"
    if delete:
        note(f"removed: {what}")
    else:
        note(f"would be removed: {what}" + ("; nothing was, add --delete" if found else ""))
    return 1 if old.left else 0


def age(text: str) -> timedelta:
    """A length of time from `400d`, `60w` or `2y`; at least one day.

    Raises:
        DateRangeError: it is none.
    """
    found = re.fullmatch(r"(\d{1,5})([dwy])", text.strip())
    days = int(found[1]) * _UNITS[found[2]] if found else 0
    if not days or days > (date.today() - date(1970, 1, 1)).days:  # noqa: DTZ011 - a bound, to the day or so
        raise DateRangeError(f"{text!r} is no age; write it as 400d, 60w or 2y")
    return timedelta(days=days)
