"""`trackrecord runs ...`: the history of runs."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from prefect_trackrecord.cli.options import Json, Storage, in_paragraphs

Status = Literal["running", "success", "partial_success", "failed", "aborted"]
command = App(
    name="runs",
    help="Read the history of runs.",
    help_epilogue="Example:\n  trackrecord runs show 3f2a --failed",
)


@command.command(
    name="list",
    help_epilogue="Example:\n  trackrecord runs list --from 2025-01-20 --to 2025-01-26 --status failed\n\n"
    "Without a terminal the rows are separated by tabs, below a line of headings, with run ids in full:\n"
    "  trackrecord runs list | tail -n +2 | cut -f 1",
)
@in_paragraphs
def list_runs(
    *,
    storage: Storage = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    command: str | None = None,
    status: Status | None = None,
    limit: int | None = None,
    json: Json = False,
) -> int:
    """List runs, newest first.

    Args:
        from_: First day of their start, YYYY-MM-DD in UTC.
        to: Last day, included.
        command: Only runs of this command or flow.
        status: Only runs that stand so.
        limit: At most so many; 0 for all. Where left out 50 on a terminal, all elsewhere and with --json.
    """
    from prefect_trackrecord.cli.runs import list_runs as work

    return work(storage, from_, to, command, status, limit, json)


@command.command(
    name="show",
    help_epilogue="Example:\n  trackrecord runs show 3f2a81c0 --failed\n\n"
    "As JSON, for example for the paths of the failed files:\n"
    "  trackrecord runs show 3f2a81c0 --failed --json | jq -r '.files[].file_path'",
)
@in_paragraphs
def show_run(
    run_id: str,
    /,
    *,
    storage: Storage = None,
    failed: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
) -> int:
    """Show one run: how it ended, its files and emails, its errors.

    Args:
        run_id: The run's id, or as much of its beginning as tells it from others.
        failed: Show all failed files, and no others.
    """
    from prefect_trackrecord.cli.runs import show_run as work

    return work(storage, run_id, failed, json)


@command.command(
    name="open",
    help_epilogue="Example:\n  trackrecord runs open 3f2a81c0\n\n"
    "Only say where it is, for a machine without a browser:\n"
    "  trackrecord runs open 3f2a81c0 --print",
)
@in_paragraphs
def open_run(
    run_id: str,
    /,
    *,
    storage: Storage = None,
    ui: Annotated[bool, Parameter(negative=())] = False,
    print_: Annotated[bool, Parameter(name="--print", negative=())] = False,
    json: Json = False,
) -> int:
    """Open a run in the browser: the page of its records, or else the run in Prefect's UI.

    Args:
        run_id: The run's id, or as much of its beginning as tells it from others.
        ui: The run in Prefect's UI, also where it has records.
        print_: Print the address, and open nothing.
    """
    from prefect_trackrecord.cli.opening import open_run as work

    return work(storage, run_id, ui, print_, json)
