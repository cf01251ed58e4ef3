"""Captures tracked flows: hooks see what Prefect makes of a run, the wrapped function what happens inside of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import Token
from dataclasses import dataclass
from typing import Any

from prefect import Flow
from prefect.client.schemas import FlowRun
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import Abort, Pause

from prefect_trackrecord import events as ev
from prefect_trackrecord._prefect import context as current
from prefect_trackrecord._prefect import engines, finishing, homes, live, observed, outcome, runs, submitted
from prefect_trackrecord._prefect.flow_fields import flow_fields, process_fields
from prefect_trackrecord._prefect.options import FlowOptions
from prefect_trackrecord._prefect.quiet import HOOK_NAME
from prefect_trackrecord._prefect.runs import LiveRun
from prefect_trackrecord._prefect.wrapping import OPTIONS, options_of
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.documents.seal import utc_now as now
from prefect_trackrecord.errors import FilesFailedError, RunNotFoundError, TrackRecordError
from prefect_trackrecord.journal.context import RunContext, current_run, reset_current, set_current
from prefect_trackrecord.tracking import values
from prefect_trackrecord.tracking.describing import MAX_TEXT, text_or_none

logger = logging.getLogger("prefect_trackrecord")
assert observed  # imported for the filter that it sets

FlowHook = Callable[[Flow[..., Any], FlowRun, State[Any]], Any]


@dataclass
class FlowTry:
    """One attempt of a tracked flow's function (see `wrapping.Try`)."""

    run: LiveRun
    token: Token[RunContext | None]

    def returned(self, result: Any) -> Any:
        """The function returned; a partial success is given its state, where the flow asks for that.

        Raises:
            FilesFailedError: that state is a failure, and Prefect is to try the flow again: it does that for what is
                raised, and leaves a flow whose state it is given in `AwaitingRetry`.
        """
        made = self._stated(result)
        if made is not result and made.is_failed() and self._is_tried_again():
            failure = FilesFailedError(made.message)
            self.raised(failure)
            raise failure
        reset_current(self.token)
        if made is not result and self.run.turn > 1:
            engines.forget_raised()
        return made

    def _is_tried_again(self) -> bool:
        """Whether Prefect tries the flow once more if this attempt fails."""
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            return False
        return self.run.turn <= (context.flow_run.empirical_policy.retries or 0)

    def broken_off(self) -> None:
        """Nobody wants more of a generator; Prefect asks for no state of it."""
        reset_current(self.token)

    def _stated(self, result: Any) -> Any:
        options = self.run.options
        if isinstance(result, State):
            self._no_hook_follows(result)
            return result
        if options is None or (options.partial is None and options.fail_over is None):
            return result
        try:
            made = current.stated(self.run, result, failed=options.partial == "failed", fail_over=options.fail_over)
            failed = isinstance(made, State) and made.is_failed()
            return made if options.partial is not None or failed else result
        except Exception as exc:  # noqa: BLE001 - tracking never breaks the flow
            self.run.trouble("the state of a partial success could not be made", exc)
            return result

    def _no_hook_follows(self, state: State[Any]) -> None:
        """A returned Cancelled ends the flow run without a hook of it: it is finished here."""
        context = FlowRunContext.get()
        if not state.is_cancelled() or context is None or context.flow is None or context.flow_run is None:
            return
        try:
            options = getattr(context.flow.fn, OPTIONS)
            join = finishing.start(ended(context.flow, context.flow_run, state, options))
            if not finishing.on_event_loop():  # who has called the flow finds its history made
                join(finishing.seconds_left(self.run, context.flow, state))
        except Exception as exc:  # noqa: BLE001 - tracking never breaks the flow
            self.run.trouble("a flow that returned Cancelled could not be tracked", exc)

    def raised(self, exc: BaseException) -> None:
        """The function raised. What becomes of the run is Prefect's to say; the attempt ended here."""
        reset_current(self.token)
        if isinstance(exc, Pause):
            live.stopped(self.run, exc)
        if isinstance(exc, Pause | Abort):
            return
        try:
            self.run.error = exc
            kind, message = outcome.describe_exception(exc)
            self.run.emit(
                ev.RunEnded(
                    at=now(),
                    status="failed" if isinstance(exc, Exception) else "aborted",
                    error_type=kind,
                    error_message=message,
                    traceback=outcome.trace_text(exc, outcome.own_trace(exc)),
                    run_count=self.run.turn,
                )
            )
        except Exception as trouble:  # noqa: BLE001 - tracking never breaks the flow
            self.run.trouble("the flow's error could not be tracked", trouble)


def begin(wrapped: Any, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> FlowTry | None:
    """A call of a tracked flow's function begins (see `wrapping.Begin`); None where it is no flow run of its own."""
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None or context.flow.fn is not wrapped:
        return None
    try:
        flow, flow_run = context.flow, context.flow_run
        options: FlowOptions = getattr(wrapped, OPTIONS)
        attach(flow, options)
        arguments = values.bound(fn, args, kwargs)
        run, _ = runs.open_run(flow_run.id, options, arguments=arguments)
        submitted.watch(run, context.task_runner)
        turn = flow_run.run_count or 1
        _begun(run, flow, flow_run, arguments, turn)
        return FlowTry(run, set_current(current.context_of(run, flow)))
    except Exception as exc:  # noqa: BLE001 - tracking never breaks the flow
        logger.warning("flow %s could not be tracked: %s: %s", context.flow.name, type(exc).__name__, exc)
        return None


def running(flow: Flow[..., Any], flow_run: FlowRun, options: FlowOptions) -> None:
    """The server has let a flow run begin (its first hook): before its function, with arguments as they were given."""
    run, fresh = runs.open_run(flow_run.id, options, arguments=flow_run.parameters)
    if fresh:
        outer = current_run()  # in a subflow the context is still the parent's
        run.outer = outer.run_id if outer is not None and outer.run_id != run.run_id else None
    # Prefect counts an attempt as it lets it begin, and none that goes on after it was suspended
    resumes = flow_run.empirical_policy.resuming and flow_run.run_count
    turn = flow_run.run_count + (0 if resumes else 1)
    _start(run, flow, flow_run, dict(flow_run.parameters or {}), turn, None)
    if resumes and turn == 1:  # of a later attempt `_start` has seen to it
        live.again(run)


def _begun(run: LiveRun, flow: Flow[..., Any], flow_run: FlowRun, arguments: dict[str, Any], turn: int) -> None:
    """The function of an attempt is called: its arguments are validated now."""
    errors: list[tuple[str, Exception]] = []
    if run.turn != turn:  # nobody has seen it begin
        _start(run, flow, flow_run, arguments, turn, errors)
    else:
        _update(run, flow, flow_run, arguments, errors)
    for option, exc in errors:
        run.trouble(f"{option}= of flow {flow.name} raised", exc)


def _update(
    run: LiveRun,
    flow: Flow[..., Any],
    flow_run: FlowRun,
    arguments: dict[str, Any],
    errors: list[tuple[str, Exception]],
) -> None:
    """Tell what is known better now than at the start."""
    fields = flow_fields(flow, flow_run, run.options, arguments, errors)
    news = {name: value for name, value in fields.items() if value != run.told.get(name)}
    if news:
        run.told.update(news)
        run.emit(ev.RunUpdated(at=now(), run=news))


def _is_of(context: FlowRunContext, run: LiveRun) -> bool:
    return context.flow_run is not None and str(context.flow_run.id) == run.run_id


def _start(
    run: LiveRun,
    flow: Flow[..., Any],
    flow_run: FlowRun,
    arguments: dict[str, Any],
    turn: int,
    errors: list[tuple[str, Exception]] | None,
) -> None:
    at = now()
    is_new_here = not run.turn or run.ended is not None
    run.turn, run.error, run.ended, run.began = turn, None, None, time.monotonic()
    runs.tell_place(run, flow)
    run.told = flow_fields(flow, flow_run, run.options, arguments, errors)
    fields = {**run.told, **process_fields(), "run_count": turn, "parent_run_id": run.outer}
    run.emit(ev.RunStarted(at=at, run=fields))
    homes.tell_home(run, flow)
    if turn == 1:
        run.archive.announce(RunMetadata.model_validate({**fields, "run_id": run.run_id, "started_at": at}))
    elif is_new_here:  # by Prefect's Retry: what was told and shown of an earlier attempt's end holds no longer
        run.archive.reopen(RunMetadata.model_validate({**fields, "run_id": run.run_id, "started_at": at}))
        live.again(run)


def ended(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any], options: FlowOptions) -> finishing.Finish:
    """A flow run has come to its end, or to one that a later one may replace; says how to finish it."""
    run, _ = runs.open_run(flow_run.id, options, arguments=flow_run.parameters)
    here = run.turn > 0
    if not here and _is_unknown(run):  # Prefect refused its parameters, or its process never came so far
        fields = flow_fields(flow, flow_run, options, dict(flow_run.parameters or {}))
        run.emit(ev.RunUpdated(at=now(), run={**fields, "run_count": flow_run.run_count or 1}))
    context = FlowRunContext.get()
    if here and context is not None and options_of(flow.fn) is None and _is_of(context, run):
        _update(run, flow, flow_run, context.parameters or {}, [])  # hooks alone: only here the arguments are validated
    status = outcome.run_status(state)
    fields = {}
    if status is not None:
        kind, message = outcome.error_of(state, run.error)
        cancelled = state.is_cancelled() or state.is_cancelling()
        said = text_or_none(state.message, MAX_TEXT)
        fields = {"error_type": None if cancelled else kind, "error_message": said if cancelled else message}
        if run.error is not None:
            fields["traceback"] = outcome.trace_text(run.error, outcome.own_trace(run.error))
        if status == "aborted":
            how = "cancelled" if cancelled else "stopped"
            fields["reason"] = _reason(how, said)
    run.ended = ev.RunEnded(
        at=now(),  # the state may be older than what its process still said: cancelling comes before the end
        status=status,
        state="Cancelled" if state.is_cancelling() else state.name,
        run_count=run.turn or flow_run.run_count or None,
        **fields,
    )
    run.emit(run.ended)
    finish = run.finish = finishing.Finish(run, flow, flow_run)
    return finish


def _reason(how: str, message: str | None) -> str:
    """Why a run was aborted; what Prefect only says once more is left out."""
    words = (message or "").strip()
    known = f"flow run was {how}"
    return f"the {known}" if not words or words.lower().startswith(known) else f"the {known}: {words}"


def _is_unknown(run: LiveRun) -> bool:
    """Whether nobody has told of the run so far; one that began in another process is known better than here."""
    try:
        run.archive.run(run.run_id)
    except RunNotFoundError:
        return True
    except (TrackRecordError, OSError):
        pass
    return False


def start_hook(options: FlowOptions) -> FlowHook:
    """The hook of a tracked flow's start. The names of its parameters are those that a runner calls by."""

    def trackrecord(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
        running(flow, flow_run, options)

    setattr(trackrecord, OPTIONS, options)
    return trackrecord


def end_hook(options: FlowOptions) -> FlowHook:
    """The hook of a tracked flow's ends: completion, failure, crash, cancellation.

    On the event loop of an async flow it gives an awaitable, as blocking there would stop all that runs on it.
    """

    def trackrecord(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> Any:
        finish = ended(flow, flow_run, state, options)
        seconds = finishing.seconds_left(finish.run, flow, state)
        if flow.isasync and finishing.on_event_loop():
            return finishing.await_(finish, seconds)
        return finishing.wait(finish, seconds)

    setattr(trackrecord, OPTIONS, options)
    return trackrecord


def hook_lists(options: FlowOptions) -> dict[str, list[FlowHook]]:
    """A tracked flow's hooks by the names of Prefect's own arguments."""
    end = end_hook(options)
    names = ("on_completion", "on_failure", "on_crashed", "on_cancellation")
    return {"on_running": [start_hook(options)], **{name: [end] for name in names}}


def attach(flow: Flow[..., Any], options: FlowOptions) -> None:
    """See to it that a flow has our hooks, and no other flow's lists with them.

    `with_options(on_completion=...)` replaces them, and lists are shared between a flow and its copies.
    """
    for name, added in hook_lists(options).items():
        hooks = getattr(flow, f"{name}_hooks")
        if not any(getattr(h, "__name__", None) == HOOK_NAME for h in hooks):
            setattr(flow, f"{name}_hooks", [*hooks, *added])
