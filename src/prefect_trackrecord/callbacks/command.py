"""`track_command`: a user's own command tracks itself where `TRACKING_PATH` is set."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

from prefect_trackrecord.callbacks.command_run import CommandRun
from prefect_trackrecord.errors import DecoratorOrderError, UsageError
from prefect_trackrecord.store import check_url
from prefect_trackrecord.tracking import values
from prefect_trackrecord.tracking.describing import describe
from prefect_trackrecord.tracking.storage import BLOCK_PREFIX

F = TypeVar("F", bound=Callable[..., Any])

ARGUMENTS = {
    "subcommand": ("subcommand",),
    "config_path": ("config_path", "config"),
    "target_date": ("target_date", "date"),
    "verbose": ("verbose",),
}
"""The arguments that an option is taken from where `track_command` is not told."""


@dataclass(frozen=True)
class _Plan:
    """What `track_command` was told, checked: constants, `Param`s or `Call`s by option."""

    fn: Callable[..., Any]
    command: Any
    options: Mapping[str, Any]
    storage: Any

    def run(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> CommandRun:
        arguments = values.bound(self.fn, args, kwargs)
        troubles: list[str] = []
        told: dict[str, Any] = {}
        for name, given in {"command": self.command, **self.options}.items():
            try:
                told[name] = values.value(given, arguments)
            except Exception as exc:  # noqa: BLE001 - a user's callable may raise anything
                told[name] = None
                troubles.append(f"track_command({name}=...) raised {type(exc).__name__}: {describe(exc)}")
        verbose = told.pop("verbose")
        return CommandRun(
            values.text(told["command"]) or _name(self.fn),
            values.text(told["subcommand"]),
            values.text(told["config_path"]),
            values.text(told["target_date"]),
            storage=values.value(self.storage, arguments),
            verbose=bool(verbose) if self.options["verbose"] is not None else "--verbose" in sys.argv[1:],
            parameters=arguments,
            troubles=troubles,
        )


@overload
def track_command(command: F, /) -> F: ...


@overload
def track_command(
    command: str | values.Param | None = None,
    *,
    subcommand: Any = None,
    config_path: Any = None,
    target_date: Any = None,
    storage: Any = None,
    verbose: Any = None,
) -> Callable[[F], F]: ...


def track_command(
    command: Any = None,
    *,
    subcommand: Any = None,
    config_path: Any = None,
    target_date: Any = None,
    storage: Any = None,
    verbose: Any = None,
) -> Any:
    """Let a command track itself: `current_tracker()` and `command_callbacks()` work in it.

    It stands directly above the plain function, below whatever makes a command of it (`@app.command()`,
    `@click.command()`, `@click.option(...)`), and keeps the function's signature. The function may be async.

    Where `TRACKING_PATH` is set, or `storage` says a place, each call is a run: a signal completes it as aborted, an
    exception or an exit code other than 0 as failed. Where neither is, the function runs as it is; its tracker then
    keeps nothing. What the function returns is no verdict: raise, or `sys.exit(1)`, to say that it failed.

    Args:
        command: the run's command; the function's name with dashes where left out (the program's name for `main`).
        subcommand: a constant, `param("name")`, or a callable of the function's arguments by name; the argument
            `subcommand` where left out.
        config_path: the same; the argument `config_path` or `config` where left out.
        target_date: the same; the argument `target_date` or `date` where left out.
        storage: a folder, a URL, `trackrecord-storage/<block>`, a TrackingStorage or `param("name")`.
        verbose: whether progress is shown on standard output; the argument `verbose` where left out, and where there
            is none, whether `--verbose` is on the command line.

    Raises:
        DecoratorOrderError: it stands above something that is no plain function.
        ParameterNameError: an option names a parameter that there is none of.
        StorageUrlError, MissingDriverError: `storage` can't be used.

    Example:
        ```python
        @app.command()
        @track_command(target_date=param("day"))
        def extract(folder: Path, day: str, verbose: bool = False):
            paths = sorted(folder.glob("*.wav"))
            with command_callbacks().on_batch_start(total_files=len(paths)) as batch:
                for index, path in enumerate(paths):
                    batch.on_file_end(path, index, len(paths), "success", output_path=transcribe(path))
        ```
    """
    given = {"subcommand": subcommand, "config_path": config_path, "target_date": target_date, "verbose": verbose}
    if inspect.isroutine(command):
        return _wrap(command, None, given, storage)
    if not isinstance(command, str | values.Param | None):
        _refuse(command)

    def decorate(fn: F) -> F:
        return _wrap(fn, command, given, storage)

    return decorate


def _wrap(fn: F, command: Any, given: Mapping[str, Any], storage: Any) -> F:
    if not inspect.isroutine(fn):
        _refuse(fn)
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise UsageError(f"track_command: {fn.__name__} is a generator; track the function that runs it instead")
    names = inspect.signature(fn).parameters
    options = {}
    for option, value in given.items():
        if value is None:
            known = next((name for name in ARGUMENTS[option] if name in names), None)
            options[option] = values.Param(known) if known else None
        else:
            options[option] = values.source(value, fn, option, text_is_parameter=False, by="track_command")
    if isinstance(storage, str | Path) and not str(storage).startswith(BLOCK_PREFIX):
        check_url(str(storage))
    elif isinstance(storage, values.Param):
        storage = values.source(storage, fn, "storage", text_is_parameter=False, by="track_command")
    if command is not None:
        command = values.source(command, fn, "command", text_is_parameter=False, by="track_command")
    plan = _Plan(fn, command, options, storage)
    wrapped: Any
    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            with plan.run(args, kwargs):
                return await fn(*args, **kwargs)

    else:

        @functools.wraps(fn)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with plan.run(args, kwargs):
                return fn(*args, **kwargs)

    return wrapped  # type: ignore[no-any-return]


def _refuse(given: Any) -> None:
    raise DecoratorOrderError(
        f"@track_command must stand directly above a plain function, not above {type(given).__name__}: "
        "write it on the last line before `def`, below @app.command() or @click.command()"
    )


def _name(fn: Callable[..., Any]) -> str:
    """The function's name with dashes; for `main` the program's."""
    name = getattr(fn, "__name__", "command")
    if name in {"main", "__main__", "<lambda>"}:
        program = Path(sys.argv[0] if sys.argv else "")
        name = program.parent.name if program.stem == "__main__" else program.stem
    return name.strip("_").replace("_", "-") or "command"
