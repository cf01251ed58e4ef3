"""`track`: one line above `@flow` and `@task`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, cast, overload

from prefect import Flow, Task

from prefect_trackrecord._prefect import capture, runs, tasks
from prefect_trackrecord._prefect.options import (
    FlowOptions,
    Partial,
    TaskOptions,
    flow_options,
    task_options,
)
from prefect_trackrecord._prefect.wrapping import TaskFunction, options_of, wrap_flow_function
from prefect_trackrecord.errors import ConfigurationError, DecoratorOrderError
from prefect_trackrecord.store import StoreConfig
from prefect_trackrecord.tracking import TrackingStorage
from prefect_trackrecord.tracking.values import Param, param

__all__ = ["param", "track"]

FT = TypeVar("FT", bound="Flow[..., Any] | Task[..., Any]")
_FLOW_ONLY = ("command", "subcommand", "config_path", "target_date", "partial", "fail_over", "role", "items")
_TASK_ONLY = ("file", "file_type", "agent_id", "output", "record", "record_statuses")


@overload
def track(obj: FT, /) -> FT: ...


@overload
def track(
    *,
    storage: TrackingStorage | StoreConfig | str | Path | Callable[..., Any] | None = None,
    command: str | Param | Callable[..., Any] | None = None,
    subcommand: str | Param | Callable[..., Any] | None = None,
    config_path: str | Path | Param | Callable[..., Any] | None = None,
    target_date: str | date | Param | Callable[..., Any] | None = None,
    partial: Partial | None = None,
    fail_over: float | None = None,
    role: str | None = None,
    items: str | Param | None = None,
    file: str | Param | Callable[..., Any] | None = None,
    file_type: str | Param | Callable[..., Any] | None = None,
    agent_id: str | int | Param | Callable[..., Any] | None = None,
    output: str | Path | Param | Callable[..., Any] | None = None,
    record: str | Param | Callable[..., Any] | None = None,
    record_statuses: Mapping[str, Any] | None = None,
) -> Callable[[FT], FT]: ...


def track(obj: Any = None, /, **options: Any) -> Any:
    """Give a flow's runs, or a task's calls, a track record. Stands above `@flow` or `@task`.

    Of a flow, each run is recorded: its parameters (secrets masked), its task runs, its files, how it ended.
    Neither its return value nor its state changes, unless `partial` asks for that. Of a task, each call is one file
    of the surrounding flow's run.

    ```python
    @track(file="path", output="return")
    @task
    def transcribe(path: Path) -> Path: ...

    @track(target_date=param("day"), partial="completed", fail_over=0.05)
    @flow
    def nightly(day: date) -> None: ...
    ```

    What a flow's option gives is a constant, `param("name")` for an argument, or a callable of the flow's arguments by
    name; what a task's gives is a parameter's name, else a constant, or such a callable.

    Args:
        obj (Flow | Task): the flow or task, for use without parentheses.
        storage (TrackingStorage | StoreConfig | str | Path | Callable): where its history is: a folder, a URL,
            `"trackrecord-storage/<block>"`; of a flow also a callable of its arguments. Where left out `TRACKING_PATH`
            says it, then the setting `PREFECT_INTEGRATIONS_TRACKRECORD_STORAGE`, else it is a folder under the Prefect
            home. A task's counts only in flows that are not tracked.
        command (str | Param | Callable): of a flow: what its runs are listed as; the flow's name where left out.
        subcommand (str | Param | Callable): of a flow: which part of the command its runs are.
        config_path (str | Path | Param | Callable): of a flow: the configuration that it worked by.
        target_date (str | date | Param | Callable): of a flow: the day that it worked on.
        partial ("completed" | "failed"): of a flow: the state of a run of which some files failed; where left out, the
            state stays as Prefect makes it. A failed one that has `retries` left is tried again, as one that raised.
        fail_over (float): of a flow: the share of failed files above which it fails, such as 0.05; tried again alike.
        role (str): of a flow: `"report"`, `"alert"` or `"upkeep"` for one that is no work of its own; reports
            leave it out.
        items (str | Param): of a flow: the parameter that takes the files, so that `trackrecord retry` can start the
            flow again with those that failed.
        file (str | Callable): of a task: the file that a call works on; the task run's name where left out.
        file_type (str | Callable): of a task: the file's type; `"task"` where there is no `file`.
        agent_id (str | Callable): of a task: whose file it is.
        output (str | Callable): of a task: what came out of it; `"return"` takes what the task returns.
        record (str | Callable): of a task: the ThoughtfulRecord, or a list of them, that it works on, whose status
            follows the task's states, each attempt and error in a trace.
        record_statuses (Mapping[str, Any]): of a task: other statuses for states, such as
            `{"completed": Status.PROCESSED, "running": None}`; None leaves the status as it is.

    Returns:
        A copy of the flow or task, of the same type.

    Raises:
        DecoratorOrderError: it stands below `@flow` or `@task`, or above something else.
        ParameterNameError: an option names a parameter that there is none of.
        ConfigurationError: an option can't work: a URL that can't be parsed, a driver that is not installed...
    """
    if obj is None:
        return lambda given: _tracked(given, options)
    return _tracked(obj, options)


def _tracked(obj: Any, options: dict[str, Any]) -> Any:
    if isinstance(obj, Flow):
        return _tracked_flow(obj, options)
    if isinstance(obj, Task):
        return _tracked_task(obj, options)
    if isinstance(obj, classmethod | staticmethod) or callable(obj):
        name = getattr(obj, "__name__", type(obj).__name__)
        raise DecoratorOrderError(
            f"@track must stand above @flow or @task, and {name} is neither: "
            "write @track on the line above @flow or @task, not below it"
        )
    raise DecoratorOrderError(f"track() takes a Prefect flow or task, not {type(obj).__name__}")


def _tracked_flow(flow: Flow[..., Any], options: dict[str, Any]) -> Flow[..., Any]:
    _refuse(options, _TASK_ONLY, "a flow", "a task")
    fn = _unwrapped(flow.fn, FlowOptions)
    checked = flow_options(fn, options)
    new = copy.copy(flow)
    new.fn = wrap_flow_function(fn, capture.begin, checked)
    for name, added in capture.hook_lists(checked).items():
        theirs = [h for h in getattr(flow, f"{name}_hooks") if not _is_ours(h)]
        setattr(new, f"{name}_hooks", [*theirs, *added])
    return new


def _tracked_task(task: Task[..., Any], options: dict[str, Any]) -> Task[..., Any]:
    _refuse(options, _FLOW_ONLY, "a task", "a flow")
    fn = _unwrapped(task.fn, TaskOptions)
    checked = task_options(fn, options)
    new = copy.copy(task)
    new.fn = cast("Callable[..., Any]", TaskFunction(fn, tasks.begin, checked))
    runs.tracked_tasks.setdefault(new.task_key, set()).add(new.name)
    ours = tasks.hook(checked)
    for name in ("on_completion_hooks", "on_failure_hooks"):
        setattr(new, name, [*(h for h in getattr(task, name) if not _is_ours(h)), ours])
    for name in ("on_running_hooks", "on_commit_hooks", "on_rollback_hooks"):
        if (theirs := getattr(task, name, None)) is not None:  # older versions of Prefect have no on_running of tasks
            setattr(new, name, list(theirs))
    return new


def _unwrapped(fn: Callable[..., Any], kind: type[Any]) -> Callable[..., Any]:
    """The function below our own wrapper, for what is tracked twice: the last options count."""
    while isinstance(options_of(fn), kind):
        fn = fn.__wrapped__  # type: ignore[attr-defined]
    return fn


def _is_ours(hook: Any) -> bool:
    return isinstance(options_of(hook), FlowOptions | TaskOptions)


def _refuse(options: dict[str, Any], names: tuple[str, ...], what: str, other: str) -> None:
    wrong = [name for name in names if options.get(name) is not None]
    if wrong:
        raise ConfigurationError(f"track({wrong[0]}=...) is an option of {other}; here it stands above {what}")
    unknown = sorted(set(options) - {"storage", *_FLOW_ONLY, *_TASK_ONLY})
    if unknown:
        raise TypeError(f"track() has no option {unknown[0]!r}")
    for name in names:
        options.pop(name, None)
