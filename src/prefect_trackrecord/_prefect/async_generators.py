"""The state of an async generator flow: such a function can't return one, and Prefect takes none from it.

Its engine calls `handle_success(None)` at the function's end; what it is given there is what a sync generator returns.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

logger = logging.getLogger("prefect_trackrecord")
_ENGINE = "run_generator_flow_async"


def end_with(result: Any) -> None:
    """Let the flow whose function ends here end with this state; nothing to do for a result that is None."""
    if result is None:
        return
    engine = _engine()
    if engine is None:
        logger.warning("Prefect does not say how an async generator flow is given its state: it completes")
        return
    handle = engine.handle_success

    async def handle_success(_none: Any) -> Any:
        engine.handle_success = handle  # a flow that is retried comes here again
        return await handle(result)

    engine.handle_success = handle_success


def _engine() -> Any:
    """The engine that runs the function, which Prefect's context does not hold: its frame does."""
    frame = sys._getframe(1)  # noqa: SLF001 - the way to the caller
    while frame is not None and frame.f_code.co_name != _ENGINE:
        frame = frame.f_back  # type: ignore[assignment]
    engine = frame.f_locals.get("engine") if frame is not None else None
    return engine if callable(getattr(engine, "handle_success", None)) else None
