"""Reading a window: from the real archive, to the instant, and old documents made whole."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from report_samples import FakeArchive, failed, ok

from prefect_trackrecord import history
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import EmailResult, RunStatus
from prefect_trackrecord.errors import DamagedDocumentError
from prefect_trackrecord.store import open_store
from prefect_trackrecord.tracking import RunTracker, TrackingStorage

UTC = timezone.utc


def test_runs_of_a_real_store_with_what_is_damaged(tmp_path: Path) -> None:
    storage = TrackingStorage(base_path=tmp_path)
    with RunTracker("one", storage=storage) as tracker:
        tracker.track_file("a", "success")
        tracker.track_file("b", "failed", error_type="E", error_message="boom")
    day = datetime.now(UTC)
    bad = tmp_path / f"run_metadata/{day:%Y/%m/%d}/broken.json"
    bad.write_text("{")
    archive = Archive(open_store(tmp_path))
    found = history.runs(archive, day.date(), day.date())
    assert [r.run_id for r in found] == [tracker.run_id]
    assert found.runs[0].status is RunStatus.PARTIAL_SUCCESS
    assert [d.key for d in found.damaged] == [f"run_metadata/{day:%Y/%m/%d}/broken.json"]
    assert [r.file_path for r in history.rows_of(archive)(found.runs[0])] == ["a", "b"]
    assert len(history.runs(archive, day.date(), day.date(), "other")) == 0


def test_adjoining_windows_share_no_run_and_lose_none() -> None:
    archive = FakeArchive()
    start = datetime(2025, 1, 20, tzinfo=UTC)
    for n in range(-5, 60):
        archive.add(start + timedelta(hours=n))
        archive.add(start + timedelta(hours=n, microseconds=-1))
    days = [start + timedelta(days=n) for n in range(3)]
    windows = [history.runs_between(archive, a, b) for a, b in zip(days, days[1:])]
    ids = [r.run_id for w in windows for r in w]
    assert len(ids) == len(set(ids))
    assert set(ids) == {r.run_id for r in archive.all if days[0] <= r.started_at < days[-1]}


def test_old_documents_get_their_groups_from_their_rows() -> None:
    archive = FakeArchive()
    bare = failed("b", "E", "boom").model_copy(update={"error_fingerprint": None})
    archive.add("2025-01-20", [*ok("a"), bare], rollup=False)
    found = history.whole(archive, history.runs(archive, date(2025, 1, 20), date(2025, 1, 20)))
    (group,) = history.sum_groups(found.runs).values()
    assert (group.error_type, group.count) == ("E", 1)
    assert history.ungrouped(found.runs) == 0


def test_old_emails_come_from_their_own_document() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20", emails=[EmailResult(email="x@example.com", status="failed")], email_results=[])
    found = history.whole(archive, history.runs(archive))
    assert found.runs[0].email_results[0].email == "late@example.com"


def test_rows_that_are_damaged_keep_the_counts_and_are_told() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20", [failed("b")], rollup=False)
    archive.broken["run-0000"] = DamagedDocumentError("file_logs/x.json", "no JSON")
    found = history.whole(archive, history.runs(archive))
    assert found.damaged[0].key == "file_logs/x.json"
    assert history.Numbers.total(found.runs).files["failed"] == 1


@pytest.mark.parametrize("limit", [0, 1])
def test_reading_rows_of_old_documents_is_bounded(limit: int) -> None:
    archive = FakeArchive()
    for hour in (1, 2):
        archive.add(f"2025-01-20T0{hour}:00", [failed("b")], rollup=False)
    found = history.whole(archive, history.runs(archive), max_runs=limit)
    assert len(archive.read) == limit
    assert history.ungrouped(found.runs) == 2 - limit
