"""`track(record=...)`: the records that a tracked task works on follow its states."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prefect.client.schemas.objects import State

from prefect_trackrecord.errors import ConfigurationError
from prefect_trackrecord.tracking import values

if TYPE_CHECKING:
    from prefect_trackrecord._prefect.options import TaskOptions
    from prefect_trackrecord._prefect.runs import LiveRun

ATTEMPT = "attempt failed"
"""What becomes of a try that another one follows: told in a trace; the status waits for that other one."""


def checked_statuses(given: Any) -> Mapping[str, Any] | None:
    """The statuses that `track(record_statuses=...)` gives instead of the usual ones, checked at the definition.

    Raises:
        ConfigurationError: it is no mapping, or one of its keys is no state.
    """
    if given is None:
        return None
    from prefect_trackrecord.record.following import STATES

    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"track(record_statuses={given!r}): give a mapping from states to statuses, such as "
            '{"completed": Status.PROCESSED, "running": None}'
        )
    for state in given:
        if state not in STATES:
            near = difflib.get_close_matches(str(state), STATES, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigurationError(
                f"track(record_statuses=...): there is no state {state!r}; {hint}The states are: {', '.join(STATES)}"
            )
    return dict(given)


def follow(
    run: LiveRun,
    options: TaskOptions,
    task: str,
    arguments: Mapping[str, Any],
    state: str,
    *,
    attempt: int | None = None,
    reason: str = "",
    error: BaseException | str | None = None,
) -> None:
    """Tell a task's records (one, or a list of them) into which state the work on them came. Never raises.

    Args:
        run: whose task it is.
        options: the task's; without `record` nothing happens.
        task: its name.
        arguments: of the call, by parameter.
        state: one of `record.following.STATES`, or `ATTEMPT`.
        attempt, reason, error: see `record.following.follow_state`.
    """
    if options.record is None:
        return
    try:
        from prefect_trackrecord.record.following import follow_state

        found = values.value(options.record, arguments)
        statuses = {**(options.record_statuses or {}), ATTEMPT: None}
        records = found if isinstance(found, list | tuple | set | frozenset) else [found]
        told = [
            follow_state(one, state, task=task, attempt=attempt, reason=reason, error=error, mapping=statuses)
            for one in records
        ]
        if found is not None and not all(told):
            strange = next(one for one, known in zip(records, told, strict=True) if not known)
            run.trouble(
                f"record= of task {task} gave no record",
                TypeError(f"it is a {type(strange).__name__}, and no ThoughtfulRecord"),
            )
    except Exception as exc:  # noqa: BLE001 - tracking never breaks the task
        run.trouble(f"the record of task {task} could not follow it", exc)


def state_of(state: State[Any] | None) -> str:
    """A task run's last state, by the names of `record.following.STATES`; None is for one that was torn away."""
    if state is None or state.is_crashed():
        return "crashed"
    named = {"TimedOut": "timed out", "Cached": "cached", "Skipped": "skipped"}
    if state.name in named:
        return named[state.name]
    if state.is_cancelled() or state.is_cancelling():
        return "cancelled"
    return "completed" if state.is_completed() else "failed"
