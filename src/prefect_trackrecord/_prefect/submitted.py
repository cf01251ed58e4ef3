"""What a flow's code hands to its task runner: task runs that Prefect may never make, or be slow to tell of.

A process pool refuses a task whose upstream failed before it makes a task run of it; what waits in a queue as the flow
ends is dropped without a word. Only the one who handed it over knows that it ever was.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import logging
import os
import weakref
from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State
from prefect.exceptions import UpstreamTaskError

from prefect_trackrecord import events as ev
from prefect_trackrecord._prefect.options import TaskOptions
from prefect_trackrecord._prefect.runs import Came, LiveRun, Submitted
from prefect_trackrecord._prefect.wrapping import options_of
from prefect_trackrecord.documents.seal import utc_now as now
from prefect_trackrecord.tracking import values

logger = logging.getLogger("prefect_trackrecord")
UPSTREAM = "upstream"
"""The kind of a refusal whose cause is an upstream task."""


def watch(run: LiveRun, runner: Any) -> None:
    """Note what is handed to the task runner of a flow run; the runner is this run's own."""
    real = getattr(runner, "submit", None)
    if real is None or getattr(real, "trackrecord", None) is run:
        return

    @functools.wraps(real)
    def submit(*args: Any, **kwargs: Any) -> Any:
        future = real(*args, **kwargs)
        try:
            _note(run, future, *_asked(*args, **kwargs))
        except Exception as exc:  # noqa: BLE001 - tracking never breaks the flow
            logger.debug("a submitted task is not noted: %s: %s", type(exc).__name__, exc)
        return future

    submit.trackrecord = run  # type: ignore[attr-defined]
    with contextlib.suppress(AttributeError, TypeError):  # a runner that takes no attributes
        runner.submit = submit
    run.watched = True


def state_of(one: Submitted, seconds: float) -> Came | None:
    """How a task run ended, by its future; None where that can't be had in that time, or where it never ended."""
    if one.came is not None:
        return one.came
    future: Any = one.future()
    if getattr(_inner(future), "status", None) != "finished":  # Dask's word
        return None
    try:
        future.wait(seconds)
        return _came(future.state)
    except Exception:  # noqa: BLE001 - a worker that died, a result that can't be read
        return None


def _asked(task: Task[..., Any], parameters: dict[str, Any], *_args: Any, **_more: Any) -> Any:
    return task, parameters


def _note(run: LiveRun, future: Any, task: Task[..., Any], parameters: dict[str, Any]) -> None:
    options = options_of(task.fn)
    tracked = isinstance(options, TaskOptions)
    path = _path(options, parameters) if isinstance(options, TaskOptions) else None
    if tracked and task.name not in (names := run.handed.setdefault(task.task_key, set())):
        names.add(task.name)  # should this process be killed: the task may never begin, and Prefect alone knows of it
        run.emit(ev.RunUpdated(at=now(), run={}, tasks={task.task_key: sorted(names)}))
    one = Submitted(task.task_key, task.name, path, tracked, run.turn, weakref.ref(future))
    inner = _inner(future)
    if isinstance(inner, concurrent.futures.Future):
        inner.add_done_callback(functools.partial(_done, one))
    name = str(future.task_run_id)
    run.submitted[name] = one
    if name in run.tasks and not run.tasks[name].bad:  # it was quicker
        run.submitted.pop(name, None)


def _inner(future: Any) -> Any:
    """The future of the pool or cluster; a process pool's has one inside that does not unpickle the result."""
    inner = getattr(future, "wrapped_future", None)
    return getattr(inner, "wrapped_future", inner)


def _done(one: Submitted, future: concurrent.futures.Future[Any]) -> None:
    if future.cancelled():
        return
    exc = future.exception()
    if exc is not None:
        kind = UPSTREAM if isinstance(exc, UpstreamTaskError) else type(exc).__name__
        one.refused = (kind, str(exc))
    elif isinstance(state := future.result(), State):  # a process pool's is pickled still
        one.came = _came(state)


def _came(state: State[Any]) -> Came:
    return Came(state.type.value, state.name or "Unknown", state.message)


def _path(options: TaskOptions, parameters: dict[str, Any]) -> str | None:
    """The file's path where an argument is one already."""
    if not isinstance(options.file, values.Param):
        return None
    found = parameters.get(options.file.name)
    return values.text(found) if isinstance(found, str | bytes | os.PathLike) else None
