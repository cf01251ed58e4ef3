"""Runs for the tests of history, report, pages and delivery: made by hand, with rows and roll-ups that agree."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any

from prefect_trackrecord.documents.fingerprint import error_fingerprint, place_of
from prefect_trackrecord.documents.models import (
    EmailResult,
    FileProcessingLog,
    FileStatus,
    RunMetadata,
    RunStatus,
)
from prefect_trackrecord.documents.rollup import roll_up
from prefect_trackrecord.documents.window import WindowResult, bounds
from prefect_trackrecord.errors import DamagedDocumentError

UTC = timezone.utc


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ok(*paths: str, **fields: Any) -> list[FileProcessingLog]:
    return [FileProcessingLog(file_path=p, status=FileStatus.SUCCESS, **fields) for p in paths]


def skipped(*paths: str, **fields: Any) -> list[FileProcessingLog]:
    return [FileProcessingLog(file_path=p, status=FileStatus.SKIPPED, **fields) for p in paths]


def failed(path: str, error_type: str = "ValueError", message: str = "no rows", **fields: Any) -> FileProcessingLog:
    print_ = error_fingerprint(error_type, message, place_of(fields.get("traceback")))
    return FileProcessingLog(
        file_path=path,
        status=FileStatus.FAILED,
        error_type=error_type,
        error_message=message,
        error_fingerprint=print_,
        **fields,
    )


class FakeArchive:
    """Runs and rows in memory, behind the same calls as the archive's."""

    def __init__(self) -> None:
        self.all: list[RunMetadata] = []
        self.rows: dict[str, list[FileProcessingLog]] = {}
        self.broken: dict[str, Exception] = {}
        self.damaged: list[DamagedDocumentError] = []
        self.read: list[str] = []

    def runs(self, start: Any = None, end: Any = None, command: str | None = None, status: Any = None) -> WindowResult:
        first, last = bounds(start, end)
        found = [
            r
            for r in self.all
            if (first is None or r.started_at >= first)
            and (last is None or r.started_at < last)
            and command in {None, r.command}
            and status in {None, r.status}
        ]
        return WindowResult(found, list(self.damaged))

    def files(self, run: RunMetadata) -> list[FileProcessingLog]:
        self.read.append(run.run_id)
        if run.run_id in self.broken:
            raise self.broken[run.run_id]
        return self.rows.get(run.run_id, [])

    def emails(self, run: RunMetadata) -> list[EmailResult]:
        return [EmailResult(email="late@example.com", status="failed", reason="550 no such user")]

    def add(
        self,
        started: datetime | str,
        rows: Iterable[FileProcessingLog] = (),
        *,
        command: str = "nightly",
        status: RunStatus | None = None,
        rollup: bool = True,
        emails: Sequence[EmailResult] = (),
        minutes: float | None = 10,
        **fields: Any,
    ) -> RunMetadata:
        started = at(started) if isinstance(started, str) else started
        rows = list(rows)
        counts = Counter(r.status.value for r in rows)
        sums = Counter(e.status for e in emails)
        if status is None:
            some = counts["failed"] and (counts["success"] or counts["skipped"])
            status = RunStatus.PARTIAL_SUCCESS if some else RunStatus.FAILED if counts["failed"] else RunStatus.SUCCESS
        if status is RunStatus.RUNNING:
            minutes = None
        run = RunMetadata(
            **{
                "run_id": f"run-{len(self.all):04d}",
                "command": command,
                "started_at": started,
                "completed_at": started + timedelta(minutes=minutes) if minutes is not None else None,
                "status": status,
                "total_files": len(rows),
                "success_count": counts["success"],
                "failed_count": counts["failed"],
                "skipped_count": counts["skipped"],
                "emails_sent": sums["sent"],
                "emails_failed": sums["failed"],
                "emails_skipped": sums["skipped"],
                "email_results": list(emails),
                "rollup": roll_up(r.model_dump(mode="json") for r in rows) if rollup and rows else None,
                **fields,
            }
        )
        self.all.append(run)
        self.rows[run.run_id] = rows
        return run


def two_weeks(seed: int = 7) -> FakeArchive:
    """Two weeks of four flows, the second of which (20 to 26 January 2025) has news of every kind."""
    rng = random.Random(seed)
    archive = FakeArchive()
    for n in range(14):
        day = datetime(2025, 1, 13, tzinfo=UTC) + timedelta(days=n)
        _transcribe(archive, day, n, rng)
        _extract(archive, day, n, rng)
        _report(archive, day, n, rng)
        if day.weekday() == 0 or n == 13:
            _sync(archive, day, n)
    archive.add(
        datetime(2025, 1, 26, 6, 30, tzinfo=UTC),
        command="delivery-report",
        role="report",
        emails=[EmailResult(email="me@example.com", status="failed", reason="must not be counted")],
    )
    return archive


def _prefect(command: str, name: str) -> dict[str, Any]:
    return {"command": command, "flow_name": command, "flow_run_name": name, "flow_id": "0f0f"}


def _transcribe(archive: FakeArchive, day: datetime, n: int, rng: random.Random) -> None:
    rows = ok(*(f"/data/audio/{day.date()}/call-{i:04d}.wav" for i in range(rng.randrange(90, 140))), file_type="audio")
    rows += skipped(*(f"/data/audio/{day.date()}/seen-{i:02d}.wav" for i in range(n % 5)), file_type="audio")
    if n % 2 or n > 9:
        for i in range(1 + n % 4):
            path = f"/data/audio/{day.date()}/call-9{i:03d}.wav"
            rows.append(
                failed(path, "TimeoutError", f"the speech service gave no answer in {30 + i} s", file_type="audio")
            )
    if 3 < n < 12:
        path = "/data/audio/shared/codec-test.opus"
        rows.append(failed(path, "UnsupportedCodecError", "codec 'opus-2' is not supported", file_type="audio"))
    if n >= 12:
        rows += ok("/data/audio/shared/codec-test.opus", file_type="audio")
    status = RunStatus.ABORTED if n == 9 else None
    reason = "recovered: its process died" if n == 9 else None
    name = f"{rng.choice(['amber', 'brave', 'calm'])}-{rng.choice(['heron', 'lynx', 'otter'])}"
    archive.add(
        day + timedelta(hours=1, minutes=rng.randrange(9)),
        rows,
        status=status,
        minutes=rng.randrange(22, 51),
        reason=reason,
        **_prefect("transcribe", name),
    )


def _extract(archive: FakeArchive, day: datetime, n: int, rng: random.Random) -> None:
    rows = ok(*(f"/data/transcripts/{day.date()}/{i:04d}.json" for i in range(rng.randrange(60, 110))))
    if n == 13:
        for i in range(6):
            path = f"/data/transcripts/{day.date()}/9{i:03d}.json"
            rows.append(failed(path, "KeyError", "'agent_id' | <b>missing</b> in the transcript's header"))
    archive.add(day + timedelta(hours=2), rows, minutes=rng.uniform(3, 9), **_prefect("extract", "quiet-finch"))


def _report(archive: FakeArchive, day: datetime, n: int, rng: random.Random) -> None:
    emails = [EmailResult(agent_id=f"A{i}", email=f"agent{i}@example.com", status="sent") for i in range(12)]
    if n in {8, 11}:
        emails.append(
            EmailResult(
                agent_id="A77",
                agent_name="Zoë O'Hara",
                email="zoe.ohara@example.com",
                status="failed",
                outcome="rejected",
                reason="550 5.1.1 no such user here",
            )
        )
    if n > 6:
        emails.append(EmailResult(agent_id="A90", status="skipped", reason="No email configured"))
    archive.add(
        day + timedelta(hours=6),
        subcommand="tl-report",
        emails=emails,
        minutes=rng.uniform(0.4, 1.5),
        command="report",
        tracking_errors={"2 events could not be stored: disk full": 2} if n == 10 else {},
    )


def _sync(archive: FakeArchive, day: datetime, n: int) -> None:
    fields: dict[str, Any] = _prefect("crm-sync", "patient-wren")
    if n == 13:
        fields |= {
            "error_type": "HTTPStatusError",
            "error_message": "401 Unauthorized for url 'https://crm.example.com/v2'",
        }
        archive.add(day + timedelta(hours=3), status=RunStatus.FAILED, minutes=0.2, **fields)
    elif n == 7:
        archive.add(day + timedelta(hours=3), status=RunStatus.RUNNING, **fields)
    else:
        archive.add(day + timedelta(hours=3), status=RunStatus.SUCCESS, minutes=4, **fields)


WEEK = (date(2025, 1, 20), date(2025, 1, 26))
NOW = datetime(2025, 1, 27, 7, 0, tzinfo=UTC)
