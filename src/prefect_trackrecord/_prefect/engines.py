"""What Prefect's engine of a flow is to know of the state that a flow ends with, and does not take from its function.

An async generator can't return one: its engine calls `handle_success(None)` at the function's end; what it is given
there is what a sync generator returns. And an engine whose flow returns a state raises what an earlier attempt raised.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from prefect.utilities.annotations import NotSet

logger = logging.getLogger("prefect_trackrecord")
_ASYNC_GENERATOR = "run_generator_flow_async"
_ANY = ("run_flow_sync", "run_flow_async", "run_generator_flow_sync", _ASYNC_GENERATOR)


def end_with(result: Any) -> None:
    """Let the flow whose function ends here end with this state; nothing to do for a result that is None."""
    if result is None:
        return
    engine = _engine(_ASYNC_GENERATOR)
    if engine is None:
        logger.warning("Prefect does not say how an async generator flow is given its state: it completes")
        return
    handle = engine.handle_success

    async def handle_success(_none: Any) -> Any:
        engine.handle_success = handle  # a flow that is retried comes here again
        return await handle(result)

    engine.handle_success = handle_success


def forget_raised() -> None:
    """Let the flow whose function ends here with a state of ours not raise what an earlier attempt of it did."""
    engine = _engine(*_ANY)
    if engine is not None:
        engine._raised = NotSet  # noqa: SLF001 - it has no other way


def _engine(*names: str) -> Any:
    """The engine that runs the function, which Prefect's context does not hold: its frame does."""
    frame = sys._getframe(1)  # noqa: SLF001 - the way to the caller
    while frame is not None and frame.f_code.co_name not in names:
        frame = frame.f_back  # type: ignore[assignment]
    engine = frame.f_locals.get("engine") if frame is not None else None
    return engine if callable(getattr(engine, "handle_success", None)) else None
