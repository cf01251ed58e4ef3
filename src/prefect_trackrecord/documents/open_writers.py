"""The writers of this process, one for each run: of those that are not used their files are closed, so few are open.

A worker lives long and takes part in many runs. Whoever writes to a run again gets a new writer, with a segment of its
own; one that still holds the old writer writes just as well.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from prefect_trackrecord.documents.collecting import let_go
from prefect_trackrecord.forking import ProcessLock
from prefect_trackrecord.journal.writer import JournalWriter

_MOST = 256
_FEWEST = 8
Key = tuple[str, str]
"""A store, by its identity, and a run's id."""


class OpenWriters:
    """Gives each run its writer."""

    def __init__(self) -> None:
        self._writers: dict[Key, JournalWriter] = {}
        self._lock = ProcessLock(threading.RLock)  # a signal handler may complete a run while one is made

    def of(self, key: Key, make: Callable[[], JournalWriter]) -> JournalWriter:
        """The one writer of a run, made where there is none."""
        found = self._writers.get(key)
        if found is None:
            with self._lock():
                found = self._writers.get(key)
                if found is None:
                    self._tidy()
                    found = self._writers[key] = make()
        return found

    def take(self, key: Key) -> JournalWriter | None:
        """A run's writer, which is its caller's care from now on; None where there is none."""
        return self._writers.pop(key, None)

    def _tidy(self) -> None:
        """Forget those that have been idle for long, and the longest idle ones where too many are open."""
        by_age = sorted(self._writers.items(), key=lambda item: item[1].used)
        many = len(by_age) - most_open() + 1
        for n, (key, writer) in enumerate(by_age):
            if n < many or writer.is_idle():
                self._writers.pop(key, None)
                writer.tell()
                let_go(writer)


def most_open() -> int:
    """How many writers may be open: of the files that a process may have, most are for its own work."""
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except (ImportError, OSError, ValueError):
        return _MOST
    return _MOST if soft < 0 else max(min(soft // 4, _MOST), _FEWEST)


writers = OpenWriters()
