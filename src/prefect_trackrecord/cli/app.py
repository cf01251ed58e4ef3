"""Runs one command and returns its exit code. The commands are in `cli.commands`, a module each: put new ones there."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from prefect_trackrecord.cli.output import complain
from prefect_trackrecord.cli.root import app
from prefect_trackrecord.errors import ConfigurationError, TrackRecordError


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
        code = app(
            words,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except CycloptsError as exc:
        complain(f"{exc}\nTry: {' '.join(['trackrecord', *(exc.command_chain or ())])} --help")
        return 2
    except ConfigurationError as exc:
        complain(exc)
        return 2
    except TrackRecordError as exc:
        complain(exc)
        return 1
    except BrokenPipeError:  # whoever read our output has seen enough; nothing must be flushed into it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
