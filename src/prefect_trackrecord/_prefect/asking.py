"""Asks Prefect's API what became of flow runs, for `recover`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from prefect_trackrecord import events as ev
from prefect_trackrecord._prefect import api
from prefect_trackrecord._prefect.bounded import Requests
from prefect_trackrecord.documents.attempts import RECOVERED
from prefect_trackrecord.documents.models import RunStatus
from prefect_trackrecord.tracking.recovery import Verdict

logger = logging.getLogger("prefect_trackrecord")
PAGE = 100
SECONDS = 10.0
_STATUS = {
    "COMPLETED": None,  # by its files
    "FAILED": RunStatus.FAILED.value,
    "CRASHED": RunStatus.ABORTED.value,
    "CANCELLED": RunStatus.ABORTED.value,
}
_WAITS = {"SCHEDULED", "PENDING", "PAUSED"}  # a script's run that is CANCELLING may stay so after its death
_LATE = timedelta(days=1)
"""How long after its time a worker may still come for a run that is scheduled."""


@dataclass(frozen=True)
class Answers:
    """What the API said.

    Attributes:
        verdicts: by run id; `running` for a run that it says is running, which only its process can tell; None for
            one that it does not know (deleted, or of another API).
        known: the run ids that it knows.
        error: why it could not be asked, or None.
    """

    verdicts: dict[str, Verdict]
    known: frozenset[str]
    error: str | None = None


def ask(run_ids: Iterable[str]) -> Answers:
    """What became of each of these runs; one request for each hundred."""
    ids = [run_id for run_id in run_ids if is_uuid(run_id)]
    rows: dict[str, dict[str, Any]] = {}
    if ids:
        try:
            with api.client() as prefect:
                for start in range(0, len(ids), PAGE):
                    rows.update(_read(prefect, ids[start : start + PAGE]))
        except Exception as exc:  # noqa: BLE001 - whatever the client raises, the API could not be asked
            return Answers({}, frozenset(rows), f"{type(exc).__name__}: {exc}")
    return Answers({run_id: verdict(rows.get(run_id)) for run_id in ids}, frozenset(rows))


class Asker:
    """One that `recover(ask=...)` takes; asks for a hundred runs at a time, where it was told which are to come.

    Attributes:
        unreachable: whether the API could not be asked; it says so once, and then asks no more.
    """

    def __init__(self) -> None:
        self.unreachable = False
        self._due: list[str] = []
        self._said: dict[str, Verdict] = {}

    def expect(self, run_ids: Sequence[str]) -> None:
        """These may be asked for, in this order."""
        self._due = [run_id for run_id in run_ids if is_uuid(run_id)]

    def __call__(self, run_id: str) -> Verdict:
        """What became of a run."""
        if run_id in self._said:
            return self._said.pop(run_id)
        if self.unreachable:
            return None
        here = self._due.index(run_id) if run_id in self._due else None
        answers = ask([run_id] if here is None else self._due[here : here + PAGE])
        if answers.error is not None:
            self.lost(f"what became of runs ({answers.error}); their processes alone decide")
        self._said = dict(answers.verdicts)
        return self._said.pop(run_id, None)

    def lost(self, what: str) -> None:
        """The API can't be asked; say so once."""
        if not self.unreachable:
            self.unreachable = True
            logger.warning("Prefect can't be asked %s", what)


def verdict(row: dict[str, Any] | None) -> Verdict:
    """What a flow run of the API says: how it ended, that it waits, that it runs, or None for one that is unknown."""
    state = (row or {}).get("state")
    if row is None or not isinstance(state, dict):
        return None
    kind = state.get("type")
    if kind in _WAITS and _will_go_on(row, state):
        return "alive"
    if kind not in _STATUS:
        return "running"
    status = _STATUS[kind]
    message = state.get("message")
    return ev.RunEnded(
        at=moment(row.get("end_time") or state.get("timestamp")),
        status=status,
        state=state.get("name"),
        error_message=message if status is not None else None,
        error_type=state.get("name") if status == RunStatus.FAILED.value else None,
        reason=f"{RECOVERED}: Prefect says that the flow run ended {state.get('name')}",
        run_count=row.get("run_count") or None,
    )


def _will_go_on(row: dict[str, Any], state: dict[str, Any]) -> bool:
    """Whether a run that waits needs no process: somebody may resume it, or a worker comes for it.

    Where a script waits by itself (for its flow's next try, in a pause), it goes on only as long as it lives.
    """
    if state.get("name") == "Suspended":
        return True
    if row.get("deployment_id") is None:
        return False
    due = (state.get("state_details") or {}).get("scheduled_time") or state.get("timestamp")
    return state.get("type") == "PAUSED" or datetime.now(timezone.utc) - moment(due) < _LATE


def _read(prefect: Requests, ids: list[str]) -> dict[str, dict[str, Any]]:
    body = {"flow_runs": {"id": {"any_": ids}}, "limit": PAGE}
    answer = prefect.request("POST", "/flow_runs/filter", json=body, timeout=SECONDS)
    answer.raise_for_status()
    return {row["id"]: row for row in answer.json()}


def moment(text: Any) -> datetime:
    """A time as the API writes it; now where it is none."""
    if isinstance(text, str):
        try:
            return datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            pass
    return datetime.now(timezone.utc)


def is_uuid(text: str) -> bool:
    """Whether it can be the id of a flow run of Prefect's."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True
