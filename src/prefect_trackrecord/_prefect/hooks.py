"""`hooks`: what `track` does for a flow, as Prefect's own arguments."""

from __future__ import annotations

from typing import Any, TypedDict, cast

from prefect.flows import FlowStateHook

from prefect_trackrecord._prefect import capture
from prefect_trackrecord._prefect.options import flow_options


class FlowHooks(TypedDict):
    """Prefect's arguments for the hooks of a flow."""

    on_running: list[FlowStateHook[..., Any]]
    on_completion: list[FlowStateHook[..., Any]]
    on_failure: list[FlowStateHook[..., Any]]
    on_crashed: list[FlowStateHook[..., Any]]
    on_cancellation: list[FlowStateHook[..., Any]]


def hooks(
    *,
    storage: Any = None,
    command: Any = None,
    subcommand: Any = None,
    config_path: Any = None,
    target_date: Any = None,
    role: str | None = None,
    items: str | None = None,
) -> FlowHooks:
    """As `track` for a flow, as Prefect's own arguments: `@flow(**hooks(storage="s3://bucket/history"))`.

    `partial` and `fail_over` need `track`: a hook can't choose a state. In the flow,
    `return current_tracker().final_state()` does the same.

    Raises:
        ConfigurationError: an option can't work.
    """
    given = {
        "storage": storage,
        "command": command,
        "subcommand": subcommand,
        "config_path": config_path,
        "target_date": target_date,
        "role": role,
        "items": items,
    }
    return cast("FlowHooks", dict(capture.hook_lists(flow_options(None, given))))
