"""The items that a flow run is given by the parameter that takes its files (`track(items=)`), and their names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from prefect.client.schemas import FlowRun
from prefect.context import FlowRunContext

from prefect_trackrecord._prefect.runs import LiveRun
from prefect_trackrecord.documents.models import RunStatus
from prefect_trackrecord.tracking import values


def listed(given: Any) -> list[Any]:
    """The items of such a parameter's value; a flow may take one alone."""
    if isinstance(given, str | os.PathLike):
        return [given]
    return list(given) if isinstance(given, list | tuple | set | frozenset) else []


def name_of(item: Any) -> str | None:
    """What a file is called in the history that a task was given so; None for an item that is no name by itself."""
    return values.text(item) if isinstance(item, str | os.PathLike | int) else None


def names(parameters: Mapping[str, Any] | None, parameter: str | None) -> list[str]:
    """The names of the items among a flow run's parameters."""
    given = listed((parameters or {}).get(parameter)) if parameter else []
    return [name for name in dict.fromkeys(map(name_of, given)) if name is not None]


def of_end(run: LiveRun, flow_run: FlowRun) -> list[str]:
    """The names of the items of a run that has ended and did not complete: it may not have come to all of them.

    A flow that returns a failed state has come to its end, and to all that it wanted.
    """
    ended, parameter = run.ended, run.options.items if run.options else None
    if ended is None or (ended.status != RunStatus.ABORTED.value and run.error is None) or ended.status is None:
        return []
    context = FlowRunContext.get()
    here = context is not None and context.flow_run is not None and str(context.flow_run.id) == run.run_id
    return names(context.parameters if here and context is not None else flow_run.parameters, parameter)
