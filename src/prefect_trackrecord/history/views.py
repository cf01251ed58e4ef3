"""Views of DuckDB over the history's documents; what can't be read of them is set aside, and named."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
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
from prefect_trackrecord.errors import DamagedDocumentError, StoreError
from prefect_trackrecord.history.records import Records, RecordState, records_of

SOURCES: dict[str, tuple[str, type[BaseModel], str]] = {
    "runs": (layout.RUNS, RunMetadata, "unstructured"),
    "files": (layout.FILES, FileProcessingLog, "array"),
    "emails": (layout.EMAILS, EmailResult, "array"),
}
_KINDS = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", datetime: "TIMESTAMPTZ"}
_SMALLEST = 16 << 20
"""DuckDB's own limit of an object. It takes twice the limit for each thread, so it is no larger than it must be."""
_DAY = r"(\d{4})/(\d{2})/(\d{2})/[^/]*$"


@dataclass
class Documents:
    """What there is to read: each table's folders and the bytes of its largest document, and what is set aside."""

    archive: Archive
    temporary: Path
    folders: dict[str, list[str]]
    largest: dict[str, int]
    records: Path
    damaged: list[DamagedDocumentError]

    @property
    def root(self) -> Path:
        """Where the documents lie on this machine."""
        return self.archive.store.local_root or self.temporary

    def set_aside(self, named: str) -> bool:
        """Leave out the document that DuckDB's error names, and all of its table that are none; False for none."""
        found = next((path for path in re.findall(r'"([^"]+)"', named) if self._is_document(path)), None)
        if found is None:
            return False
        known = {error.key for error in self.damaged}
        cause = named.partition(": ")[2].split("\n", 1)[0].replace(f' in file "{found}"', "").strip(" .")
        self.damaged.append(DamagedDocumentError(self._key(found), cause))
        top = self._key(found).partition("/")[0]
        name = next(name for name in self.folders if SOURCES[name][0] == top)
        for folder in self.folders[name]:
            for path in _inside(folder):
                if path != found and self._key(path) not in known and (cause := _no_document(path, SOURCES[name][2])):
                    self.damaged.append(DamagedDocumentError(self._key(path), cause))
        return True

    def _is_document(self, path: str) -> bool:
        if not path.endswith(".json") or not path.startswith(f"{self.root}{os.sep}"):
            return False
        return all(error.key != self._key(path) for error in self.damaged)

    def _key(self, path: str) -> str:
        return Path(path).relative_to(self.root).as_posix()

    def places(self, name: str) -> list[str]:
        """What DuckDB is to read for a table: folders, and file by file those with what is set aside."""
        aside = {str(self.root / error.key) for error in self.damaged}
        without = {os.path.dirname(path) for path in aside}
        found: list[str] = []
        for folder in self.folders[name]:
            if folder in without or glob.escape(folder) != folder:
                found += sorted(path for path in _inside(folder) if path not in aside)
            else:
                found.append(f"{folder}/[!.]*.json")
        return found


@contextlib.contextmanager
def documents_of(archive: Archive, start: Bound, end: Bound) -> Iterator[Documents]:
    """The documents of a window on this machine. Runs that `runs list` sets aside are, and what is empty.

    Raises:
        StoreError: the store can't be read.
        DateRangeError: the range runs backwards.
    """
    found = archive.facts(start, end)
    damaged = list(found.damaged)
    with tempfile.TemporaryDirectory(prefix="trackrecord-") as name:
        temporary = Path(name).resolve()
        window = bounds(start, end)
        found_of = {
            table: _folders(archive, prefix, window, temporary, damaged) for table, (prefix, _, _) in SOURCES.items()
        }
        folders = {table: places for table, (places, _) in found_of.items()}
        largest = {table: size for table, (_, size) in found_of.items()}
        records = temporary / "records" / "records.ndjson"
        records.parent.mkdir(exist_ok=True)
        _write_records(archive, found.runs, records, damaged)
        yield Documents(archive, temporary, folders, largest, records, damaged)


@contextlib.contextmanager
def connected(documents: Documents) -> Iterator[Any]:
    """A DuckDB connection with the views `runs`, `files`, `emails` and `records`, each with a column `day`."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET temp_directory = {quoted(documents.temporary / 'spill')}")
        for name, (_, model, form) in SOURCES.items():
            columns = {field: _kind(info.annotation) for field, info in model.model_fields.items()}
            size = documents.largest[name]
            connection.execute(f"CREATE VIEW {name} AS {_select(documents.places(name), columns, form, size)}")
        kinds = {field.name: "VARCHAR" for field in fields(RecordState)} | {"since": "TIMESTAMPTZ", "times": "JSON"}
        columns = {**kinds, "day": "VARCHAR"}
        source = f"read_json({quoted(documents.records)}, format='newline_delimited', columns={columns})"
        connection.execute(f"CREATE VIEW records AS SELECT * FROM {source}")  # noqa: S608 - our own names and paths
        yield connection


def _folders(
    archive: Archive,
    prefix: str,
    window: tuple[datetime | None, datetime | None],
    temporary: Path,
    damaged: list[DamagedDocumentError],
) -> tuple[list[str], int]:
    """The folders of the days on this machine that hold documents, and the largest's bytes; empty ones are damaged."""
    days, until = day_folders(prefix, *window), last_day(window[1])
    known = {error.key for error in damaged}
    root = archive.store.local_root
    sizes: dict[str, int] = {}
    if root is not None:
        for key in archive.store.keys(days):
            if _is_documents(key, prefix, until):
                sizes[key] = _size(root / key)
    else:
        for read, documents in read_days(archive.store, days, BYTES, until):
            for key, data in zip(read, documents, strict=True):
                if not _is_documents(key, prefix, until):
                    continue
                if isinstance(data, Exception):
                    raise StoreError(f"{key} can't be read: {data}") from data
                path = temporary / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                sizes[key] = len(data)
    damaged += [DamagedDocumentError(key, "it is empty") for key, n in sizes.items() if not n and key not in known]
    made = {str((root or temporary) / folder) for folder in {key.rpartition("/")[0] for key in sizes}}
    return sorted(made), max(sizes.values(), default=0)


def _is_documents(key: str, prefix: str, until: str) -> bool:
    """Whether a document has this key: it lies in the folder of a day itself, and is not hidden."""
    folder, _, name = key.rpartition("/")
    day = folder[len(prefix) + 1 :]
    if not name.endswith(".json") or name.startswith(".") or day > until:
        return False
    return len(day) == len("YYYY/MM/DD") and layout.date_of_key(f"{day}/") is not None


def _inside(folder: str) -> list[str]:
    """The documents of a day's folder."""
    return [str(path) for path in Path(folder).glob("*.json") if not path.name.startswith(".")]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # deleted since it was listed
        return -1


def _no_document(path: str, form: str) -> str:
    """What is wrong with a document's JSON or its shape; nothing for one that DuckDB takes."""
    try:
        found = orjson.loads(Path(path).read_bytes())
    except (OSError, ValueError) as exc:
        return str(exc)
    if form == "array":
        right = isinstance(found, list) and all(isinstance(one, dict) or one is None for one in found)
        return "" if right else "it is no list of objects"
    return "" if isinstance(found, dict) else "it is no object"


def quoted(path: Path) -> str:
    """A path as a text in SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def _select(places: list[str], columns: dict[str, str], form: str, largest: int) -> str:
    if not places:
        nothing = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in columns.items())
        return f"SELECT {nothing}, NULL::VARCHAR AS day WHERE false"
    read = ", ".join(quoted(Path(place)) for place in places)
    names = ", ".join(f'"{name}"' for name in columns)
    day = f"regexp_replace(regexp_extract(filename, '{_DAY}'), '{_DAY}', '\\1-\\2-\\3')"
    limit = max(_SMALLEST, largest + largest // 4)  # a document may have grown since
    source = f"read_json([{read}], format='{form}', columns={columns}, filename=true, maximum_object_size={limit})"
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


def _write_records(
    archive: Archive, known: Sequence[RunMetadata], place: Path, damaged: list[DamagedDocumentError]
) -> None:
    days = {run.run_id: layout.day_of(run.started_at).replace("/", "-") for run in known}
    found = records_of(archive, known, limit=sys.maxsize) if archive.store.folders(layout.RECORDS) else Records()
    damaged += found.damaged
    with place.open("wb") as file:
        for state in found.states:
            row = {**asdict(state), "day": days[state.run_id]}
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
