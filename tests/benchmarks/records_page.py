"""The records page in figures: python tests/benchmarks/records_page.py [N ...], default 100 1000 10000 50000.

Records of 10 events, a picture of about 8 KB in every 20th. Opened from a file in headless Chromium (CHROMIUM names
another than /usr/bin/chromium), each figure the best and the worst of three openings.
"""

import gc
import os
import random
import sys
import tempfile
import time
import tracemalloc
from datetime import datetime, timedelta, timezone
from pathlib import Path

import orjson
from playwright.sync_api import sync_playwright

from prefect_trackrecord.pages.records import render_records_page

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=timezone.utc)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-precise-memory-info",
]  # fmt: skip
ENDS = [("Completed", "seagreen")] * 7 + [("Failed", "firebrick"), ("Skipped", "lightgrey"), ("On Hold", "khaki")]
FILTER = """(async () => {
  const times = [];
  const act = async (id, value, kind) => {
    const field = document.getElementById(id);
    field.value = value;
    const begun = performance.now();
    field.dispatchEvent(new Event(kind));
    if (id === "q") document.getElementById("tools").dispatchEvent(new Event("submit", {cancelable: true}));
    document.getElementById("rows").offsetHeight;
    times.push(performance.now() - begun);
    await new Promise(done => setTimeout(done, 200));
  };
  %s
  return times;
})()"""
PLAIN_FILTERS = """
  await act("status", "Failed", "change"); await act("status", "", "change");
  await act("outcome", "success", "change"); await act("sort", "new", "change"); await act("sort", "", "change");
  await act("outcome", "", "change");"""
TEXT_FILTERS = """
  await act("q", "vendor 77", "input"); await act("q", "checks passed 1234", "input");
  await act("q", "nowhere", "input"); await act("q", "", "input");"""


def lines(count):
    """Entries as lines of JSON, so that the page's own time is measured, and not that of making them up."""
    chance = random.Random(7)  # noqa: S311
    for n in range(count):
        begun = NOW - timedelta(days=1) + timedelta(seconds=n)
        moments = [(begun + timedelta(seconds=i, milliseconds=chance.randrange(900))).isoformat() for i in range(10)]
        end, color = chance.choice(ENDS)
        total = chance.randrange(10**6) / 100
        place = "flows/invoice_intake.py:88 (book)\nflows/invoice_intake.py:41 (intake)"
        traces = [
            {
                "action": ("Initialize record", "Read the scan", "Check the sums", "Ask the ledger")[i % 4],
                "reason": f"{i} of 8 checks passed for invoice {n} of vendor {chance.randrange(5000)}",
                "timestamp": moments[i],
                "dict_updates": {
                    "total": {"from": None if i == 0 else total - i, "to": total},
                    f"lines[{i}].price": {"from": None, "to": chance.randrange(10**5) / 100},
                },
                "image": f"images/scan-{n // 20}.png" if i == 1 and n % 20 == 0 else "",
                "caller_name": "book",
                "traceback": place,
                "image_src_uri": "",
            }
            for i in range(8)
        ]
        changes = [("", "white", "Running", "dodgerblue"), ("Running", "dodgerblue", end, color)]
        updates = [
            dict(
                zip(("old_status", "old_status_color", "new_status", "new_status_color"), change, strict=True),
                timestamp=moments[8 + i],
                traceback=place,
            )
            for i, change in enumerate(changes)
        ]
        entry = {
            "record_id": f"INV-{n:06d}", "record_type": "Invoice", "status": end, "status_color": color,
            "record": orjson.dumps({"id": f"INV-{n:06d}", "total": total, "note": "x" * 300}).decode(),
            "status_updates": updates, "traces": traces,
        }  # fmt: skip
        if end == "Failed":
            entry["error"] = {"kind": "application", "type": "TimeoutError", "message": f"no answer for invoice {n}"}
        yield orjson.dumps(entry)


def render(source, path):
    noise = random.Random(1).randbytes(8_000)  # noqa: S311
    begun = time.process_time()
    with open(path, "wb") as file:
        for part in render_records_page(
            (orjson.loads(line) for line in source),
            title="Invoice intake",
            generated_at=NOW,
            images=lambda name: b"\x89PNG\r\n\x1a\n" + name.encode() + noise,
        ):
            file.write(part)
    return time.process_time() - begun


def rss(browser):
    """Resident memory of the largest page process, in MB."""
    session = browser.new_browser_cdp_session()
    pids = [p["id"] for p in session.send("SystemInfo.getProcessInfo")["processInfo"] if p["type"] == "renderer"]
    sizes = []
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        sizes += [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")]
    return max(sizes)


def opened(browser, address):
    context = browser.new_context(viewport={"width": 1300, "height": 850})
    page = context.new_page()
    page.goto(address)
    while not (ready := page.evaluate("document.documentElement.dataset.readyMs")):
        page.wait_for_timeout(20)
    page.wait_for_timeout(300)
    memory = rss(browser)
    filters = page.evaluate(FILTER % PLAIN_FILTERS)
    begun = time.perf_counter()
    page.fill("#q", "checks passed")
    page.wait_for_timeout(150)
    while page.inner_text("#count").startswith("Searching"):
        page.wait_for_timeout(20)
    first = time.perf_counter() - begun
    words = page.evaluate(FILTER % TEXT_FILTERS)
    whole = rss(browser)
    context.close()
    return float(ready), max(filters), max(words), first * 1000, memory, whole


def main(counts):
    print(
        "records | MB | render s | peak MB | open ms | filter ms | text filter ms | first text ms | memory MB | "
        "after search MB"
    )
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=FLAGS
        )
        for count in counts:
            path = Path(folder) / "page.html"
            source = list(lines(count))
            gc.collect()
            seconds = render(source, path)
            tracemalloc.start()
            render(source[: min(count, 10_000)], Path(folder) / "measured.html")
            peak = tracemalloc.get_traced_memory()[1] / 1e6
            tracemalloc.stop()
            del source
            found = list(zip(*(opened(browser, path.as_uri()) for _ in range(3)), strict=True))
            spans = " | ".join(f"{min(values):.0f}-{max(values):.0f}" for values in found)
            print(f"{count} | {path.stat().st_size / 1e6:.1f} | {seconds:.2f} | {peak:.0f} | {spans}", flush=True)
        browser.close()


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [100, 1_000, 10_000, 50_000])
