"""`trackrecord prune`: shows what is old; removes it only where asked to."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any

from prefect_trackrecord.cli.output import dump, note, table, when
from prefect_trackrecord.cli.place import must_be_there, storage_of
from prefect_trackrecord.cli.progress import progress, waiting
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.pruning import Old, old_runs, remove, remove_indexes, remove_rest
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
    size = sum(one.size for one in found) + sum(entry.size for entry in old.rest)
    objects = sum(len(one.keys) for one in found) + len(old.rest)
    if not as_json and found:
        shown = found[:SHOWN]
        table(
            ("run", "command", "started", "objects", "bytes"),
            [(o.run.run_id, o.run.command, when(o.run.started_at), len(o.keys), o.size) for o in shown],
        )
        if len(found) > len(shown):
            note(f"... and {len(found) - len(shown):,} more")
    if delete:
        _remove(place.archive, old)
    if as_json:  # what it says of a removal has happened
        dump({"before": before, "deleted": delete, **_json(old)})
    for error in old.left:
        note(f"not removed: {error}")
    runs, much = plural(len(found), "run"), f"{plural(objects, 'object')}, {size / 1e6:,.1f} MB"
    rest = f" and {plural(len(old.rest), 'list')} of rows whose run is gone" if old.rest else ""
    what = f"{runs}{rest} before {before} ({much}) in {place.url}"
    if delete:
        note(f"removed: {what}")
    else:
        note(f"would be removed: {what}" + ("; nothing was, add --delete" if objects else ""))
    return 1 if old.left else 0


def _json(old: Old) -> dict[str, Any]:
    return {
        "runs": [
            {"run_id": o.run.run_id, "started_at": o.run.started_at, "keys": o.keys, "bytes": o.size} for o in old.runs
        ],
        "rest": [{"key": entry.key, "bytes": entry.size} for entry in old.rest],
        "left": [{"key": error.key, "cause": error.cause} for error in old.left],
    }


def _remove(archive: Archive, old: Old) -> None:
    """Remove it all; Ctrl+C ends it after the run at hand, a second one at once.

    Raises:
        KeyboardInterrupt: it was ended so.
    """
    days: set[str] = set()
    done = 0
    with progress("runs") as bar, _held() as stopped:
        for one in old.runs:
            if stopped:
                break
            if bar is not None:
                bar(done, len(old.runs))
            remove(archive, one)
            days.add(layout.day_of(one.run.started_at))
            done += 1
        else:
            remove_rest(archive, old)
        remove_indexes(archive, days)
    if stopped:
        note(f"removed: {done:,} of {plural(len(old.runs), 'run')}, each as a whole")
        raise KeyboardInterrupt


@contextlib.contextmanager
def _held() -> Iterator[list[int]]:
    """Gives what Ctrl+C fills instead of interrupting; a second one interrupts."""
    got: list[int] = []

    def hold(number: int, _: object) -> None:
        if got:
            raise KeyboardInterrupt
        got.append(number)

    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield got
        return
    before = signal.signal(signal.SIGINT, hold)
    try:
        yield got
    finally:
        signal.signal(signal.SIGINT, before)


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
