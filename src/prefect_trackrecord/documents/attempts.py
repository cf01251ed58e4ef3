"""A run's starts and ends: its attempts, which end counts, and what both say of the run's fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents.models import RunStatus

RECOVERED = "recovered"
"""How the reason of an end begins that somebody else gave a run which could not give it itself."""
GUESSED = f"{RECOVERED}: no sign of life"
"""How it begins where only silence spoke for the end."""
GONE = f"{RECOVERED}: the process"
"""How it begins where a process that could not be found spoke for it."""
_FIRST_STAYS = frozenset({"started_at", "parameters", "command", "parent_run_id"})


@dataclass
class Attempts:
    """The starts and ends of a run, in any order."""

    starts: list[ev.RunStarted] = field(default_factory=list)
    ends: list[ev.RunEnded] = field(default_factory=list)

    def first(self) -> datetime | None:
        """When the first one began; None for a run without a start of its own."""
        return min((s.at for s in self.starts), default=None)

    def last(self) -> tuple[int, datetime] | None:
        """Number and time of the last one that began; None for a run without a start of its own."""
        return max(((_count(s), s.at) for s in self.starts), default=None)

    def number(self) -> int:
        """The number of the last one that began."""
        return max((_count(s) for s in self.starts), default=1)

    def end(self) -> ev.RunEnded | None:
        """The end that counts: that of the last attempt, there the last one; the run's own before a recovered one.

        An end of an earlier attempt counts no longer once a later attempt has begun.
        """
        attempt = self.number()
        ends = [e for e in self.ends if self.number_of(e) >= attempt]
        return max(ends, key=lambda e: (self.number_of(e), not is_recovered(e), e.at), default=None)

    def number_of(self, ended: ev.RunEnded) -> int:
        """Which attempt an end belongs to; a process that tells of another's crash may know only when that was."""
        if ended.run_count:
            return ended.run_count
        before = [_count(s) for s in self.starts if s.at <= ended.at]
        return max(before) if before else min(map(_count, self.starts), default=1)

    def resumed(self) -> list[tuple[int, datetime]]:
        """When an attempt went on in another process, after it was suspended: number and time, in order."""
        first: set[int] = set()
        found = []
        for number, at in sorted((_count(s), s.at) for s in self.starts):
            if number in first:
                found.append((number, at))
            first.add(number)
        return found

    def fields(self) -> dict[str, Any]:
        """What the starts say of the run, the last word on most things."""
        own: dict[str, Any] = {}
        for start in sorted(self.starts, key=lambda s: (_count(s), s.at)):
            known = {n: v for n, v in start.run.items() if v is not None and not (n in _FIRST_STAYS and own.get(n))}
            own.update(known)
        return own

    def told(self) -> list[dict[str, Any]]:
        """The attempts, where there was more than one: each with its start, its end and its error."""
        starts: dict[int, datetime] = {}
        for start in self.starts:
            number = _count(start)
            starts[number] = min(starts.get(number, start.at), start.at)
        if len(starts) < 2:
            return []
        ends = {self.number_of(e): e for e in sorted(self.ends, key=lambda e: e.at)}
        return [
            {
                "number": number,
                "started_at": begun,
                "ended_at": ends[number].at if number in ends else None,
                "status": (ends[number].status or ends[number].state) if number in ends else None,
                "error_type": ends[number].error_type if number in ends else None,
                "error_message": ends[number].error_message if number in ends else None,
            }
            for number, begun in sorted(starts.items())
        ]


def is_recovered(ended: ev.RunEnded) -> bool:
    """Whether somebody else ended the run in its place."""
    return (ended.reason or "").startswith(RECOVERED)


def is_guessed(ended: ev.RunEnded) -> bool:
    """Whether only signs spoke for a run's end: its own end, should one come after all, replaces that."""
    return (ended.reason or "").startswith((GUESSED, GONE))


def _count(start: ev.RunStarted) -> int:
    count = start.run.get("run_count")
    return count if type(count) is int and count > 0 else 1


def ending(run: dict[str, Any], begun: datetime, ended: ev.RunEnded, *, lost: int = 0) -> dict[str, Any]:
    """The fields of a run that an end gives it.

    Args:
        run: its fields so far.
        begun: when it began.
        ended: its end.
        lost: events of it that were lost. Its items then don't tell that all went well, and its reason says why.
    """
    status, reason = ended.status or status_by_items(run), ended.reason
    if lost and status == RunStatus.SUCCESS.value:
        status = ended.status or RunStatus.PARTIAL_SUCCESS.value
        reason = reason or f"{lost:,} of its events were lost: its files may not be all"
    fields: dict[str, Any] = {
        "status": status,
        "completed_at": ended.at,
        "duration_ms": max(0, round((ended.at - begun).total_seconds() * 1000)),
        "error_message": ended.error_message,
        "error_type": ended.error_type,
        "traceback": ended.traceback,
        "reason": reason,
        "state": ended.state,
    }
    return {name: value for name, value in fields.items() if value is not None or name not in run}


def status_by_items(run: dict[str, Any]) -> str:
    """The status of a run that completed: by its files and emails.

    None failed: success. There were files and all of them failed: failed. Else: partial success. Files that never
    began are none that went well.
    """
    failed = (run.get("failed_count") or 0) + (run.get("never_began") or 0)
    if not failed and not (run.get("emails_failed") or 0):
        return RunStatus.SUCCESS.value
    if failed and failed == (run.get("total_files") or 0):
        return RunStatus.FAILED.value
    return RunStatus.PARTIAL_SUCCESS.value
