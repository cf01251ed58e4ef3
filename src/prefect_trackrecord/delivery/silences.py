"""Silence: nothing is told about a flow, or about any, until a moment; kept with the flow's incidents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from prefect_trackrecord.delivery.incident_log import FOLDER, FlowState, change
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.store.base import Blob


@dataclass(frozen=True)
class Silence:
    """One that lasts; `flow` is `*` for all flows."""

    flow: str
    until: datetime


def silence(archive: Archive, flow: str, until: datetime | None) -> None:
    """Tell nothing about a flow (`*`: about any) before `until`; None ends the silence.

    What happens meanwhile is noted, and what still lasts when it is over is told by `watch`.

    Args:
        archive: where incidents are noted.
        flow: as the report names it: the command or flow, with its subcommand.
        until: its end.

    Raises:
        StoreError: it can't be noted.
    """
    change(archive.store, flow, lambda s: s.model_copy(update={"silenced_until": until}))


def silences(archive: Archive, now: datetime) -> list[Silence]:
    """All silences that last, the one that ends first first.

    Raises:
        StoreError: the store can't be listed.
    """
    found = []
    keys = [entry.key for entry in archive.store.list(FOLDER)]
    for _, blob in archive.store.get_many(keys):
        if not isinstance(blob, Blob):
            continue
        try:
            state = FlowState.model_validate_json(blob.data)
        except ValidationError:
            continue  # not one of a flow
        if state.silenced_until is not None and state.silenced(now):
            found.append(Silence(state.flow, state.silenced_until))
    return sorted(found, key=lambda s: (s.until, s.flow))
