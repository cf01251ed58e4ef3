"""The history as tables: DuckDB views over its documents, and Parquet files partitioned by day (the extra `analytics`).

A folder's documents are read where they lie; a bucket's are brought into a temporary folder first, those of the wanted
days only. What is larger than one machine is exported, and read by Spark, Athena or Dask as it is.
"""

from __future__ import annotations

import concurrent.futures
import functools
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.window import Bound
from prefect_trackrecord.errors import DamagedDocumentError, MissingDriverError, UsageError
from prefect_trackrecord.history.views import SOURCES, Documents, connected, documents_of, quoted

T = TypeVar("T")
TABLES = ("runs", "files", "emails", "records")
_READS = {"SELECT", "EXPLAIN", "MULTI", "CREATE", "INSERT", "UPDATE", "DELETE", "DROP", "SET", "VARIABLE_SET"}
"""What may be asked for: to read, and what changes nothing but the memory of that one question."""


def _asked(
    archive: Archive,
    start: Bound,
    end: Bound,
    damaged: list[DamagedDocumentError],
    ask: Callable[[Any, Documents], T],
) -> T:
    """What DuckDB answers; a document that it can't read is set aside, and it is asked again, anew.

    Raises:
        MissingDriverError: DuckDB is not installed.
        UsageError: DuckDB refuses; the message is its own.
        KeyboardInterrupt: Ctrl+C, of which DuckDB makes an error of its own.
    """
    try:
        import duckdb
    except ImportError:
        raise MissingDriverError('DuckDB is not installed: pip install "prefect-trackrecord[analytics]"') from None
    with documents_of(archive, start, end) as documents:
        while True:
            try:
                with connected(documents) as connection:
                    answer = _interruptible(connection, functools.partial(ask, connection, documents))
            except duckdb.InterruptException:
                raise KeyboardInterrupt from None
            except duckdb.Error as exc:
                if not documents.set_aside(str(exc)):
                    raise UsageError(f"DuckDB: {exc}") from None
            except RuntimeError as exc:
                if "interrupted" not in str(exc):
                    raise
                raise KeyboardInterrupt from None
            else:
                damaged += documents.damaged
                return answer


def _interruptible(connection: Any, work: Callable[[], T]) -> T:
    """Do it in a thread: the one that Ctrl+C comes to would be DuckDB's, which may not look for long."""
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="trackrecord-duckdb") as pool:
        future = pool.submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def query(
    archive: Archive,
    sql: str,
    start: Bound = None,
    end: Bound = None,
    damaged: list[DamagedDocumentError] | None = None,
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows of a query over the views `runs`, `files`, `emails` and `records`.

    It reads what lies in the history, no other files, and writes none.

    Args:
        archive: the history.
        sql: the query.
        start, end: days, both included; all where left out.
        damaged: gets the documents that could not be read, and were left out.

    Raises:
        MissingDriverError: DuckDB is not installed.
        StoreError: the store can't be read.
        DateRangeError: the range runs backwards.
        UsageError: DuckDB refuses it; the message is DuckDB's own.
    """

    def ask(connection: Any, documents: Documents) -> tuple[list[str], list[tuple[Any, ...]]]:
        _lock(connection, documents)
        for statement in connection.extract_statements(sql):
            _check(statement)
        cursor = connection.execute(sql)
        if cursor is None:
            raise UsageError("there is no question in it; ask as in: select count(*) from runs")
        return [column[0] for column in cursor.description or ()], cursor.fetchall()

    return _asked(archive, start, end, [] if damaged is None else damaged, ask)


def _lock(connection: Any, documents: Documents) -> None:
    """Let it reach the documents alone."""
    places = [documents.records.parent, *(documents.root / prefix for prefix, _, _ in SOURCES.values())]
    allowed = ", ".join(map(quoted, places))
    connection.execute(f"SET allowed_directories = [{allowed}]")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _check(statement: Any) -> None:
    """Among the documents DuckDB may also write, so what would is not begun.

    Raises:
        UsageError: the statement does not only read.
    """
    kind = str(statement.type).rpartition(".")[2]
    text = re.sub(r"'(?:[^']|'')*'", "", statement.query)  # EXPLAIN ANALYZE runs what it explains, MULTI is PIVOT
    if kind not in _READS or (kind != "SELECT" and re.search(r"\b(copy|export|attach)\b", text, re.IGNORECASE)):
        said = " ".join(statement.query.split())[:60]
        raise UsageError(f"{said!r} does not only read; to write tables there is trackrecord export")


def export(
    archive: Archive,
    folder: Path,
    start: Bound = None,
    end: Bound = None,
    damaged: list[DamagedDocumentError] | None = None,
) -> dict[str, int]:
    """Write the tables as Parquet, `<folder>/<table>/day=YYYY-MM-DD/*.parquet`; returns the rows of each.

    Days that are there already are written anew, whole; others stay.

    Args:
        archive: the history.
        folder: where to.
        start, end: days, both included; all where left out.
        damaged: gets the documents that could not be read, and were left out.

    Raises:
        UsageError: the folder can't be written.
    """

    def write(connection: Any, _: Documents) -> dict[str, int]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as temporary:
                return _write(connection, folder, Path(temporary))
        except OSError as exc:
            raise UsageError(f"{folder} can't be written: {exc.strerror or exc}") from None

    return _asked(archive, start, end, [] if damaged is None else damaged, write)


def _write(connection: Any, folder: Path, temporary: Path) -> dict[str, int]:
    counts = {}
    for name in TABLES:
        (counts[name],) = connection.execute(
            f"COPY (SELECT * FROM {name}) TO {quoted(temporary / name)} "  # noqa: S608 - our own names, a quoted path
            "(FORMAT parquet, COMPRESSION zstd, PARTITION_BY (day))"
        ).fetchone()
    for name in TABLES:  # all could be written
        _put_days(temporary / name, folder / name, temporary / "old")
    return counts


def _put_days(made: Path, table: Path, aside: Path) -> None:
    """Put the folders of days in the places of those that are there: a file of an older export would count twice."""
    table.mkdir(exist_ok=True)
    for day in made.iterdir() if made.is_dir() else ():
        place = table / day.name
        try:
            if place.exists():
                place.rename(aside)
            day.rename(place)
        except BaseException:  # also Ctrl+C between the two
            if aside.exists() and not place.exists():
                aside.rename(place)
            raise
        if aside.exists():
            shutil.rmtree(aside)
