"""The items that a run was given, and did not come to: they are files that never began. Pure.

A run's items are its files only where its rows are called by them. So none is added where no row's path is an item;
and one that a row has by another path, in another folder, is not added beside that row.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents.models import FileStatus
from prefect_trackrecord.documents.unbegun import NOT_BEGUN, is_unbegun

Silent = Mapping[str, list[ev.FileTracked]]


def told(parameters: Any, name: Any) -> list[str]:
    """The items by what a run's metadata say of its parameters; none where these were cut."""
    found = parameters.get(name) if isinstance(parameters, dict) and isinstance(name, str) else None
    items = [found] if isinstance(found, str) else found
    return items if isinstance(items, list) and all(isinstance(item, str) for item in items) else []


def with_unbegun(given: Sequence[str], silent: Silent, tracked: Iterable[str], at: datetime) -> dict[str, Any]:
    """What others tell of a run's files, with the items that it did not come to.

    Args:
        given: the items, as rows name them.
        silent: by item, what others told so far. One that never began and has no path is one of those that are added.
        tracked: the paths of the rows that the files' own processes told.
        at: when the run ended.
    """
    wanted = {posixpath.normpath(path): path for path in reversed(given)}
    names = {posixpath.basename(path) for path in wanted}
    nameless = {item for item, found in silent.items() if all(map(_is_nameless, found))}
    others = [one.row["file_path"] for item, found in silent.items() if item not in nameless for one in found]
    come: set[str] = set()
    elsewhere: set[str] = set()
    for paths in (tracked, others):
        for path in map(posixpath.normpath, paths):
            if path in wanted:
                come.add(path)
            elif (name := posixpath.basename(path)) in names:
                elsewhere.add(name)
    if not come:
        return dict(silent)
    missing = [p for p in wanted if p not in come and posixpath.basename(p) not in elsewhere]
    dropped = set([item for item in silent if item in nameless][: len(missing)])
    found: dict[str, Any] = {item: outcomes for item, outcomes in silent.items() if item not in dropped}
    for path in reversed(missing):
        row = {"file_path": wanted[path], "status": FileStatus.SKIPPED.value, "reason": NOT_BEGUN}
        found[f"\0{path}"] = [ev.FileTracked(at, row, f"\0{path}")]
    return found


def _is_nameless(outcome: ev.FileTracked) -> bool:
    return is_unbegun(outcome.row) and outcome.row["file_path"] == outcome.row.get("task_run_name")
