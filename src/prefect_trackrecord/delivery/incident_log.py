"""What is known of a flow's incidents between looks: one document per flow, changed by compare-and-swap only.

It lies at `deliveries/incidents/<flow>.json`. That nobody gets a message twice is the ledger's work; here stands
which incident is open, which one has been told, and until when a flow is silenced.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prefect_trackrecord.documents.layout import DELIVERIES, safe_part
from prefect_trackrecord.documents.models import Moment, RunMetadata, RunStatus
from prefect_trackrecord.errors import ConflictError, StoreError
from prefect_trackrecord.report.incidents import Course, Incident, Rules, sign_of, step
from prefect_trackrecord.store.base import Store

FOLDER = f"{DELIVERIES}/incidents"
ALL = "*"
"""The flow that stands for all of them, for silence."""
KEEP = 50
LATELY = timedelta(days=1)
"""Documents may come late, from a spool: an incident that closed so long before the last look is still news."""
_MAX_RACES = 50


class Noted(BaseModel):
    """An incident, and what was told of it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    incident: Incident
    alerted_at: Moment | None = None
    recovered_at: Moment | None = None


class FlowState(BaseModel):
    """The document of a flow.

    Attributes:
        writer: names each writing, so that two equal ones are told apart.
        silenced_until: nothing is told before.
        seen: the ends of runs that are in `course` already; a hook may be called twice.
        course: how the flow's runs stand.
        noted: its incidents, the newest last.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int = 1
    flow: str
    writer: str = ""
    silenced_until: Moment | None = None
    seen: tuple[str, ...] = ()
    course: Course = Field(default_factory=Course)
    noted: tuple[Noted, ...] = ()

    def silenced(self, now: datetime) -> bool:
        """Whether nothing is told now."""
        return self.silenced_until is not None and now < self.silenced_until


def state_key(flow: str) -> str:
    """Where a flow's document lies."""
    return f"{FOLDER}/{'all-flows' if flow == ALL else 'of-' + safe_part(flow)}.json"


def read_state(store: Store, flow: str) -> tuple[FlowState, str | None]:
    """A flow's document and its etag; a new one where there is none, or where it can't be read.

    Raises:
        StoreError: the store can't be read now.
    """
    blob = store.get(state_key(flow))
    if blob is None:
        return FlowState(flow=flow), None
    try:
        return FlowState.model_validate_json(blob.data), blob.etag
    except ValidationError:
        # The ledger still knows who was told what; an incident that lasts is noted anew.
        return FlowState(flow=flow), blob.etag


def change(store: Store, flow: str, edit: Callable[[FlowState], FlowState]) -> FlowState:
    """Change a flow's document by `edit`, which is called again where somebody else was faster.

    Raises:
        StoreError: it can't be read or written now.
    """
    for _ in range(_MAX_RACES):
        state, etag = read_state(store, flow)
        edited = edit(state)
        if edited == state:
            return state
        body = edited.model_copy(update={"writer": uuid.uuid4().hex}).model_dump_json(indent=1).encode()
        try:
            store.replace(state_key(flow), body, etag)
        except ConflictError:
            continue
        return edited
    raise StoreError(f"{state_key(flow)} changed {_MAX_RACES} times while it was to be changed")


def after_run(state: FlowState, run: RunMetadata, rules: Rules) -> FlowState:
    """The document after one more run ended; as it is for a run that is in it already."""
    mark = f"{run.run_id}:{run.status.value}:{run.completed_at}"
    if run.status is RunStatus.RUNNING or mark in state.seen:
        return state
    if state.course == Course() and not rules.is_bad(run):
        return state  # nothing begins and nothing ends: no need to write with every good run
    course, closed = step(state.course, sign_of(run, rules), state.flow, "failed", rules)
    incident = closed or course.incident
    noted = _put(state.noted, incident) if incident is not None else state.noted
    return state.model_copy(update={"seen": (*state.seen, mark)[-KEEP:], "course": _short(course), "noted": noted})


def after_look(
    state: FlowState,
    found: Sequence[Incident],
    now: datetime,
    news_from: datetime | None,
    known_runs: frozenset[str] = frozenset(),
) -> FlowState:
    """The document after a look at the flow's whole history.

    An incident that is known keeps its key, though the history may no longer reach back to its first bad run. One
    that closed long ago, or before anybody looked for the first time, is no news. A known one that the history does
    not show any more (a stuck run that was aborted) ends without a word.

    Args:
        state: the document.
        found: the incidents in the history.
        now: the present.
        news_from: an incident that closed before is no news; None where nobody has looked before.
        known_runs: ids of the history's runs; what is about other runs is left alone.
    """
    noted = list(state.noted)
    for incident in found:
        at = next((n for n, old in enumerate(noted) if _same(old.incident, incident)), None)
        if at is not None:
            old = noted[at].incident
            bad = tuple(dict.fromkeys((*old.bad, *incident.bad)))[-KEEP:]
            merged = replace(incident, key=old.key, opened_at=min(old.opened_at, incident.opened_at), bad=bad)
            noted[at] = noted[at].model_copy(update={"incident": merged})
        elif incident.is_open or (news_from is not None and (incident.closed_at or now) > news_from):
            noted.append(Noted(incident=_short_one(incident)))
    for n, old_noted in enumerate(noted):
        known = old_noted.incident
        gone = known.is_open and not any(_same(known, i) for i in found)
        if gone and (known.family != "failed" or known_runs.issuperset(known.bad)):
            ended = replace(known, closed_at=now)
            noted[n] = old_noted.model_copy(update={"incident": ended, "recovered_at": now})
    open_one = next((n.incident for n in noted if n.incident.family == "failed" and n.incident.is_open), None)
    course = Course(incident=open_one, good=state.course.good if open_one else 0) if open_one else state.course
    if open_one is None and state.course.incident is not None:
        course = Course()
    return state.model_copy(update={"noted": tuple(noted[-KEEP:]), "course": course})


def due(state: FlowState) -> list[tuple[Noted, bool]]:
    """What is to be told: incidents, each with whether it is its recovery that is told."""
    found = []
    for noted in state.noted:
        if noted.alerted_at is None and noted.recovered_at is None:
            found.append((noted, False))
        elif not noted.incident.is_open and noted.recovered_at is None:
            found.append((noted, True))
    return found


def hushed(state: FlowState, now: datetime) -> FlowState:
    """The document of a flow that is silenced: what began and ended in the silence is not told after it either."""
    over = {one.incident.key for one, recovery in due(state) if not recovery and not one.incident.is_open}
    noted = (n.model_copy(update={"recovered_at": now}) if n.incident.key in over else n for n in state.noted)
    return state.model_copy(update={"noted": tuple(noted)})


def told(state: FlowState, key: str, now: datetime, *, recovery: bool) -> FlowState:
    """The document once a message was handed over. An incident that was over by then needs no second one."""
    noted = []
    for one in state.noted:
        update: dict[str, datetime] = {}
        if one.incident.key == key and recovery:
            update = {"recovered_at": now}
        elif one.incident.key == key:
            update = {"alerted_at": now} if one.incident.is_open else {"alerted_at": now, "recovered_at": now}
        noted.append(one.model_copy(update=update) if update else one)
    return state.model_copy(update={"noted": tuple(noted)})


def _same(a: Incident, b: Incident) -> bool:
    return a.family == b.family and (a.key == b.key or not set(a.bad).isdisjoint(b.bad))


def _put(noted: tuple[Noted, ...], incident: Incident) -> tuple[Noted, ...]:
    short = _short_one(incident)
    if any(n.incident.key == incident.key for n in noted):
        return tuple(n.model_copy(update={"incident": short}) if n.incident.key == incident.key else n for n in noted)
    return (*noted, Noted(incident=short))[-KEEP:]


def _short(course: Course) -> Course:
    return replace(course, bad=course.bad[-KEEP:], incident=_short_one(course.incident) if course.incident else None)


def _short_one(incident: Incident) -> Incident:
    """The newest bad runs only: a flow that fails for a year must not make a document of a megabyte."""
    return replace(incident, bad=incident.bad[-KEEP:])
