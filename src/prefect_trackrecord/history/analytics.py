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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import orjson

from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.window import Bound
from prefect_trackrecord.errors import DamagedDocumentError, MissingDriverError, TrackRecordError, UsageError
from prefect_trackrecord.history.views import SOURCES, Documents, connected, documents_of, quoted

T = TypeVar("T")
TABLES = ("runs", "files", "emails", "records")
_EXPLAIN = re.compile(r"\s*explain\s+(?:analyze\s+|\(\s*format\s+\w+\s*\)\s*)?", re.IGNORECASE)
_WRITERS = re.compile(r"\b(?:copy|query|json_execute_serialized_sql)\b", re.IGNORECASE)
"""Without one of these words nothing in a PIVOT writes; `query` is one, as it makes SQL of texts put together."""
_WRITING = ("COPY", "BATCH_COPY", "JSON_EXECUTE_SERIALIZED_SQL")
"""How the steps of a plan begin that write files, or of which the plan does not show what they do."""


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
        TrackRecordError: DuckDB's memory does not suffice.
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
            except duckdb.OutOfMemoryException as exc:
                raise _too_large(exc) from None
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


def _too_large(error: Exception) -> TrackRecordError:
    import duckdb

    with duckdb.connect() as connection:
        ((memory, threads),) = connection.execute(
            "SELECT current_setting('memory_limit'), current_setting('threads')"
        ).fetchall()
    said = str(error).split("\n", 1)[0].partition("Error: ")[2]
    return TrackRecordError(
        f"DuckDB's memory does not suffice, {memory} for {threads} threads: {said}; "
        "give this machine more memory or fewer processors, or take fewer days (--from, --to)"
    )


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
        TrackRecordError: DuckDB's memory does not suffice for it.
    """

    def ask(connection: Any, documents: Documents) -> tuple[list[str], list[tuple[Any, ...]]]:
        _lock(connection, documents)
        for statement in connection.extract_statements(sql):
            if not _only_reads(connection, statement, sql):
                said = " ".join((statement.query or sql).split())[:60]
                raise UsageError(
                    f"{said!r} is not among what may be asked: SELECT, FROM, WITH, VALUES, PIVOT, DESCRIBE, SHOW and "
                    "SUMMARIZE that only read, and EXPLAIN of them; to write tables there is trackrecord export"
                )
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


def _only_reads(connection: Any, statement: Any, sql: str) -> bool:
    """Whether a statement writes nothing: DuckDB may also write where the documents lie, so what would is not begun.

    What it does is read from its plan, not from its words: a SELECT may hold a COPY (`WITH x AS (COPY ...)`).
    """
    kind = str(statement.type).rpartition(".")[2]
    text = statement.query
    if kind == "MULTI" or not text:  # PIVOT, and what it stands in: parts without a text to DuckDB 1
        return not _WRITERS.search(text or sql)  # one part must have run before the next can be planned
    if kind == "EXPLAIN":  # with ANALYZE it runs what it explains, so that must be a SELECT of its own
        found = _EXPLAIN.match(text)
        text = text[found.end() :] if found else ""
        try:
            kind = ", ".join(str(one.type).rpartition(".")[2] for one in connection.extract_statements(text))
        except Exception:  # noqa: BLE001 - an EXPLAIN with other options, or with comments between its words
            return False
    if kind != "SELECT":
        return False
    ((_, plan),) = connection.execute(f"EXPLAIN (FORMAT json) {text}").fetchall()
    return not any(name.startswith(_WRITING) for name in _steps(orjson.loads(plan)))


def _steps(plan: list[dict[str, Any]]) -> Iterator[str]:
    for step in plan:
        yield step["name"].strip().upper()
        yield from _steps(step.get("children", []))


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
        TrackRecordError: DuckDB's memory does not suffice.
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
