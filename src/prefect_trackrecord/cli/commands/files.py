"""`trackrecord files ...`: the files of many runs."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from prefect_trackrecord.cli.options import Json, Storage, in_paragraphs

command = App(
    name="files",
    help="Read the files of many runs.",
    help_epilogue="Example:\n  trackrecord files failed --from 2025-01-20",
)


@command.command(
    name="failed",
    help_epilogue="Example:\n  trackrecord files failed --from 2025-01-20 --command nightly\n\n"
    "Their paths alone, each once, to work through them again; -0 also where names have spaces:\n"
    "  trackrecord files failed --still --from 2025-01-20 -0 | xargs -0 -r python convert.py",
)
@in_paragraphs
def failed_files(
    *,
    storage: Storage = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    command: str | None = None,
    still: Annotated[bool, Parameter(negative=())] = False,
    limit: int | None = None,
    paths: Annotated[bool, Parameter(negative=())] = False,
    null: Annotated[bool, Parameter(name=("--null", "-0"), negative=())] = False,
    json: Json = False,
) -> int:
    """List the files that failed or never began, of the newest run first; of the last seven days where no day is given.

    Args:
        from_: First day of the runs' start, YYYY-MM-DD in UTC.
        to: Last day, included.
        command: Only runs of this command or flow.
        still: Only those that no run brought through that `trackrecord retry` started.
        limit: At most so many; 0 for all. Where left out 50 on a terminal, all elsewhere and with --json or --paths.
        paths: Print nothing but the paths, one a line and each once; what could steer a terminal is written out.
        null: The same, as the history keeps them and with a NUL after each, for xargs -0. A path with a secret that the
            history masks is left out of both, and the exit code is 1.
    """
    from prefect_trackrecord.cli.files import failed_files as work

    return work(storage, from_, to, command, still, limit, paths or null, null, json)
