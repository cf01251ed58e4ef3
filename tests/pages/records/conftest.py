"""Records as the page gets them, a page written to a file, and a browser to open it with."""

import base64
import json
import os
from collections.abc import Callable, Iterator
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
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


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


# Not for the session: as long as it is open, its event loop would stop tests that run one of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser at {CHROMIUM}; CHROMIUM names another")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address; at the end of the test nothing may have gone wrong in the console or over the network."""
    trouble: list[str] = []
    contexts = []

    def goto(address: str, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1300, "height": 850}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: trouble.append(m.text) if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda e: trouble.append(str(e)))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else trouble.append(r.url))
        page.goto(address)
        if options.get("java_script_enabled", True):
            # wait_for_function needs eval, which the page's policy forbids.
            wait(page, "document.documentElement.dataset.readyMs")
        return page

    goto.trouble = trouble
    yield goto
    for context in contexts:
        context.close()
    assert trouble == []


def wait(page: Any, expression: str, seconds: float = 15) -> Any:
    for _ in range(int(seconds * 20)):
        if found := page.evaluate(expression):
            return found
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


@pytest.fixture
def until() -> Callable[..., Any]:
    return wait
