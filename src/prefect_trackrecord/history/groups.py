"""Error groups over runs, and which of them are new, recurring, fixed, or just not seen again.

A group is what shares an error fingerprint. Its parts come from each run's roll-up alone, and add up. A run
that failed as a whole, by an error that none of its files shows, makes a group of kind `run`.

**The rule.** It goes by flow (command and subcommand). A run is *telling* if it ended and could have shown
the error: it ended `success` or `partial_success`, or `failed` with at least one file in it. `aborted` runs
and runs that still run tell nothing, because they may not have come as far as the error.

* The *newest* run of a flow is its newest telling run in the window.
* The *baseline* of a flow is the previous equal period, if the flow ran in it; else the window's runs before
  the newest one. So the first report about a flow can already tell new from recurring.
* A group *still occurs* if it is in the newest run of one of its flows, or in any run after that one.
* **recurring**: still occurs, and is in the baseline. **new**: still occurs, and is not.
* A group that no longer occurs was seen before and is gone from the newest run. It is **fixed** if there is
  proof in every of its flows that ran: one of its files came through after the last of them failed, and none of
  them failed in the newest run by another error (see `history.items`), or, for a group of kind `run`, that run
  itself ended well.
  Without proof, as when the newest run had other files, it is **gone**: not seen again.
* A group of the previous period whose flows did not run in the window at all is not reported: nobody knows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from prefect_trackrecord.documents.fingerprint import error_fingerprint, normalise_message
from prefect_trackrecord.documents.models import ErrorGroup, RunMetadata, RunStatus
from prefect_trackrecord.history.numbers import file_counts, flow_key


class GroupState(str, Enum):
    """How a group stands."""

    NEW = "new"
    RECURRING = "recurring"
    FIXED = "fixed"
    GONE = "gone"


@dataclass(frozen=True)
class Group:
    """One error over any number of runs; `a + b` of the same fingerprint is their sum.

    Attributes:
        kind: `file`, or `run` for a run that failed as a whole.
        count: failed files (kind `run`: failed runs).
        runs: run ids with their starts, oldest first.
        flows: the flows it occurred in.
        example_path, example_message: of the newest run.
    """

    fingerprint: str
    kind: str
    error_type: str | None
    message: str | None
    count: int
    runs: tuple[tuple[datetime, str], ...]
    flows: frozenset[str]
    first_seen: datetime
    last_seen: datetime
    example_path: str | None = None
    example_message: str | None = None

    def __add__(self, other: Group) -> Group:
        return Group.total([self, other])

    @classmethod
    def total(cls, parts: Sequence[Group]) -> Group:
        """The sum of parts of one fingerprint: what adding one after the other gives, in one go."""
        if len(parts) == 1:
            return parts[0]
        last_seen = max(part.last_seen for part in parts)
        newest = next(part for part in reversed(parts) if part.last_seen == last_seen)
        return replace(
            newest,
            count=sum(part.count for part in parts),
            runs=tuple(sorted({run for part in parts for run in part.runs})),
            flows=frozenset[str]().union(*(part.flows for part in parts)),
            first_seen=min(part.first_seen for part in parts),
            last_seen=last_seen,
        )


@dataclass(frozen=True)
class GroupChange:
    """A group of the window (or, where it ended, of the period before it) and how it stands.

    Attributes:
        group: its numbers in the window; those of the previous period where it is in that one only.
        state: see the module's rule.
        previous: failed files (runs) of the group in the previous period.
        in_window: False where the group occurred in the previous period only.
        first_seen: in either period.
    """

    group: Group
    state: GroupState
    previous: int
    in_window: bool
    first_seen: datetime


def groups_of(run: RunMetadata) -> list[Group]:
    """The groups of one run, from its roll-up and its own error."""
    parts = [_file_group(run, part) for part in (run.rollup.errors if run.rollup else ())]
    own = _run_group(run)
    shown = {(p.error_type, p.message) for p in parts}
    if own is not None and (own.error_type, own.message) not in shown:
        parts.append(own)
    return parts


def sum_groups(runs: Iterable[RunMetadata]) -> dict[str, Group]:
    """All groups of `runs` by fingerprint."""
    parts: dict[str, list[Group]] = {}
    for run in runs:
        if run.status is RunStatus.FAILED or (run.rollup is not None and run.rollup.errors):  # else it has none
            for group in groups_of(run):
                parts.setdefault(group.fingerprint, []).append(group)
    return {key: Group.total(found) for key, found in parts.items()}


def ungrouped(runs: Iterable[RunMetadata]) -> int:
    """Failed files that no group counts: of runs with more groups than a roll-up keeps, or with no rows."""
    left = 0
    for run in runs:
        grouped = sum(part.count for part in run.rollup.errors) if run.rollup else 0
        left += max(0, file_counts(run)["failed"] - grouped)
    return left


def is_telling(run: RunMetadata) -> bool:
    """Whether the absence of an error in this run says anything."""
    if run.status in {RunStatus.SUCCESS, RunStatus.PARTIAL_SUCCESS}:
        return True
    return run.status is RunStatus.FAILED and file_counts(run).total > 0


def newest_by_flow(runs: Iterable[RunMetadata]) -> dict[str, RunMetadata]:
    """The newest telling run of each flow."""
    newest: dict[str, RunMetadata] = {}
    for run in runs:
        if is_telling(run):
            known = newest.get(flow_key(run))
            if known is None or run.started_at >= known.started_at:
                newest[flow_key(run)] = run
    return newest


def compare(
    runs: Sequence[RunMetadata],
    previous: Sequence[RunMetadata],
    came_through: Collection[tuple[str, str]] = (),
) -> list[GroupChange]:
    """How each group of `runs`, and of `previous`, stands.

    Args:
        runs: the runs of the window.
        previous: the runs of the previous equal period.
        came_through: (flow, fingerprint) of errors whose files came through since
            (`ItemChanges.came_through`).
    """
    now, before = sum_groups(runs), sum_groups(previous)
    frame = _Frame(runs, previous, came_through)
    changes = []
    for key in {**now, **before}:
        both = [g for g in (now.get(key), before.get(key)) if g is not None]
        whole = Group.total(both)
        state = frame.state(whole)
        if state is not None:
            count_before = before[key].count if key in before else 0
            shown = now.get(key) or before[key]
            changes.append(GroupChange(shown, state, count_before, key in now, whole.first_seen))
    return changes


class _Frame:
    """What decides a group's state: the newest run and the baseline of each flow."""

    def __init__(
        self,
        runs: Sequence[RunMetadata],
        previous: Sequence[RunMetadata],
        came_through: Collection[tuple[str, str]],
    ) -> None:
        self._newest = newest_by_flow(runs)
        self._came_through = frozenset(came_through)
        self._in_window = {flow_key(run) for run in runs}
        self._flow_of = {run.run_id: flow_key(run) for run in (*previous, *runs)}
        self._window_ids = {run.run_id for run in runs}
        ran_before = {flow_key(run) for run in previous}
        self._baseline = {run.run_id for run in previous}
        for run in runs:
            newest = self._newest.get(flow_key(run))
            older = newest is not None and run.started_at < newest.started_at
            if older and flow_key(run) not in ran_before:
                self._baseline.add(run.run_id)

    def state(self, group: Group) -> GroupState | None:
        """The state of a group that holds all its occurrences, of both periods."""
        flows = group.flows & self._in_window
        if not flows:
            return None
        if any(self._still(group, flow) for flow in flows):
            seen_before = any(run_id in self._baseline for _, run_id in group.runs)
            return GroupState.RECURRING if seen_before else GroupState.NEW
        proven = all(self._proven(group, flow) for flow in flows)
        return GroupState.FIXED if proven else GroupState.GONE

    def _still(self, group: Group, flow: str) -> bool:
        newest = self._newest.get(flow)
        return any(
            self._flow_of[run_id] == flow and run_id in self._window_ids and (newest is None or at >= newest.started_at)
            for at, run_id in group.runs
        )

    def _proven(self, group: Group, flow: str) -> bool:
        if group.kind == "run":
            newest = self._newest.get(flow)
            return newest is not None and newest.status is not RunStatus.FAILED
        return (flow, group.fingerprint) in self._came_through


def _file_group(run: RunMetadata, part: ErrorGroup) -> Group:
    return Group(
        fingerprint=part.fingerprint or error_fingerprint(part.error_type, part.message),
        kind="file",
        error_type=part.error_type,
        message=part.message,
        count=part.count,
        runs=((run.started_at, run.run_id),),
        flows=frozenset({flow_key(run)}),
        first_seen=part.first_seen or run.started_at,
        last_seen=part.last_seen or run.completed_at or run.started_at,
        example_path=part.example_path,
        example_message=part.example_message or part.message,
    )


def _run_group(run: RunMetadata) -> Group | None:
    """The group of a run's own error. An abort is no error of the flow: it is told among the unfinished."""
    if run.status is not RunStatus.FAILED or not (run.error_message or run.error_type):
        return None
    seen = run.completed_at or run.started_at
    return Group(
        fingerprint=error_fingerprint(run.error_type, run.error_message, f"run of {flow_key(run)}"),
        kind="run",
        error_type=run.error_type,
        message=normalise_message(run.error_message),
        count=1,
        runs=((run.started_at, run.run_id),),
        flows=frozenset({flow_key(run)}),
        first_seen=seen,
        last_seen=seen,
        example_message=run.error_message,
    )
