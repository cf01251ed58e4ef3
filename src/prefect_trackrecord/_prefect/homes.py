"""Whether a task's process shares its flow's spool: a flow's end collects what lies there, and nothing of other hosts.

A task elsewhere, on another host or in a container of its own, brings its events and records into the store before it
returns, so that the flow's documents hold them. Those who wait together share an upload.
"""

from __future__ import annotations

import asyncio
from typing import Any

from prefect import Flow
from prefect.context import FlowRunContext

from prefect_trackrecord._prefect.runs import LiveRun
from prefect_trackrecord.tracking.ending import send_records

HOME = "_trackrecord_home"


def tell_home(run: LiveRun, flow: Flow[..., Any]) -> None:
    """Let the flow carry to its tasks' processes whose spool its end will collect."""
    setattr(flow, HOME, run.archive.home())


def is_away(run: LiveRun) -> bool:
    """Whether nobody collects this process's events of the run as its flow ends."""
    if run.turn > 0 or run.archive.store.local_root is not None:
        return False  # the flow runs here, or all write to one folder
    context = FlowRunContext.get()
    if context is None or str(getattr(context.flow_run, "id", "")) != run.run_id or not hasattr(context.flow, HOME):
        return False  # a run that ends otherwise
    told = getattr(context.flow, HOME)
    return told is None or list(told) != run.archive.home()


def settle(run: LiveRun) -> Any:
    """A task has told its end: where it is away, wait, bounded, until the store has that.

    Returns:
        On an event loop something to await, as all that runs there would stop meanwhile; else None.
    """
    if not is_away(run):
        return None
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        _bring(run)
        return None
    return loop.run_in_executor(None, _bring, run)


def _bring(run: LiveRun) -> None:
    run.archive.flush()
    send_records(run.archive, run.run_id)
