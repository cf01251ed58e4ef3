"""The command `trackrecord`: reads the history, recovers what dead processes left, makes delivery reports."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code: 0, 1 where something failed, 2 where it was called wrongly.

    Args:
        arguments: as typed; those of the process where left out.

    Raises:
        SystemExit: always.
    """
    from prefect_trackrecord.cli.app import run

    raise SystemExit(run(arguments))
