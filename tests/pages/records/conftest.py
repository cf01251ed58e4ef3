"""Records as the page gets them, and a page written to a file."""

import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from prefect_trackrecord.pages.records import render_records_page

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=timezone.utc)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
COLORS = {"": "white", "Pending": "deepskyblue", "Failed": "firebrick", "Completed": "seagreen"}


def make_entry(n: int, *, failed: bool = False, events: int = 4) -> dict[str, Any]:
    """Record `inv-<n>`: begun, one status change to Pending, traces, one to its end."""
    begun = NOW - timedelta(hours=2) + timedelta(minutes=n % 1000)
    end = "Failed" if failed else "Completed"
    moments = [(begun + timedelta(seconds=i)).isoformat() for i in range(events)]
    traces = [
        {
            "action": f"Step {i} of inv-{n}",
            "reason": f"Because of rule {i}",
            "timestamp": moments[i],
            "dict_updates": {
                "total": {"from": None if i == 0 else i, "to": i + 1},
                "name": {"from": "old", "to": None},
            },
            "dict_updates_kinds": {"total": "added" if i == 0 else "changed", "name": "removed"},
            "image": f"images/scan-{n}.png" if i == 0 and n % 10 == 0 else "",
            "caller_name": "intake",
            "traceback": "flows/intake.py:12 (intake)",
            "image_src_uri": "",
        }
        for i in range(events - 2)
    ]
    updates = [
        {
            "timestamp": moment,
            "old_status": old,
            "old_status_color": COLORS[old],
            "new_status": new,
            "new_status_color": COLORS[new],
            "traceback": "flows/intake.py:14 (intake)",
        }
        for moment, old, new in ((moments[-2], "", "Pending"), (moments[-1], "Pending", end))
    ]
    entry: dict[str, Any] = {
        "record_id": f"inv-{n}",
        "record": json.dumps({"id": f"inv-{n}", "total": events}),
        "status": end,
        "status_color": COLORS[end],
        "status_updates": updates,
        "traces": traces,
        "record_type": "Invoice" if n % 2 else "Claim",
    }
    if failed:
        entry["category"] = "failed"
        entry["error"] = {
            "kind": "application", "code": "", "type": "TimeoutError",
            "message": f"ledger did not answer inv-{n} in 30 s", "traceback": "Traceback: here",
        }  # fmt: skip
    return entry


@pytest.fixture
def entry() -> Callable[..., dict[str, Any]]:
    return make_entry


@pytest.fixture
def render() -> Callable[..., str]:
    def page(entries: Any, **options: Any) -> str:
        options = {"title": "Invoices", "generated_at": NOW, "images": lambda _: PIXEL, **options}
        return b"".join(render_records_page(entries, **options)).decode("utf-8")

    return page


@pytest.fixture
def save(render: Callable[..., str], tmp_path: Path) -> Callable[..., str]:
    """Render into a file; gives the address of it."""

    def to_file(entries: Any, **options: Any) -> str:
        path = tmp_path / "records_report.html"
        path.write_bytes(render(entries, **options).encode())
        return path.as_uri()

    return to_file
