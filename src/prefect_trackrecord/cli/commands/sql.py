"""`trackrecord sql`: questions to the history."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from prefect_trackrecord.cli.options import Json, Storage, in_paragraphs

From = Annotated[str | None, Parameter(name="--from")]


command = App(
    name="sql",
    help_epilogue='Example:\n  trackrecord sql "select status, count(*) from runs group by 1"\n\n'
    "Over the files of a month:\n"
    "  trackrecord sql --from 2025-01-01 --to 2025-01-31 \\\n"
    "    \"select error_type, count(*) from files where status = 'failed' group by 1 order by 2 desc\"",
)


@command.default
@in_paragraphs
def sql(
    query: str, /, *, storage: Storage = None, from_: From = None, to: str | None = None, json: Json = False
) -> int:
    """Ask the history in SQL: the views runs, files, emails and records, each with a column day.

    It reads the history's documents and no other file, and writes none. Needs the extra analytics (DuckDB).

    Args:
        query: What to ask.
        from_: First day, YYYY-MM-DD in UTC; fewer days are less to read.
        to: Last day, included.
    """
    from prefect_trackrecord.cli.analytics import sql as work

    return work(storage, query, from_, to, json)
