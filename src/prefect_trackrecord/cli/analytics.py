"""`trackrecord sql` and `trackrecord export`."""

from __future__ import annotations

from pathlib import Path

from prefect_trackrecord.cli.output import complain_of_damage, dump, note, table
from prefect_trackrecord.cli.place import must_be_there, storage_of
from prefect_trackrecord.cli.progress import waiting
from prefect_trackrecord.errors import DamagedDocumentError, UsageError
from prefect_trackrecord.history import analytics


def sql(storage: str | None, query: str, first: str | None, last: str | None, as_json: bool) -> int:
    """Print what a query gives; 1 where a document could not be read."""
    place = storage_of(storage)
    must_be_there(place, storage)
    damaged: list[DamagedDocumentError] = []
    with waiting("asking the history"):
        columns, rows = analytics.query(place.archive, query, first, last, damaged)
    if as_json:
        columns = _told_apart(columns)
        dump([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        table(columns, rows, named=True)
    complain_of_damage(damaged)
    return 1 if damaged else 0


def _told_apart(columns: list[str]) -> list[str]:
    """The names of columns, each once, as JSON needs them: the second `day` of a join is `day_1`."""
    found: list[str] = []
    for name in columns:
        own, n = name, 0
        while own in found or (n and own in columns):
            n += 1
            own = f"{name}_{n}"
        found.append(own)
    return found


def export(storage: str | None, folder: Path, form: str, first: str | None, last: str | None, as_json: bool) -> int:
    """Write the tables and say how many rows each has; 1 where a document could not be read."""
    if form != "parquet":
        raise UsageError(f"{form} is no format that is written; parquet is")
    place = storage_of(storage)
    must_be_there(place, storage)
    damaged: list[DamagedDocumentError] = []
    with waiting(f"writing to {folder}"):
        counts = analytics.export(place.archive, folder, first, last, damaged)
    if as_json:
        dump(counts)
    else:
        table(("table", "rows"), list(counts.items()))
        note(f"written to {folder}")
    complain_of_damage(damaged)
    return 1 if damaged else 0
