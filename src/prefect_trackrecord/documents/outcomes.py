"""The outcomes of a run's files, grouped by file: in memory for a run of usual size, in a temporary database for more.

A run may have millions of files; what it takes to seal it must not grow with them.
"""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Iterator
from typing import cast

from prefect_trackrecord import events as ev

IN_MEMORY = 20_000
_BATCH = 2_000
_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -24000;
CREATE TABLE item (digest BLOB PRIMARY KEY, first INTEGER) WITHOUT ROWID;
CREATE TABLE outcome (first INTEGER, seq INTEGER, name TEXT, line BLOB, PRIMARY KEY (first, seq)) WITHOUT ROWID;
"""


class Outcomes:
    """Collects outcomes in any order and gives them back by item, items in the order in which they came.

    Args:
        in_memory: so many are kept in memory; what is more goes to a temporary file, which is gone with this object.
    """

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._in_memory = in_memory
        self._count = itertools.count(1)
        self._items: dict[str, list[ev.FileTracked]] = {}
        self._db: sqlite3.Connection | None = None
        self._batch: list[tuple[bytes, int, str, bytes]] = []

    @property
    def spilled(self) -> bool:
        """Whether they are more than memory should hold."""
        return self._db is not None

    def add(self, outcome: ev.FileTracked) -> None:
        """Take one in."""
        item = item_of(outcome)
        number = next(self._count)
        if self._db is None:
            self._items.setdefault(item, []).append(outcome)
            if number > self._in_memory:
                self._spill()
            return
        self._batch.append(_packed(item, number, outcome))
        if len(self._batch) >= _BATCH:
            self._flush()

    def groups(self) -> Iterator[tuple[str, list[ev.FileTracked]]]:
        """Each item with its outcomes, in the order in which they were added."""
        if self._db is None:
            yield from self._items.items()
            return
        self._flush()
        rows = self._db.execute("SELECT first, name, line FROM outcome ORDER BY first, seq")
        for _, group in itertools.groupby(rows, key=lambda row: cast("int", row[0])):
            found = list(group)
            yield found[0][1], [cast("ev.FileTracked", ev.decode(line)) for _, _, line in found]

    def _spill(self) -> None:
        # "" is SQLite's name for a database in a file of its own that nobody else sees and that goes with it
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.executescript(_TABLES)
        number = itertools.count(-self._in_memory - 1)
        self._batch = [_packed(item, next(number), o) for item, group in self._items.items() for o in group]
        self._items.clear()
        self._flush()

    def _flush(self) -> None:
        if self._db is None or not self._batch:
            return
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR IGNORE INTO item VALUES (?, ?)", [(b[0], b[1]) for b in self._batch])
        self._db.executemany(
            "INSERT INTO outcome SELECT first, ?, ?, ? FROM item WHERE digest = ?",
            [(seq, name, line, digest) for digest, seq, name, line in self._batch],
        )
        self._db.execute("COMMIT")
        self._batch.clear()


def _packed(item: str, number: int, outcome: ev.FileTracked) -> tuple[bytes, int, str, bytes]:
    data = item.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16).digest(), number, data.decode("utf-8", "replace"), ev.encode(outcome)


def item_of(event: ev.FileTracked) -> str:
    """Which file this outcome is of: what the capture said, else path, type and agent."""
    if event.item is not None:
        return event.item
    row = event.row
    return f"{row.get('file_path')}\0{row.get('file_type') or ''}\0{row.get('agent_id') or ''}"
