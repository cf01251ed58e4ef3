"""`trackrecord retry`: doing again what failed."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from prefect_trackrecord.cli.options import Json, Storage, in_paragraphs

command = App(
    name="retry",
    help_epilogue="Example:\n  trackrecord retry 3f2a81c0 --dry-run\n\n"
    'The flow says which parameter takes its files: @track(items="paths") above its @flow.',
)


@command.default
@in_paragraphs
def retry(
    run_id: str,
    /,
    *,
    storage: Storage = None,
    deployment: str | None = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
) -> int:
    """Start the run's deployment again with only the files that failed, or that never began as it ended too soon.

    Files that a retry has brought through since are left out.

    Args:
        run_id: The run's id, or as much of its beginning as tells it from others.
        deployment: Another deployment than the run's own, as FLOW/NAME.
        dry_run: Print the files; start nothing.
    """
    from prefect_trackrecord.cli.retry import retry as work

    return work(storage, run_id, deployment, dry_run, json)
