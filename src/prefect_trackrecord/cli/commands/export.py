"""`trackrecord export`: the history as tables for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from prefect_trackrecord.cli.options import Json, Storage, in_paragraphs

From = Annotated[str | None, Parameter(name="--from")]


command = App(
    name="export",
    help_epilogue="Example:\n  trackrecord export --to parquet --folder lake --from 2025-01-01\n\n"
    "Spark, Athena and Dask read the folders as they are: lake/files/day=2025-01-20/...",
)


@command.default
@in_paragraphs
def export(
    *,
    to: Literal["parquet"] = "parquet",
    folder: Path = Path("trackrecord-export"),
    storage: Storage = None,
    from_: From = None,
    until: str | None = None,
    json: Json = False,
) -> int:
    """Write the history as tables of Parquet files, partitioned by day.

    Needs the extra analytics (DuckDB).

    Args:
        to: The format.
        folder: Where to, a folder of this machine.
        from_: First day, YYYY-MM-DD in UTC.
        until: Last day, included.
    """
    from prefect_trackrecord.cli.analytics import export as work

    return work(storage, folder, to, from_, until, json)
