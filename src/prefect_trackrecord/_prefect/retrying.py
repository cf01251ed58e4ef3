"""Starts a flow's deployment again with only those files of a run that failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from httpx import HTTPError
from prefect.settings import get_current_settings

from prefect_trackrecord._prefect import api
from prefect_trackrecord._prefect.bounded import Requests
from prefect_trackrecord._prefect.retried_items import by_hand, properties, refuse_invalid, value_of
from prefect_trackrecord.documents.attempts import RECOVERED
from prefect_trackrecord.documents.models import FileProcessingLog, RunMetadata
from prefect_trackrecord.documents.unbegun import is_unbegun
from prefect_trackrecord.errors import ConfigurationError, RunGoesOnError, UsageError

RETRY_TAG = "retry-of:"
"""How the tag of a flow run begins that was started again for the failed files of another."""
SECONDS = 10.0
_OVER = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED", "CANCELLING"]


@dataclass(frozen=True)
class Retried:
    """A flow run that was started again for some files.

    Attributes:
        flow_run_id, name: the new flow run; None where nothing was started.
        deployment: the deployment's id.
        parameter: the parameter that takes the items.
        items: what it was given, as text with secrets masked.
        url: the new flow run in Prefect's UI.
    """

    flow_run_id: str | None
    name: str | None
    deployment: str
    parameter: str
    items: tuple[str, ...]
    url: str | None = None


def retry_of(tags: Sequence[str]) -> str | None:
    """The run for whose failed files a flow run with these tags was started again."""
    return next((tag.removeprefix(RETRY_TAG) for tag in tags if tag.startswith(RETRY_TAG)), None)


def retry(
    run: RunMetadata,
    rows: Sequence[FileProcessingLog],
    failed: Sequence[FileProcessingLog],
    *,
    deployment: str | None = None,
    dry_run: bool = False,
) -> Retried:
    """Start the run's deployment again, with its parameters, but only its failed files.

    Args:
        run: the run.
        rows: its files.
        failed: those of them that failed.
        deployment: another deployment than the run's own, by id or `flow/name`.
        dry_run: only say what would be started; it refuses what the start itself would.

    Raises:
        UsageError: the flow does not say which parameter takes its files, the run has no deployment, or a file's item
            can't be told for sure, as the history has its name alone.
        RunGoesOnError: Prefect says that the run goes on, or it is being retried already.
        ConfigurationError: Prefect's API can't be reached, or refuses.
    """
    parameter = run.items_parameter
    if parameter is None:
        raise UsageError(
            f"the flow {run.flow_name or run.command} does not say which parameter takes its files; "
            'write @track(items="PARAMETER") above its @flow'
        )
    if not (deployment or run.deployment_id):
        raise UsageError(f"run {run.run_id} was not started from a deployment; name one: --deployment FLOW/NAME")
    try:
        with api.client() as prefect:
            found = _deployment(prefect, deployment or str(run.deployment_id))
            _refuse_another_flow(run, found, deployment)
            paths = tuple(dict.fromkeys(row.file_path for row in failed))
            first = _flow_run(prefect, run)
            _refuse_unfinished(run, first)
            parameters = _parameters(first, found)
            way_out = by_hand(run, found, parameter, f"{RETRY_TAG}{run.run_id}")
            value, shown = value_of(
                paths, parameters, parameter, found, files=_named(rows), way_out=way_out, run_id=run.run_id
            )
            given = {**parameters, parameter: value}
            refuse_invalid(given, found, way_out)
            _refuse_second(prefect, run)
            if dry_run:
                return Retried(None, None, str(found["id"]), parameter, shown)
            return _start(prefect, run, found, parameter, shown, given, first)
    except HTTPError as exc:
        raise ConfigurationError(f"Prefect's API can't be asked: {type(exc).__name__}: {exc}") from exc


def _named(rows: Sequence[FileProcessingLog]) -> set[str]:
    """The files whose names the flow's tasks gave; others have their task run's, or their item's."""
    return {row.file_path for row in rows if row.file_type != "task" and not is_unbegun(row.__dict__)}


def _deployment(prefect: Requests, name: str) -> dict[str, Any]:
    path = f"/deployments/name/{name}" if "/" in name else f"/deployments/{name}"
    answer = api.answer(prefect, "GET", path, timeout=SECONDS)
    if answer.status_code in (404, 422):
        raise UsageError(f"Prefect knows no deployment {name}; name another: --deployment FLOW/NAME")
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def _refuse_another_flow(run: RunMetadata, found: dict[str, Any], named: str | None) -> None:
    """A deployment of another flow would take the files for something else; one of the same name will do.

    Raises:
        UsageError: it is one.
    """
    if named is None or run.flow_id in (None, found.get("flow_id")):
        return
    if named.partition("/")[0] != run.flow_name:
        raise UsageError(f"deployment {named} is of another flow than {run.flow_name}; name one of that flow's")


def _flow_run(prefect: Requests, run: RunMetadata) -> dict[str, Any] | None:
    """The run as Prefect has it; None where it was deleted."""
    answer = api.answer(prefect, "GET", f"/flow_runs/{run.run_id}", timeout=SECONDS)
    if answer.status_code == 404:
        return None
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def _refuse_unfinished(run: RunMetadata, first: dict[str, Any] | None) -> None:
    """Two runs of the same files at a time undo each other: one that Prefect tries again itself is waited for.

    Of a run that a recovery has found dead Prefect may say for ever that it runs; in a later attempt it does.
    """
    kind = (first or {}).get("state_type")
    if first is None or kind is None or kind in _OVER:
        return
    was_dead = kind == "RUNNING" and (run.reason or "").startswith(RECOVERED)
    if was_dead and (first.get("run_count") or 0) <= run.run_count:
        return
    state = first.get("state_name") or kind
    raise RunGoesOnError(f"run {run.run_id} goes on still: Prefect says {state}; retry it when it has ended")


def _parameters(first: dict[str, Any] | None, deployment: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the first run as Prefect holds them: in the history secrets are masked."""
    if first is None:  # it was deleted: the deployment's own must do
        return dict(deployment.get("parameters") or {})
    known = properties(deployment)
    return {k: v for k, v in (first.get("parameters") or {}).items() if not known or k in known}


def _refuse_second(prefect: Requests, run: RunMetadata) -> None:
    body = {
        "flow_runs": {"tags": {"all_": [f"{RETRY_TAG}{run.run_id}"]}, "state": {"type": {"not_any_": _OVER}}},
        "limit": 1,
    }
    answer = api.answer(prefect, "POST", "/flow_runs/filter", json=body, timeout=SECONDS)
    answer.raise_for_status()
    for other in answer.json():
        raise RunGoesOnError(
            f"the failed files of run {run.run_id} are being retried already, by {other['name']} ({other['id']})"
        )


def _start(
    prefect: Requests,
    run: RunMetadata,
    deployment: dict[str, Any],
    parameter: str,
    shown: tuple[str, ...],
    given: dict[str, Any],
    first: dict[str, Any] | None,
) -> Retried:
    """Start it, where and how the first run was started: its own job variables may say where its history is."""
    variables = (first or {}).get("job_variables")
    known = run.tags if first is None else first.get("tags") or ()  # in the history secrets are masked
    own = [tag for tag in known if not tag.startswith(RETRY_TAG)]
    tags = [*dict.fromkeys([*(deployment.get("tags") or ()), *own]), f"{RETRY_TAG}{run.run_id}"]
    state = {"type": "SCHEDULED", "message": "Retry of what failed"}
    body = {"parameters": given, "tags": tags, "state": state, "job_variables": variables or None}
    answer = api.answer(prefect, "POST", f"/deployments/{deployment['id']}/create_flow_run", json=body, timeout=SECONDS)
    if answer.is_client_error:
        raise ConfigurationError(f"Prefect refused to start it again: {answer.text[:500]}")
    answer.raise_for_status()
    made = answer.json()
    ui = get_current_settings().ui_url
    url = f"{str(ui).rstrip('/')}/runs/flow-run/{made['id']}" if ui else None
    return Retried(made["id"], made["name"], str(deployment["id"]), parameter, shown, url)
