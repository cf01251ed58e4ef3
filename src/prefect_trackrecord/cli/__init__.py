"""The command `trackrecord`: reads the history, recovers what dead processes left, makes delivery reports."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code: 0, 1 where something failed, 2 where it was called wrongly.

    Args:
        arguments: as typed; those of the process where left out.

    Raises:
        SystemExit: always.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever called: what would be said there is nobody's to read
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the process's whole life
    try:
        raise SystemExit(_run(sys.argv[1:] if arguments is None else list(arguments)))
    except KeyboardInterrupt:  # while modules load, when nobody else is there to catch it
        sys.stderr.write("error: interrupted\n")
        raise SystemExit(130) from None


def _run(words: list[str]) -> int:
    if words == ["--version"]:  # what scripts ask for: nothing else need be loaded for it
        from prefect_trackrecord import __version__

        with contextlib.suppress(OSError):  # `cli.app.run` then tells it
            sys.stdout.write(f"trackrecord {__version__}\n")
            sys.stdout.flush()
            return 0
    # A short process: looking for pydantic's plugins in every installed distribution, and collecting the garbage that
    # imports leave, would each take a tenth of its start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Prefect's telemetry would write a notice, and of so short a process a traceback, among our lines.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    gc.set_threshold(50_000)
    from prefect_trackrecord.cli.app import run

    return run(words)
