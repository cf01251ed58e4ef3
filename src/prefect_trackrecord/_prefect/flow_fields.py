"""What a run's metadata says of a flow run, as fields of `RunMetadata`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from prefect import Flow
from prefect.client.schemas import FlowRun

from prefect_trackrecord._prefect.options import FlowOptions
from prefect_trackrecord._prefect.retrying import retry_of
from prefect_trackrecord.journal.liveness import host_name
from prefect_trackrecord.journal.plain import plain
from prefect_trackrecord.tracking import values
from prefect_trackrecord.tracking.describing import MAX_ITEMS, MAX_PARAMETER, masked, text_or_none, versions


def flow_fields(
    flow: Flow[..., Any] | None,
    flow_run: FlowRun,
    options: FlowOptions | None,
    arguments: Mapping[str, Any],
    errors: list[tuple[str, Exception]] | None = None,
) -> dict[str, Any]:
    """The fields that a flow run gives its run, `None` for what is not known.

    Args:
        flow: its flow.
        flow_run: as Prefect knows it.
        options: the flow's; None for a flow that is not tracked.
        arguments: of the flow's function, by parameter name.
        errors: takes what the options' callables raise; None lets them pass (arguments that are not validated yet).
    """
    told = options or FlowOptions()
    name = flow.name if flow is not None else None
    given = dict(arguments)
    if flow is not None and (flow.ismethod or flow.isclassmethod) and given:
        given.pop(next(iter(given)))
    fields: dict[str, Any] = {
        "flow_name": name,
        "flow_id": str(flow_run.flow_id) if flow_run.flow_id else None,
        "flow_run_name": text_or_none(flow_run.name),
        "deployment_id": str(flow_run.deployment_id) if flow_run.deployment_id else None,
        "tags": [masked(tag) for tag in sorted(flow_run.tags or ())],
        "parameters": plain(given, max_text=MAX_PARAMETER, max_items=MAX_ITEMS),
        "role": told.role,
        "items_parameter": told.items,
        "retry_of": retry_of(flow_run.tags or ()),
        "scheduled_for": _due(flow_run),
    }
    for option in ("command", "subcommand", "config_path", "target_date"):
        try:
            fields[option] = values.text(values.value(getattr(told, option), arguments))
        except Exception as exc:  # noqa: BLE001 - a user's callable may raise anything
            fields[option] = None
            if errors is not None:
                errors.append((option, exc))
    fields["command"] = fields["command"] or name
    return fields


def _due(flow_run: FlowRun) -> str | None:
    due = flow_run.expected_start_time if flow_run.auto_scheduled else None
    return due.isoformat() if due is not None else None


def process_fields() -> dict[str, Any]:
    """The fields that the process gives its run."""
    return {"host": host_name(), "pid": os.getpid(), "versions": versions()}
