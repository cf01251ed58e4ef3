"""Records of a window's runs, read from a real store."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from report_samples import FakeArchive

from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.history import records_of
from prefect_trackrecord.store import StoreConfig

DAY = datetime(2025, 1, 20, 6, tzinfo=timezone.utc)


def entry(record_id: str, status: str, **fields: Any) -> dict[str, Any]:
    base = {"record_id": record_id, "record": "{}", "status": status, "status_color": "gold"}
    updates = [
        {
            "timestamp": at,
            "old_status": old,
            "old_status_color": "",
            "new_status": new,
            "new_status_color": "gold",
            "traceback": "",
        }
        for at, old, new in fields.pop("updates", [])
    ]
    return {**base, "status_updates": updates, "traces": [], "created_at": "2025-01-20T06:00:00+00:00", **fields}


def write(root: Path, process: str, run_id: str, *entries: dict[str, Any]) -> None:
    folder = root / "records" / process / run_id
    folder.mkdir(parents=True)
    (folder / "records_logs.json").write_text(json.dumps({"data": {e["record_id"]: e for e in entries}}))


def test_the_latest_run_says_how_a_record_stands(tmp_path: Path) -> None:
    runs = FakeArchive()
    first, second = runs.add(DAY, run_id="r1"), runs.add(DAY + timedelta(days=1), run_id="r2")
    updates = [("2025-01-20T06:10:00+00:00", "Pending", "Running"), ("2025-01-20T06:25:00+00:00", "Running", "Success")]
    write(tmp_path, "invoices", "r1", entry("A", "Success", updates=updates), entry("B", "Pending"))
    write(tmp_path, "invoices", "r2", entry("B", "Failed", error={"message": "no such vendor"}))
    write(tmp_path, "invoices", "other", entry("C", "Success"))
    found = records_of(Archive(StoreConfig(str(tmp_path))), [first, second])
    states = {s.record_id: s for s in found.states}
    assert set(states) == {"A", "B"}
    assert (states["A"].status, states["A"].category, states["A"].run_id) == ("Success", "success", "r1")
    assert states["A"].times == {"Pending": 600.0, "Running": 900.0}
    assert (states["B"].status, states["B"].category, states["B"].error) == ("Failed", "failed", "no such vendor")
    assert found.complete
    assert not found.damaged


def test_a_store_without_records_and_a_bound(tmp_path: Path) -> None:
    runs = FakeArchive()
    made = [runs.add(DAY + timedelta(hours=n), run_id=f"r{n}") for n in range(3)]
    archive = Archive(StoreConfig(str(tmp_path)))
    assert records_of(archive, made).states == ()
    for n in range(3):
        write(tmp_path, "p", f"r{n}", entry(f"{n}", "Pending"))
    found = records_of(archive, made, limit=2)
    assert [s.run_id for s in found.states] == ["r2", "r1"]
    assert not found.complete
