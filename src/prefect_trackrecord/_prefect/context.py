"""The current run inside flows and tasks, and the tracker that a flow's code gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from prefect import Flow
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext, TaskRunContext
from prefect.futures import resolve_futures_to_states
from prefect.states import Completed, Failed

from prefect_trackrecord._prefect import runs
from prefect_trackrecord._prefect.outcome import PARTIAL
from prefect_trackrecord._prefect.runs import LiveRun
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.fold import Fold
from prefect_trackrecord.documents.run_journal import RunJournal
from prefect_trackrecord.errors import TrackRecordError, UsageError
from prefect_trackrecord.journal.context import RunContext
from prefect_trackrecord.journal.reader import segment_paths
from prefect_trackrecord.pages.words import plural
from prefect_trackrecord.tracking.run_tracker import RunTracker

CARRIED = "_trackrecord_carried"
_RUNS_CARRIED = 16
"""Runs of one flow, in one process, whose data it carries at a time."""


class FlowRunTracker(RunTracker):
    """The tracker of a flow run: as any RunTracker, but its start and its end are the flow's."""

    def __init__(self, run: LiveRun, command: str) -> None:
        super().__init__(command, storage=run.storage)
        self._run = run
        self.run_id = run.run_id
        self._state = "running"

    def start(self) -> NoReturn:
        """The run of a flow is started by Prefect.

        Raises:
            UsageError: always.
        """
        raise UsageError("a flow's run starts with the flow; make a RunTracker of your own for a run inside of it")

    def complete(self, *_args: Any, **_more: Any) -> NoReturn:
        """The run of a flow ends with the flow.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "a flow's run ends with the flow; to say how it ended, return current_tracker().final_state() from the flow"
        )

    def final_state(self, data: Any = None, *, fail_over: float | None = None) -> State[Any]:
        """The state that tells a partial success, for a flow to return.

        Prefect leaves a flow that returns a failed state and has `retries` left in `AwaitingRetry`: there,
        `track(partial=, fail_over=)` is what gets it tried again.

        Args:
            data: what the flow returns; callers of the flow get it as its result.
            fail_over: the share of failed files above which the flow is to fail; where left out the flow's own.

        Returns:
            Completed, where nothing failed; Failed, where all files did, or more than `fail_over`; else
            `Completed(name="PartialSuccess", message="3 of 100 files failed")`.
        """
        options = self._run.options
        if fail_over is None and options is not None:
            fail_over = options.fail_over
        failed = options is not None and options.partial == "failed"
        state = _partial(self._run, data, failed=failed, fail_over=fail_over)
        return state if state is not None else Completed(data=data)


def stated(run: LiveRun, result: Any, *, failed: bool, fail_over: float | None) -> Any:
    """A flow's result, or the state of a partial success that holds it."""
    resolved = resolve_futures_to_states(result)  # their tasks' files count too
    state = _partial(run, resolved, failed=failed, fail_over=fail_over)
    return result if state is None else state


def _partial(run: LiveRun, data: Any, *, failed: bool, fail_over: float | None) -> State[Any] | None:
    """The state of a partial success; None for a run of which nothing failed."""
    counts = counts_of(run)
    bad, files = counts["failed_count"], counts["total_files"]
    mails = counts["emails_failed"]
    if not bad and not mails:
        return None
    words = []
    if bad:
        words.append(f"{bad} of {plural(files, 'file')} failed")
    if mails:
        words.append(f"{plural(mails, 'email')} failed")
    message = ", ".join(words)
    if bad and bad == files:
        return Failed(message=message, data=data)
    if bad and fail_over is not None and bad / files > fail_over:
        return Failed(message=f"{message}, more than {fail_over:.0%}", data=data)
    if failed:
        return Failed(name=PARTIAL, message=message, data=data)
    return Completed(name=PARTIAL, message=message, data=data)


def counts_of(run: LiveRun) -> Mapping[str, int]:
    """How many files and emails came out how, so far, in all processes: by the store and by this host's spool."""
    archive = run.archive
    try:
        fold = RunJournal.read(archive.store, run.run_id, archive.spool).fold().fold
    except (TrackRecordError, OSError):  # what this host has, at least
        fold = Fold(run.run_id)
        for path in segment_paths(archive.spool / layout.safe_part(run.run_id)):
            fold.read(path.name, path)
    found = fold.documents(None).run
    return {
        "failed_count": found.failed_count,
        "total_files": found.total_files,
        "emails_failed": found.emails_failed,
    }


def context_of(run: LiveRun, flow: Flow[..., Any] | None) -> RunContext:
    """The run as the rest of the package knows it."""
    name = flow.name if flow is not None else "flow"
    tracker = FlowRunTracker(run, name) if run.options is not None else None
    return RunContext(run.run_id, run.archive, tracker, name)


def provide(found: RunContext | None) -> RunContext | None:
    """The run that surrounds this code (see `journal.context.current_run`).

    Args:
        found: what was set in this thread or task, if anything; what was set inside of the flow goes first.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return found
    known = runs.find(context.flow_run.id)
    if found is not None and (known is None or found.run_id != known.outer):
        return found
    options = runs.flow_options_of(context.flow)
    run = known or runs.open_run(context.flow_run.id, options, runs.told_place(context), context.parameters)[0]
    return context_of(run, context.flow)


def inside_flow() -> bool:
    """Whether this code runs in a flow or task, tracked or not (see `journal.context.inside_flow`)."""
    return FlowRunContext.get() is not None or TaskRunContext.get() is not None


def carry(name: str, value: Any) -> None:
    """Let the flow carry plain data to its tasks' processes (see `journal.context.carry`)."""
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None:
        return
    runs_of_it = dict(getattr(context.flow, CARRIED, None) or {})
    run_id = str(context.flow_run.id)
    runs_of_it[run_id] = {**runs_of_it.pop(run_id, {}), name: value}
    for old in list(runs_of_it)[:-_RUNS_CARRIED]:
        del runs_of_it[old]
    setattr(context.flow, CARRIED, runs_of_it)


def carried(name: str) -> Any:
    """What the flow carries, in another process than its own (see `journal.context.carried`)."""
    context = FlowRunContext.get()
    if context is None or not context.detached or context.flow_run is None:
        return None
    found = getattr(context.flow, CARRIED, None) or {}
    return found.get(str(context.flow_run.id), {}).get(name)
