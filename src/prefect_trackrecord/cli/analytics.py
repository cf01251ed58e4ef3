"""`trackrecord sql` and `trackrecord export`."""

from __future__ import annotations

from pathlib import Path

from prefect_trackrecord.cli.output import dump, note, table
from prefect_trackrecord.cli.place import must_be_there, storage_of
from prefect_trackrecord.cli.progress import waiting
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.history import analytics


def sql(storage: str | None, query: str, first: str | None, last: str | None, as_json: bool) -> int:
    """Print what a query gives."""
    place = storage_of(storage)
    must_be_there(place, storage)
    with waiting("asking the history"):
        columns, rows = analytics.query(place.archive, query, first, last)
    if as_json:
        dump([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        table(columns, rows)
    return 0


def export(storage: str | None, folder: Path, form: str, first: str | None, last: str | None, as_json: bool) -> int:
    """Write the tables and say how many rows each has."""
    if form != "parquet":
        raise UsageError(f"{form} is no format that is written; parquet is")
    place = storage_of(storage)
    must_be_there(place, storage)
    with waiting(f"writing to {folder}"):
        counts = analytics.export(place.archive, folder, first, last)
    if as_json:
        dump(counts)
    else:
        table(("table", "rows"), list(counts.items()))
        note(f"written to {folder}")
    return 0
