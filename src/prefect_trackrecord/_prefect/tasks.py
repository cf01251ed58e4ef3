"""Captures tracked tasks: each call is a file, each attempt is kept, and the last state decides.

The wrapped function sees arguments, attempts, errors and times; the hooks see the state that Prefect made of it. Both
run in one process, whichever the task runner is.

Over 300 lines: wrapper and hooks tell one story of a call, in parts that mean nothing alone.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from prefect import Task
from prefect.client.schemas import TaskRun
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import Abort, Pause
from prefect.utilities.collections import visit_collection
from prefect.utilities.engine import resolve_to_final_result

from prefect_trackrecord import events as ev
from prefect_trackrecord._prefect import events_out, finishing, following, homes, live, outcome, rolled_back, runs
from prefect_trackrecord._prefect.flow_fields import flow_fields
from prefect_trackrecord._prefect.options import RETURN, TaskOptions
from prefect_trackrecord._prefect.quiet import HOOK_NAME
from prefect_trackrecord._prefect.runs import LiveRun, TaskEnd
from prefect_trackrecord._prefect.wrapping import OPTIONS
from prefect_trackrecord.documents.seal import utc_now as now
from prefect_trackrecord.journal.context import current_run, run_set_here
from prefect_trackrecord.journal.naming import mask_name
from prefect_trackrecord.journal.plain import mask_text
from prefect_trackrecord.tracking import values

logger = logging.getLogger("prefect_trackrecord")
_calls: dict[Any, FileCall] = {}
_torn: deque[Any] = deque()
_MOST_TORN = 128
_warned: set[str] = set()


@dataclass
class FileCall:
    """One task run of a tracked task, from its first attempt to its terminal state."""

    run: LiveRun
    options: TaskOptions
    arguments: dict[str, Any]
    row: dict[str, Any]
    item: str
    turn: int
    attempts: list[dict[str, Any]] = field(default_factory=list)
    milliseconds: float = 0.0
    error: BaseException | None = None
    trace: TracebackType | None = None
    result: Any = None
    told: BaseException | None = None
    came: str | None = None

    def follow(self, state: str, error: BaseException | None = None, reason: str = "") -> None:
        """Tell the task's record, where it has one, into which state the task came."""
        attempt = len(self.attempts) or None
        name = self.row["task_name"]
        following.follow(
            self.run, self.options, name, self.arguments, state, attempt=attempt, reason=reason, error=error
        )


@dataclass
class TaskTry:
    """One attempt of it (see `wrapping.Try`)."""

    call: FileCall
    task_run: TaskRun
    attempt: dict[str, Any]
    began: float
    retries: int = 0

    def returned(self, result: Any) -> Any:
        """The function returned; it may have returned a state."""
        self._end("success")
        self.call.result, self.call.error = result, None
        if isinstance(result, State) and result.is_failed():
            kind, message = outcome.error_of(result, None)
            self.attempt.update(status="failed", error_type=kind, error_message=message)
        elif isinstance(result, State) and result.is_final() and not result.is_completed():
            self._no_hook_follows(result)
        rolled_back.watch(self._rolled_back)
        return result

    def broken_off(self) -> None:
        """Nobody wants more of a generator: an early end, no failure, though Prefect rolls its transaction back."""
        self._end("success")

    def _rolled_back(self, came: outcome.Outcome) -> None:
        """It came through, and is undone; of one that failed all is told."""
        call = self.call
        if call.came != "success":
            return
        try:
            call.run.note_task(
                self.task_run.id, TaskEnd(self.task_run.name, rolled_back.NAME, rolled_back.MESSAGE, bad=True)
            )
            _write(call, self.task_run, came)
        except Exception as trouble:  # noqa: BLE001 - tracking never breaks the task
            call.run.trouble("a task that was rolled back could not be tracked", trouble)

    def _no_hook_follows(self, state: State[Any]) -> None:
        """A returned Cancelled or Crashed ends the task run without a hook of it."""
        try:
            _calls.pop(self.task_run.id, None)
            _write(self.call, self.task_run, outcome.of_state(state, None))
        except Exception as trouble:  # noqa: BLE001 - tracking never breaks the task
            self.call.run.trouble("a task that returned its state could not be tracked", trouble)

    def raised(self, exc: BaseException) -> None:
        """The function raised; after anything but an `Exception` there may be no hook, so the row is written now."""
        if isinstance(exc, Pause | Abort):
            return
        self._end("failed", exc)
        self.call.error = exc
        self.call.trace = outcome.own_trace(exc)
        if not isinstance(exc, Exception):
            self.attempt["status"] = "crashed"
            self._keep_a_while()
            try:
                _write(self.call, self.task_run, outcome.crashed(exc, self.call.trace))
            except Exception as trouble:  # noqa: BLE001 - tracking never breaks the task
                self.call.run.trouble("a crashed task could not be tracked", trouble)
        elif self.retries >= len(self.call.attempts):
            self.call.told = exc
            self.call.follow(following.ATTEMPT, exc)

    def _keep_a_while(self) -> None:
        """A hook may come yet (a timeout reaches an async function as a cancellation), or none: then it is let go."""
        _torn.append(self.task_run.id)
        while len(_torn) > _MOST_TORN:
            _calls.pop(_torn.popleft(), None)

    def _end(self, status: str, exc: BaseException | None = None) -> None:
        self.call.milliseconds += (time.perf_counter() - self.began) * 1000
        self.attempt.update(ended_at=now(), status=status)
        if exc is not None:
            kind, message = outcome.describe_exception(exc)
            self.attempt.update(error_type=kind, error_message=message)


def begin(wrapped: Any, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> TaskTry | None:
    """A call of a tracked task's function begins (see `wrapping.Begin`); None where it is no task run of its own."""
    context = TaskRunContext.get()
    if context is None or context.task.fn is not wrapped:
        return None  # a plain call of the function
    try:
        options: TaskOptions = getattr(wrapped, OPTIONS)
        attach(context.task, options)
        task_run = context.task_run
        call = _calls.get(task_run.id)
        if call is None:
            call = _call_of(context.task, task_run, options, values.bound(fn, args, kwargs))
            if call is None:
                return None
            _calls[task_run.id] = call
            call.run.emit(ev.FileStarted(at=call.row["started_at"], row=call.row, item=call.item, turn=call.turn))
        elif call.attempts and call.attempts[-1]["status"] == "success":
            # it returned and is run again: Prefect refused what it returned (timed out, not serializable)
            call.attempts[-1]["status"] = "failed"
        attempt: dict[str, Any] = {"started_at": now(), "status": None}
        call.attempts.append(attempt)
        call.follow("retrying" if len(call.attempts) > 1 else "running")
        return TaskTry(call, task_run, attempt, time.perf_counter(), context.task.retries or 0)
    except Exception as exc:  # noqa: BLE001 - tracking never breaks the task
        logger.warning("task %s could not be tracked: %s: %s", context.task.name, type(exc).__name__, exc)
        return None


def ended(task: Task[..., Any], task_run: TaskRun, state: State[Any], options: TaskOptions) -> Any:
    """A tracked task run has come to its terminal state (called by its hooks); may give something to await."""
    call = _calls.pop(task_run.id, None)
    call = call or _call_of(task, task_run, options, _arguments_of(task, task_run))  # cached: its function did not run
    if call is None:
        return None
    how = TaskEnd(task_run.name, state.name or "Unknown", state.message, bad=not state.is_completed())
    call.run.note_task(task_run.id, how)
    return _write(call, task_run, outcome.of_state(state, call.error, call.trace))


def _call_of(
    task: Task[..., Any], task_run: TaskRun, options: TaskOptions, arguments: dict[str, Any]
) -> FileCall | None:
    run = _run_of(task, options)
    if run is None:
        return None
    shown = mask_text(task_run.name)  # a template may put any argument into it
    row: dict[str, Any] = {
        "task_name": task.name,
        "task_run_id": str(task_run.id),
        "task_run_name": shown,
        "started_at": now(),
    }
    path = _value(run, task.name, "file", options.file, arguments)
    row["file_path"] = path or shown
    row["file_type"] = _value(run, task.name, "file_type", options.file_type, arguments)
    if row["file_type"] is None and options.file is None:
        row["file_type"] = "task"
    row["agent_id"] = _value(run, task.name, "agent_id", options.agent_id, arguments)
    which = path or (mask_name(task_run.name) if task.task_run_name else values.key_of(arguments))
    turn = getattr(task_run, "flow_run_run_count", 0) or run.turn or 1
    return FileCall(run, options, arguments, row, f"{task.task_key}\0{which}", turn)


def _run_of(task: Task[..., Any], options: TaskOptions) -> LiveRun | None:
    """The run that the file belongs to; None (and one warning) for a task outside of any."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return _run_outside(task)
    known = runs.find(context.flow_run.id)
    if known is not None:
        return known
    flow_options = runs.flow_options_of(context.flow)
    if flow_options is None and (around := _run_around(str(context.flow_run.id))) is not None:
        return around
    place = runs.told_place(context) or options.storage
    run, fresh = runs.open_run(context.flow_run.id, flow_options, place, context.parameters)
    if fresh and flow_options is None:
        name = context.flow.name if context.flow else "?"
        logger.warning(
            "task %s is tracked but its flow %s is not: put @track above its @flow. What its tasks do is kept; "
            "`trackrecord recover` closes the run",
            task.name,
            name,
        )
        fields = flow_fields(context.flow, context.flow_run, None, context.parameters or {})
        run.emit(ev.RunUpdated(at=now(), run={**fields, "run_count": context.flow_run.run_count}))
    return run


def _run_around(run_id: str) -> LiveRun | None:
    """The tracked run inside which an untracked flow runs: what its tasks do belongs there; None outside of one."""
    found = run_set_here()
    if found is None or found.run_id == run_id or found.tracker is None:
        return None
    return runs.find(found.run_id) or LiveRun(found.run_id, found.tracker.storage, None)


def _run_outside(task: Task[..., Any]) -> LiveRun | None:
    """A task that runs in no flow: its file goes to the RunTracker that surrounds it, if there is one."""
    found = current_run()
    if found is not None and found.tracker is not None:
        return LiveRun(found.run_id, found.tracker.storage, None)
    if task.task_key not in _warned:
        _warned.add(task.task_key)
        logger.warning(
            "task %s is tracked, but it runs in no flow and no RunTracker: there is no run that it could be a file of",
            task.name,
        )
    return None


def _arguments_of(task: Task[..., Any], task_run: TaskRun) -> dict[str, Any]:
    """A task run's arguments for hooks: there they are unresolved (futures, states, annotations)."""
    context = TaskRunContext.get()
    if context is None or context.task_run.id != task_run.id:
        return {}
    try:
        found: Mapping[str, Any] = visit_collection(
            context.parameters,
            visit_fn=resolve_to_final_result,
            return_data=True,
            max_depth=-1,
            remove_annotations=True,
            context={},
        )
    except Exception:  # noqa: BLE001 - an upstream's result may be gone
        found = context.parameters
    return values.spread(values.signature_of(task.fn), found)


def _value(run: LiveRun, name: str, option: str, given: Any, arguments: Mapping[str, Any]) -> str | None:
    if given is None:
        return None
    try:
        return values.text(values.value(given, arguments))
    except Exception as exc:  # noqa: BLE001 - a user's callable may raise anything
        run.trouble(f"{option}= of task {name} raised", exc)
        return None


def _output(call: FileCall, state: State[Any] | None) -> str | None:
    given = call.options.output
    if given is None:
        return None
    if given != RETURN:
        return _value(call.run, call.row["task_name"], "output", given, call.arguments)
    found = call.result
    if found is None and state is not None:
        found = getattr(state.data, "result", None)  # a cached result's record
    if isinstance(found, State):
        found = getattr(found.data, "result", found.data)
    return values.text(found)


def _write(call: FileCall, task_run: TaskRun, came: outcome.Outcome) -> Any:
    """Write the file's row; as `homes.settle` returns."""
    at = now()
    row = {**call.row, **came.fields, "task_run_name": mask_text(task_run.name)}
    if call.attempts:
        row["started_at"] = call.attempts[0]["started_at"]
        row["processing_time_ms"] = round(call.milliseconds)
        last = call.attempts[-1]
        timed_out = came.state is not None and came.state.name == "TimedOut"
        if came.fields["status"] == "failed" and (timed_out or last["status"] in ("success", None)):
            # it returned, and Prefect then made a failure of it (a timeout, a result that can't be stored)
            last.update(status="failed", ended_at=last.get("ended_at") or at)
            last.update(error_type=came.fields.get("error_type"), error_message=came.fields.get("error_message"))
        elif came.fields["status"] == "skipped":
            last["status"] = "skipped"
        row["attempts"] = call.attempts
    row["ended_at"], call.came = at, row["status"]
    if came.fields["status"] != "failed":
        row["output_path"] = _output(call, came.state)
    call.run.emit(ev.FileTracked(at=at, row=row, item=call.item, turn=call.turn))
    if row["status"] == "failed" and not _may_be_retried(call.run):
        events_out.file_failed(call.run.run_id, row, call.run.archive.settings)
    live.tick(call.run)
    _follow_to_end(call, came)
    if call.run.ended is not None:
        finishing.late(call.run)
    return homes.settle(call.run)


def _may_be_retried(run: LiveRun) -> bool:
    """Whether the flow of the run may be, so that its end tells which files failed for good."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or str(context.flow_run.id) != run.run_id:
        return False
    return events_out.is_held(context.flow, context.flow_run)


def _follow_to_end(call: FileCall, came: outcome.Outcome) -> None:
    """Tell the task's record how it came out; an error that was told with its attempt is not told twice."""
    if call.options.record is None:
        return
    state = following.state_of(came.state)
    reason = came.fields.get("error_message") or came.fields.get("reason") or ""
    error = None if state in ("completed", "cached", "skipped") else call.error
    if error is None and came.state is not None and state in ("failed", "crashed", "timed out"):
        error = outcome.real_error(came.state, None)
    call.follow(state, None if error is call.told else error, reason)


def attach(task: Task[..., Any], options: TaskOptions) -> None:
    """See to it that a task has our hooks, and no other task's lists with them.

    `with_options(on_completion=...)` replaces them, and lists are shared between a task and its copies.
    """
    for name in ("on_completion_hooks", "on_failure_hooks"):
        hooks = getattr(task, name)
        if not any(getattr(h, "__name__", None) == HOOK_NAME for h in hooks):
            setattr(task, name, [*hooks, hook(options)])


def hook(options: TaskOptions) -> Callable[[Task[..., Any], TaskRun, State[Any]], Any]:
    """The terminal hook of a tracked task. The names of its parameters are those that runners call by."""

    def trackrecord(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> Any:
        return ended(task, task_run, state, options)

    setattr(trackrecord, OPTIONS, options)
    return trackrecord
