"""Runs one command and returns its exit code. The commands are in `cli.commands`, a module each: put new ones there."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from cyclopts import CycloptsError

from prefect_trackrecord.cli.output import complain, note
from prefect_trackrecord.cli.root import app
from prefect_trackrecord.errors import ConfigurationError, TrackRecordError, UsageError

SIGPIPE = 141
"""How a shell tells that a program's reader went away; what the program still had to do is not done."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors that a person can mend are told without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that can't show a letter is no reason to stop
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)  # on the handler: Prefect sets the level of its own loggers
    logging.basicConfig(handlers=[handler], format="%(levelname)s: %(message)s")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0].startswith("-"):
        app.resolved_commands()  # the program's own help, and completion, tell of all of them
    try:
        _refuse_empty(words)
        code = app(
            words,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        _drop_output()
        return SIGPIPE
    except SystemExit as exc:
        if not isinstance(exc.__context__, BrokenPipeError):
            raise
        return SIGPIPE  # of a help, which rich prints, and drops by itself
    except Exception as exc:  # noqa: BLE001 - a stack tells a person nothing
        return _tell(exc)


def _refuse_empty(words: Sequence[str]) -> None:
    """Refuse values that are empty: most often a shell's variable that is not set, and no place meant to be left out.

    Raises:
        UsageError: there is one; else `prune --delete --storage "$HISTORY"` would delete in another history.
    """
    for before, word in zip(("trackrecord", *words), words, strict=False):
        option, equals, value = word.partition("=")
        named = option if equals and option.startswith("--") else before
        if not (value if named is option else word).strip():
            raise UsageError(f"what is given after {named} is empty; is a variable of the shell not set?")


def _tell(error: Exception) -> int:
    """Say what went wrong in words that help a person, and return the exit code that it means."""
    if isinstance(error, CycloptsError):
        complain(f"{error}\nTry: {' '.join(['trackrecord', *(error.command_chain or ())])} --help")
        return 2
    if isinstance(error, TrackRecordError):
        complain(error)
        return 2 if isinstance(error, ConfigurationError) else 1
    if isinstance(error, OSError):  # an output that takes nothing, a folder that can't be made
        complain(TrackRecordError(f"{error}"))
        with contextlib.suppress(ValueError):
            try:
                sys.stdout.flush()
            except OSError:
                _drop_output()
        return 1
    from prefect_trackrecord.cli.prefect_settings import WAY_OUT, wrong_setting

    if (wrong := wrong_setting(error)) is not None:
        complain(wrong)
        note(WAY_OUT)
        return 2
    complain(TrackRecordError(f"a fault of trackrecord's own, in {_place(error)}: {type(error).__name__}: {error}"))
    if sys.flags.dev_mode:
        traceback.print_exception(error)
    else:
        note("please report it, with the stack that python -X dev -m prefect_trackrecord ... shows")
    return 1


def _drop_output() -> None:
    """Let nothing be flushed at exit into an output that takes nothing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _place(exc: Exception) -> str:
    """The last line of our own that an error came through."""
    frames = traceback.extract_tb(exc.__traceback__)
    where = [frame for frame in frames if f"{os.sep}prefect_trackrecord{os.sep}" in frame.filename] or frames
    return f"{where[-1].filename.rpartition(f'prefect_trackrecord{os.sep}')[2]}:{where[-1].lineno}"
