"""Counts of a run that goes on: its files by what the journal of this host says, and how many there will be."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

from prefect_trackrecord import events as ev
from prefect_trackrecord._prefect.runs import LiveRun
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.rows import item_of
from prefect_trackrecord.events import decode
from prefect_trackrecord.journal.reader import segment_paths, whole

_FILE = b'{"kind":"file"'


class Tally:
    """The outcomes of one run's files on this host; reads only what has come since the last time.

    Args:
        run: the run.
        turn: its attempt that goes on; what earlier ones told does not count.

    Attributes:
        task_runs: hashes of the ids of the task runs that told them.
        kinds: keys of the tracked tasks among these; "" for what was tracked without a task.
        last_failed: the file that failed last.
    """

    def __init__(self, run: LiveRun, turn: int = 1) -> None:
        archive = run.archive
        self._folders = [archive.spool / layout.safe_part(run.run_id)]
        if (root := archive.store.local_root) is not None:
            self._folders.append(root / layout.journal_prefix(run.run_id))
        self._offsets: dict[str, int] = {}
        self._items: dict[int, str] = {}
        self._turn = turn
        self.task_runs: set[int] = set()
        self.kinds: set[str] = set()
        self.last_failed: str | None = None

    def counts(self) -> Counter[str]:
        """Files by status so far; of an attempt that began anew, its own."""
        for folder in self._folders:
            for path in segment_paths(folder):
                with contextlib.suppress(OSError):
                    self._read(path)
        return Counter(self._items.values())

    def _read(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self._offsets.get(path.name, 0))
            data = whole(file.read())
        self._offsets[path.name] = self._offsets.get(path.name, 0) + len(data)
        for line in data.split(b"\n"):
            if not line.startswith(_FILE):
                continue
            with contextlib.suppress(ValueError):
                event = decode(line)
                if isinstance(event, ev.FileTracked):
                    self._take(event)

    def _take(self, event: ev.FileTracked) -> None:
        if event.item is not None:  # of a task, which knows its attempt
            if event.turn < self._turn:
                return
            if event.turn > self._turn:
                self._turn, self.last_failed = event.turn, None
                self._items.clear()
                self.kinds.clear()
        status = str(event.row.get("status"))
        self._items[hash(item_of(event))] = status
        self.kinds.add((event.item or "").partition("\0")[0])
        self.task_runs.add(hash(event.row.get("task_run_id")))
        if status == "failed":
            self.last_failed = str(event.row.get("file_path"))


class Expects:
    """How many files a run will have, looked at again and again: no share of it may ever go back.

    Its items say that, for as long as each is seen to make one file. Without them, what was handed over does once it
    is no more than a look before, though files have ended since: a loop that waits for each task hands over one by one.
    """

    def __init__(self) -> None:
        self._handed = 0
        self._told = self._grew = False

    def __call__(self, ended: int, handed: int, items: int | None, kinds: int) -> int | None:
        """The number; None where nobody knows it.

        Args:
            ended: files that have ended, on all hosts.
            handed: those on this host, and what waits; 0 where nothing waits in this process.
            items: how many items the flow was given.
            kinds: so many tracked tasks it has so far.
        """
        if items is not None:
            self._grew = self._grew or kinds > 1 or max(ended, handed) > items
            return None if self._grew else items
        before, self._handed = self._handed, max(self._handed, handed)
        self._grew = self._grew or (self._told and handed > before)
        if self._grew or not handed or handed != before:
            return None
        self._told = True
        return handed
