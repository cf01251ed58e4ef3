"""What was lost on the events' way, and what else went wrong there: counted, and told once, by whichever thread.

There is no lock, as in the writer: counts are taken out of a deque, whose ends are each one thread's.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

from prefect_trackrecord.events import TrackingFailed
from prefect_trackrecord.journal import segments

_MOST_NEWS = 1000


class Losses:
    """Those of one writer.

    Attributes:
        dropped: events that no folder took, counted by cause.
        faults: what else went wrong on the events' way to the store, counted by cause.
    """

    def forked(self) -> None:
        """Nothing is lost yet."""
        self.dropped: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._news: deque[tuple[str, int, bool]] = deque()
        self._unheld: Counter[str] = Counter()
        self._losses_at: tuple[Path, int] | None = None

    def lose(self, cause: str, count: int = 1) -> None:
        """So many events are lost."""
        self._note(self.dropped, cause, count, lost=True)

    def fault(self, cause: str) -> None:
        """Something else went wrong on the events' way to the store."""
        self._note(self.faults, cause[:300], 1, lost=False)

    def _note(self, counts: Counter[str], cause: str, count: int, *, lost: bool) -> None:
        counts.setdefault(cause, 0)  # a Counter's own zero is Python code, in which threads may change
        counts[cause] += count
        self._news.append((cause, count, lost))
        if len(self._news) > _MOST_NEWS:
            self._news.extend((cause, count, lost) for (cause, lost), count in self._drained().items())

    def _drained(self) -> dict[tuple[str, bool], int]:
        """What is to be told, taken out: what one thread gets no other does."""
        found: dict[tuple[str, bool], int] = {}
        with contextlib.suppress(IndexError):
            while True:
                cause, count, lost = self._news.popleft()
                found[cause, lost] = found.get((cause, lost), 0) + count
        return found

    @property
    def has_news(self) -> bool:
        """Whether something was lost or went wrong that the journal does not hold yet."""
        return bool(self._news)

    def untold(self) -> list[TrackingFailed]:
        """What was lost and what went wrong, so far as nobody has told it yet; it is for the caller to tell."""
        now = datetime.now(timezone.utc)
        return [
            TrackingFailed(at=now, cause=lost_by(cause) if lost else cause, count=count, lost=count if lost else 0)
            for (cause, lost), count in self._drained().items()
        ]

    def held(self, told: Iterable[TrackingFailed]) -> None:
        """These losses are told elsewhere: no segment's room needs to hold them."""
        if not self._unheld:
            return
        for event in told:
            if event.lost and event.cause in self._unheld:
                self._unheld[event.cause] -= event.lost
        self._note_losses()

    def _note_losses(self) -> None:
        """Write into a segment's room how many events are lost that no line tells of. Never raises."""
        if self._losses_at is None:
            return
        path, offset = self._losses_at
        with contextlib.suppress(OSError), open(path, "r+b", buffering=0) as file:
            written = -1
            while written != (now := self._unheld_total()):  # another thread may have lost more, and written less
                file.seek(offset)
                file.write(segments.room_for(" / ".join(sorted(c for c, n in list(self._unheld.items()) if n)), now))
                written = now

    def _unheld_total(self) -> int:
        return sum(list(self._unheld.values()))

    def again(self, untold: Iterable[TrackingFailed]) -> None:
        """Nobody took these words; they are still to be told."""
        for event in untold:
            cause = event.cause.removeprefix(lost_by("")) if event.lost else event.cause
            self._news.append((cause, event.count, bool(event.lost)))


def lost_by(cause: str) -> str:
    """What a journal's line says of a loss by this cause."""
    return f"events lost: {cause}"
