"""Channels are told once, their failures are said, and what is said is short."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from prefect_trackrecord.delivery import parse_config, run_delivery_report
from prefect_trackrecord.errors import ConfigurationError
from prefect_trackrecord.tracking import RunTracker, TrackingStorage


class Board:
    def __init__(self, error: Exception | None = None) -> None:
        self.told: list[tuple[str, str | None]] = []
        self.error = error

    def notify(self, body: str, subject: str | None = None) -> None:
        self.told.append((body, subject))
        if self.error:
            raise self.error


class AsyncBoard(Board):
    async def notify(self, body: str, subject: str | None = None) -> None:  # type: ignore[override]
        super().notify(body, subject)


@pytest.fixture
def storage(tmp_path: Path) -> TrackingStorage:
    storage = TrackingStorage(base_path=tmp_path / "history")
    with RunTracker("check", storage=storage) as tracker:
        for n in range(7):
            tracker.track_file(f"{n}", "failed", error_type=f"E{n}Error", error_message="boom " * 200)
    return storage


def run(storage: TrackingStorage, channels: Any, **more: Any) -> Any:
    config = parse_config({"title": "Voice", "window": "today", **more.pop("config", {})})
    return run_delivery_report(
        config, now=datetime.now(timezone.utc), archive=storage.archive, channels=channels, **more
    )


def test_each_is_told_once_and_shortly(storage: TrackingStorage) -> None:
    plain, waiting = Board(), AsyncBoard()
    with RunTracker("delivery-report", storage=storage, role="report") as tracker:
        found = run(storage, {"a": plain, "b": waiting}, tracker=tracker, config={"base_url": "https://x.example/h"})
    assert [(r.agent_name, r.status, r.outcome) for r in found.emails] == [("a", "sent", "sent"), ("b", "sent", "sent")]
    ((body, subject),) = plain.told
    assert waiting.told == [(body, subject)]
    assert subject == found.rendered.subject
    assert body.startswith(found.report.verdict.sentence)
    assert body.endswith(found.stored.page_url)
    assert body.count("- new:") == 5
    assert "and 2 more errors" in body
    assert len(body) < 3000
    assert storage.archive.run(tracker.run_id).emails_sent == 2
    again = run(storage, {"a": plain, "b": waiting})
    assert [r.status for r in again.emails] == ["skipped", "skipped"]
    assert len(plain.told) == 1


def test_one_that_fails_does_not_stop_the_next(storage: TrackingStorage) -> None:
    bad, good = Board(RuntimeError("webhook gone\r\nfor good")), Board()
    found = run(storage, {"bad": bad, "good": good})
    assert [(r.status, r.outcome) for r in found.emails] == [("failed", "unknown"), ("sent", "sent")]
    assert found.emails[0].reason == "RuntimeError: webhook gone for good"
    run(storage, {"bad": bad})
    assert len(bad.told) == 1
    run(storage, {"bad": bad}, resend="undelivered")
    assert len(bad.told) == 2


def test_configured_blocks_are_resolved_by_name(storage: TrackingStorage) -> None:
    board = Board()
    boards = {"slack-webhook/ops": board}
    run(storage, None, config={"channels": "slack-webhook/ops"}, resolve=boards.__getitem__)
    assert len(board.told) == 1
    with pytest.raises(ConfigurationError, match="is no block: it must be type/name"):
        parse_config({"channels": ["ops"]})


def test_a_dry_run_and_a_test_copy_tell_nobody(storage: TrackingStorage) -> None:
    board = Board()
    run(storage, {"a": board}, dry_run=True)
    run(storage, {"a": board}, to=["me@example.com"])
    assert board.told == []
