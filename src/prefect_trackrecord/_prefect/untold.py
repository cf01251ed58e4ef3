"""Runs at whose end Prefect was gone or busy: `recover` tells it later how they ended, and asks what it knows."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from prefect.client.schemas import FlowRun

from prefect_trackrecord._prefect import api, events_out, showing
from prefect_trackrecord._prefect import settings as prefect_settings
from prefect_trackrecord._prefect.asking import is_uuid
from prefect_trackrecord._prefect.bounded import SECONDS, Requests
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.attempts import RECOVERED
from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.documents.seal import utc_now
from prefect_trackrecord.errors import TrackRecordError
from prefect_trackrecord.events import RunUpdated
from prefect_trackrecord.settings import Settings
from prefect_trackrecord.tracking.storage import TrackingStorage

logger = logging.getLogger("prefect_trackrecord")


def note(settings: Settings, url: str, run_id: str, *, shown: bool = False) -> None:
    """Note that Prefect is still to be told of a run, or where it is `shown`, only to be asked. Never raises."""
    path = _folder(settings) / f"{layout.safe_part(run_id)}.json"
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"run_id": run_id, "storage": url, "shown": shown}), encoding="utf-8")


def tell(storage: TrackingStorage, recovered: Iterable[RunMetadata] = ()) -> int:
    """Tell Prefect how runs ended that could not be told, or that somebody else has closed just now. Never raises.

    Args:
        storage: the history whose runs they are.
        recovered: the runs that were closed just now.

    Returns:
        Of how many runs it was told.
    """
    told = 0
    settings = prefect_settings.current()
    closed = {run.run_id: run for run in recovered if run.status is not RunStatus.RUNNING and is_uuid(run.run_id)}
    waiting = _waiting(settings, storage.url)
    if not closed and not waiting:
        return 0
    place = showing.Place(storage.archive, storage.url, settings.base_url, settings.ui_url)
    try:
        with api.client() as prefect:
            for run_id in [*closed, *(one for one in waiting if one not in closed)]:
                run = closed.get(run_id) or _named(prefect, storage, _run(storage, run_id))
                flow_run = _flow_run(prefect, run_id) if run is not None else None
                if run is None or flow_run is None or (run_id not in closed and waiting[run_id].shown):
                    _forget(waiting.get(run_id))
                    continue
                events_out.know(flow_run)
                showing.tell(prefect, place, run, {}, was_live=True)
                if (run.reason or "").startswith(RECOVERED):
                    events_out.run_recovered(run, storage.url, settings)
                else:
                    events_out.run_ended(run, storage.url, settings)
                _forget(waiting.get(run_id))
                told += 1
    except Exception as exc:  # noqa: BLE001 - the API may be gone still
        logger.warning("Prefect could not be told of all recovered runs: %s: %s", type(exc).__name__, exc)
    return told


def _folder(settings: Settings) -> Path:
    return settings.spool / "untold"


class _Note(NamedTuple):
    """A note of a run, and whether Prefect knows how it ended, and was only not asked about it."""

    path: Path
    shown: bool


def _waiting(settings: Settings, url: str) -> dict[str, _Note]:
    """The runs of a store that Prefect is still to be told of."""
    found = {}
    for path in sorted(_folder(settings).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            body = json.loads(path.read_bytes())
            if body["storage"] == url:
                found[str(body["run_id"])] = _Note(path, bool(body.get("shown")))
    return found


def _named(prefect: Requests, storage: TrackingStorage, run: RunMetadata | None) -> RunMetadata | None:
    """A run with its deployment's name, where nobody could be asked for that."""
    if run is None or run.deployment_id is None or run.deployment_name is not None:
        return run
    name = api.name_besides(prefect, run.deployment_id, SECONDS)
    if name is None:
        return run
    storage.archive.writer(run.run_id).append(RunUpdated(at=utc_now(), run={"deployment_name": name}))
    return storage.archive.seal(run.run_id)


def _run(storage: TrackingStorage, run_id: str) -> RunMetadata | None:
    try:
        run = storage.archive.run(run_id)
    except TrackRecordError:
        return None
    return None if run.status is RunStatus.RUNNING else run


def _flow_run(prefect: Requests, run_id: str) -> FlowRun | None:
    answer = api.answer(prefect, "GET", f"/flow_runs/{run_id}", timeout=SECONDS)
    if answer.status_code == 404:
        return None
    answer.raise_for_status()
    return FlowRun.model_validate(answer.json())


def _forget(note_: _Note | None) -> None:
    if note_ is not None:
        with contextlib.suppress(OSError):
            note_.path.unlink()
