"""The items that a flow run is given by the parameter that takes its files (`track(items=)`), and their names."""

from __future__ import annotations

import os
from typing import Any

from prefect_trackrecord.tracking import values


def listed(given: Any) -> list[Any]:
    """The items of such a parameter's value; a flow may take one alone."""
    if isinstance(given, str | os.PathLike):
        return [given]
    return list(given) if isinstance(given, list | tuple | set | frozenset) else []


def name_of(item: Any) -> str | None:
    """What a file is called in the history that a task was given so; None for an item that is no text and no path."""
    return values.text(item) if isinstance(item, str | os.PathLike) else None
