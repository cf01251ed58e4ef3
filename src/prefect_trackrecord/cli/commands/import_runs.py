"""`trackrecord import-runs`: the past that Prefect knows, brought into the history."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from prefect_trackrecord.cli.options import Json, Storage, in_paragraphs

command = App(
    name="import-runs",
    help_epilogue="Example:\n  trackrecord import-runs --from 2025-01-01 --to 2025-01-31\n\n"
    "As often as you like: a run that the history has is left as it is.",
)


@command.default
@in_paragraphs
def import_runs(
    *,
    from_: Annotated[str, Parameter(name="--from")],
    to: str | None = None,
    storage: Storage = None,
    json: Json = False,
) -> int:
    """Bring flow runs that Prefect knows, and the history does not, into it, with their task runs as files.

    States, times and errors are taken from Prefect's API (PREFECT_API_URL). Runs that have not ended are left alone.

    Args:
        from_: First day of their start, YYYY-MM-DD in UTC.
        to: Last day, included; until now where left out.
    """
    from prefect_trackrecord.cli.import_runs import import_runs as work

    return work(storage, from_, to, json)
