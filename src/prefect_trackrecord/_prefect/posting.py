"""Artifacts on the API: make, find, change, remove. From any hook, in any process, unlike Prefect's own helpers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate

from prefect_trackrecord._prefect.api import answer
from prefect_trackrecord._prefect.bounded import Requests

SECONDS = 4.0
"""What one of them may take; the flow waits for it."""
MOST = 200
"""More of them the API gives by no request."""


def create(
    prefect: Requests,
    flow_run_id: Any,
    key: str,
    data: Any,
    description: str,
    *,
    kind: str = "markdown",
    task_run_id: Any = None,
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Make an artifact on a flow run, or on a task run of it; gives its id.

    Args:
        prefect: makes the request.
        flow_run_id: whose it is.
        key: lowercase letters, digits and dashes; equal keys make one time line.
        data: markdown, a table as JSON text, or an image's URL.
        description: shown above it.
        kind: `markdown`, `table` or `image`.
        task_run_id: the task run that it belongs to.
        metadata: kept with it, for programs.

    Raises:
        Exception: the API did not take it.
    """
    given: dict[str, Any] = {"key": key, "type": kind, "data": data, "description": description}
    given["flow_run_id"] = flow_run_id
    if task_run_id is not None:
        given["task_run_id"] = task_run_id
    if metadata is not None:
        given["metadata_"] = dict(metadata)
    body = ArtifactCreate(**given).model_dump(mode="json", exclude_unset=True)
    made = prefect.request("POST", "/artifacts/", json=body, timeout=SECONDS)
    made.raise_for_status()
    return str(made.json()["id"])


def update(
    prefect: Requests, artifact_id: str, data: Any, description: str, metadata: Mapping[str, str] | None = None
) -> bool:
    """Replace what an artifact says; False where there is none of that id.

    Raises:
        Exception: the API did not take it.
    """
    given: dict[str, Any] = {"data": data, "description": description}
    if metadata is not None:
        given["metadata_"] = dict(metadata)
    body = ArtifactUpdate(**given).model_dump(mode="json", exclude_unset=True)
    found = answer(prefect, "PATCH", f"/artifacts/{artifact_id}", json=body, timeout=SECONDS)
    if found.status_code == 404:
        return False
    found.raise_for_status()
    return True


def delete(prefect: Requests, artifact_id: str) -> None:
    """Remove an artifact; one that is not there is fine.

    Raises:
        Exception: the API did not take it.
    """
    found = answer(prefect, "DELETE", f"/artifacts/{artifact_id}", timeout=SECONDS)
    if found.status_code != 404:
        found.raise_for_status()


def timeline(prefect: Requests, key: str, most: int, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """The newest artifacts under a key, newest first; the server has an index for that.

    Raises:
        Exception: the API did not answer in time.
    """
    return _filtered(prefect, {"key": {"any_": [key]}}, most, seconds)


def of_run(prefect: Requests, flow_run_id: Any, most: int, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """The newest texts on a flow run, newest first.

    Raises:
        Exception: the API did not answer in time.
    """
    asked = {"flow_run_id": {"any_": [str(flow_run_id)]}, "type": {"any_": ["markdown"]}}
    return _filtered(prefect, asked, most, seconds)


def under(prefect: Requests, flow_run_id: Any, keys: Sequence[str]) -> list[dict[str, Any]]:
    """The artifacts of a flow run under some keys, newest first; at most as many as the API gives at once.

    Raises:
        Exception: the API did not answer.
    """
    return _filtered(prefect, {"flow_run_id": {"any_": [str(flow_run_id)]}, "key": {"any_": list(keys)}}, MOST, SECONDS)


def find(prefect: Requests, flow_run_id: Any, key: str) -> dict[str, Any] | None:
    """The newest artifact of a flow run under a key; None where there is none.

    Raises:
        Exception: the API did not answer.
    """
    rows = _filtered(prefect, {"flow_run_id": {"any_": [str(flow_run_id)]}, "key": {"any_": [key]}}, 1, SECONDS)
    return rows[0] if rows else None


def _filtered(prefect: Requests, asked: Mapping[str, Any], most: int, seconds: float) -> list[dict[str, Any]]:
    body = {"artifacts": asked, "sort": "CREATED_DESC", "limit": most}
    found = prefect.request("POST", "/artifacts/filter", json=body, timeout=seconds)
    found.raise_for_status()
    rows: list[dict[str, Any]] = found.json()
    return rows
