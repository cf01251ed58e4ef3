"""When a task of ours is tried again: where waiting may help, not where something is written wrongly."""

from __future__ import annotations

from typing import Any

from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound

from prefect_trackrecord.errors import ConfigurationError


def may_help(_task: Any, _task_run: Any, state: State[Any]) -> bool:
    """Whether the task's error may be gone in a moment."""
    error = state.result(raise_on_failure=False)
    return not isinstance(error, ConfigurationError | ObjectNotFound)


PLAIN: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
AGAIN: dict[str, Any] = {**PLAIN, "retries": 2, "retry_delay_seconds": [5, 30], "retry_condition_fn": may_help}
"""For what asks a store or an API, which may be back in a moment."""
