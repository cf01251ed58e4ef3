"""`trackrecord sql` and `trackrecord export`: the history as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from prefect_trackrecord.cli.root import Json, Storage, app

From = Annotated[str | None, Parameter(name="--from")]


@app.command(
    help_epilogue='Example:\n  trackrecord sql "select status, count(*) from runs group by 1"\n\n'
    "Over the files of a month:\n"
    "  trackrecord sql --from 2025-01-01 --to 2025-01-31 \\\n"
    "    \"select error_type, count(*) from files where status = 'failed' group by 1 order by 2 desc\""
)
def sql(
    query: str, /, *, storage: Storage = None, from_: From = None, to: str | None = None, json: Json = False
) -> int:
    """Ask the history in SQL: the views runs, files, emails and records, each with a column day.

    Needs the extra analytics (DuckDB).

    Args:
        query: What to ask.
        from_: First day, YYYY-MM-DD in UTC; fewer days are less to read.
        to: Last day, included.
    """
    from prefect_trackrecord.cli.analytics import sql as work

    return work(storage, query, from_, to, json)


@app.command(
    help_epilogue="Example:\n  trackrecord export --to parquet --folder lake --from 2025-01-01\n\n"
    "Spark, Athena and Dask read the folders as they are: lake/files/day=2025-01-20/..."
)
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
