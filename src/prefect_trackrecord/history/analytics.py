"""The history as tables: DuckDB views over its documents, and Parquet files partitioned by day (the extra `analytics`).

A folder's documents are read where they lie; a bucket's are brought into a temporary folder first, those of the wanted
days only. What is larger than one machine is exported, and read by Spark, Athena or Dask as it is.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, fields
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import orjson
from pydantic import BaseModel

from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.index import read_days
from prefect_trackrecord.documents.kinds import BYTES
from prefect_trackrecord.documents.models import EmailResult, FileProcessingLog, RunMetadata
from prefect_trackrecord.documents.window import Bound, bounds, day_folders, last_day
from prefect_trackrecord.errors import MissingDriverError, StoreError, UsageError
from prefect_trackrecord.history.reading import runs
from prefect_trackrecord.history.records import RecordState, records_of

TABLES = ("runs", "files", "emails", "records")
_SOURCES: dict[str, tuple[str, type[BaseModel], str]] = {
    "runs": (layout.RUNS, RunMetadata, "unstructured"),
    "files": (layout.FILES, FileProcessingLog, "array"),
    "emails": (layout.EMAILS, EmailResult, "array"),
}
_KINDS = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", datetime: "TIMESTAMPTZ"}
_DAY = r"(\d{4})/(\d{2})/(\d{2})/[^/]*$"


@contextlib.contextmanager
def tables(archive: Archive, start: Bound = None, end: Bound = None) -> Iterator[Any]:
    """A DuckDB connection with the views `runs`, `files`, `emails` and `records`, each with a column `day`.

    Args:
        archive: the history.
        start, end: days, both included; all where left out.

    Raises:
        MissingDriverError: DuckDB is not installed.
        StoreError: the store can't be read.
        DateRangeError: the range runs backwards.
    """
    try:
        import duckdb
    except ImportError:
        raise MissingDriverError('DuckDB is not installed: pip install "prefect-trackrecord[analytics]"') from None
    with tempfile.TemporaryDirectory(prefix="trackrecord-") as temporary, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, (prefix, model, form) in _SOURCES.items():
            folders = _folders(archive, prefix, bounds(start, end), Path(temporary))
            columns = {field: _kind(info.annotation) for field, info in model.model_fields.items()}
            connection.execute(f"CREATE VIEW {name} AS {_select(folders, columns, form)}")
        place = Path(temporary) / "records.ndjson"
        _write_records(archive, start, end, place)
        kinds = {field.name: "VARCHAR" for field in fields(RecordState)} | {"since": "TIMESTAMPTZ", "times": "JSON"}
        columns = {**kinds, "day": "VARCHAR"}
        source = f"read_json('{place}', format='newline_delimited', columns={columns})"
        connection.execute(f"CREATE VIEW records AS SELECT * FROM {source}")  # noqa: S608 - our own names and paths
        yield connection


def query(
    archive: Archive, sql: str, start: Bound = None, end: Bound = None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows of a query over the views; see `tables`.

    Raises:
        UsageError: DuckDB refuses it; the message is DuckDB's own.
    """
    with tables(archive, start, end) as connection:
        import duckdb

        try:
            cursor = connection.execute(sql)
            if cursor is None:
                raise UsageError("there is no question in it; ask as in: select count(*) from runs")
            return [column[0] for column in cursor.description or ()], cursor.fetchall()
        except duckdb.Error as exc:
            raise UsageError(f"DuckDB: {exc}") from None


def export(archive: Archive, folder: Path, start: Bound = None, end: Bound = None) -> dict[str, int]:
    """Write the tables as Parquet, `<folder>/<table>/day=YYYY-MM-DD/*.parquet`; returns the rows of each.

    Days that are there already are written anew, whole; others stay.

    Raises:
        UsageError: DuckDB can't write there, or can't read a document.
    """
    counts = {}
    folder.mkdir(parents=True, exist_ok=True)
    with tables(archive, start, end) as connection:
        import duckdb

        for name in TABLES:
            with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder) as temporary:
                place = temporary.replace("'", "''")
                try:
                    (counts[name],) = connection.execute(
                        f"COPY (SELECT * FROM {name}) TO '{place}' "  # noqa: S608 - our own names, and a quoted path
                        "(FORMAT parquet, COMPRESSION zstd, PARTITION_BY (day), OVERWRITE_OR_IGNORE)"
                    ).fetchone()
                except duckdb.Error as exc:
                    raise UsageError(f"DuckDB: {exc}") from None
                _put_days(Path(temporary), folder / name)
    return counts


def _put_days(made: Path, table: Path) -> None:
    """Put the folders of days in the places of those that are there: a file of an older export would count twice."""
    table.mkdir(exist_ok=True)
    for day in made.iterdir():
        place = table / day.name
        if place.exists():
            shutil.rmtree(place)
        day.rename(place)


def _folders(
    archive: Archive, prefix: str, window: tuple[datetime | None, datetime | None], temporary: Path
) -> list[str]:
    """The folders of the days on this machine that hold documents."""
    days, until = day_folders(prefix, *window), last_day(window[1])
    cut = len(prefix) + 1
    root = archive.store.local_root
    if root is not None:
        found = {key.rpartition("/")[0] for key in archive.store.keys(days) if key.endswith(".json")}
        found = {folder for folder in found if folder[cut:] <= until}
        return sorted(str(root / folder) for folder in found)
    made: set[Path] = set()
    for keys, documents in read_days(archive.store, days, BYTES, until):
        for key, data in zip(keys, documents, strict=True):
            if isinstance(data, Exception):
                raise StoreError(f"{key} can't be read: {data}") from data
            path = temporary / key
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            path.write_bytes(data)
    return sorted(map(str, made))


def _select(folders: list[str], columns: dict[str, str], form: str) -> str:
    if not folders:
        nothing = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in columns.items())
        return f"SELECT {nothing}, NULL::VARCHAR AS day WHERE false"
    places = [f"{folder}/*.json" for folder in folders]
    names = ", ".join(f'"{name}"' for name in columns)
    day = f"regexp_replace(regexp_extract(filename, '{_DAY}'), '{_DAY}', '\\1-\\2-\\3')"
    source = f"read_json({places}, format='{form}', columns={columns}, filename=true, maximum_object_size=268435456)"
    return f"SELECT {names}, {day} AS day FROM {source}"  # noqa: S608 - our own names and paths


def _kind(annotation: Any) -> str:
    """DuckDB's type for a field: its own for plain values, JSON for what has parts."""
    for one in (annotation, *get_args(annotation)):
        inner = next((a for a in get_args(one) if isinstance(a, type)), one)
        if isinstance(inner, type) and issubclass(inner, Enum):
            return "VARCHAR"
        if inner in _KINDS and getattr(annotation, "__origin__", None) not in (list, dict):
            return _KINDS[inner]
    return "JSON"


def _write_records(archive: Archive, start: Bound, end: Bound, place: Path) -> None:
    known = runs(archive, start, end).runs if archive.store.folders(layout.RECORDS) else ()
    days = {run.run_id: layout.day_of(run.started_at).replace("/", "-") for run in known}
    with place.open("wb") as file:
        for state in records_of(archive, known).states:
            row = {**asdict(state), "day": days[state.run_id]}
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
