"""Two weeks of two nightly flows, for the pictures of the report and its mail."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from prefect_trackrecord.tracking import RunTracker, TrackingStorage

FIRST = datetime(2026, 11, 9, tzinfo=timezone.utc)
NOW = datetime(2026, 11, 23, 6, 0, tzinfo=timezone.utc)
CONFIG = {
    "title": "Voice pipeline",
    "timezone": "Europe/Berlin",
    "date_from": "2026-11-16",
    "date_to": "2026-11-22",
    "recipients": [{"name": "Ada Reader", "email": "ada@example.com"}],
    "sender": "Reports <reports@example.com>",
    "flows": {"transcribe": {"owner": "speech", "runbook_url": "https://wiki.example.com/transcribe"}},
    "thresholds": {"file_success_rate": "97%"},
}
SILENT = ("ValueError", "no speech in {path}")
SPACE = ("OSError", "[Errno 28] No space left on device: '/scratch/{path}'")
TIMEOUT = ("ReadTimeout", "crm.example.com did not answer in 30 s")
UNKNOWN = ("KeyError", "'customer_id'")


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    at: datetime = FIRST


@dataclass(frozen=True)
class Night:
    """One run: how many nights came before it, and its files."""

    number: int
    command: str
    kind: str
    paths: list[str]


def write(folder: Path) -> TrackingStorage:
    """The history of both weeks."""
    storage, chance, clock = TrackingStorage(base_path=folder), random.Random(8), Clock()  # noqa: S311 - no secret
    for number in range(14):
        for command, hour, kind, files in (("transcribe", 1, "audio", 96), ("invoices", 3, "scan", 42)):
            clock.at = FIRST + timedelta(days=number, hours=hour)
            where = "calls/{}.wav" if kind == "audio" else "scans/{}.tif"
            names = [f"{clock.at:%m-%d}/{n:03}" for n in range(files + chance.randrange(-9, 10))]
            _run(storage, clock, chance, Night(number, command, kind, [where.format(name) for name in names]))
    return storage


def _run(storage: TrackingStorage, clock: Clock, chance: random.Random, night: Night) -> None:
    broken = dict(_failures(chance, night))
    slow = 1.9 if (night.command, night.number) == ("transcribe", 12) else 1
    with RunTracker(night.command, storage=storage, now=lambda: clock.at) as tracker:
        for n, path in enumerate(night.paths):
            took = chance.uniform(2_000, 9_000) * slow
            clock.at += timedelta(milliseconds=took)
            error = {}
            if n in broken:
                error = {"error_type": broken[n][0], "error_message": broken[n][1].format(path=path)}
            status = "failed" if error else "success"
            tracker.track_file(path, status, file_type=night.kind, processing_time_ms=took, **error)


def _failures(chance: random.Random, night: Night) -> Iterator[tuple[int, tuple[str, str]]]:
    count = len(night.paths)
    if night.command == "transcribe":
        yield from ((n, SILENT) for n in chance.sample(range(count), chance.randrange(1, 4)))
        if night.number == 10:
            yield from ((n, SPACE) for n in range(count - 17, count))
    elif night.number < 7:
        yield from ((n, UNKNOWN) for n in chance.sample(range(count), 2))
    elif night.number >= 11:
        yield from ((n, TIMEOUT) for n in chance.sample(range(count), 3))
