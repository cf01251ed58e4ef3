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
    "Their paths alone, to work through them again:\n"
    "  trackrecord files failed --still --json | jq -r '.[].file_path'",
)
@in_paragraphs
def failed_files(
    *,
    storage: Storage = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    command: str | None = None,
    still: Annotated[bool, Parameter(negative=())] = False,
    limit: int = 50,
    json: Json = False,
) -> int:
    """List the files that failed or never began, of the newest run first; of the last seven days where no day is given.

    Args:
        from_: First day of the runs' start, YYYY-MM-DD in UTC.
        to: Last day, included.
        command: Only runs of this command or flow.
        still: Only those that no run brought through that `trackrecord retry` started.
        limit: At most so many; 0 for all.
    """
    from prefect_trackrecord.cli.files import failed_files as work

    return work(storage, from_, to, command, still, limit, json)
