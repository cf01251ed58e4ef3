"""One measurement of `records.py`, run in a fresh process by either library's interpreter.

    python _records_case.py <ours|peer> <case> <N> <folder>

Prints one JSON object. Both libraries get the same records (about 400 bytes of JSON) and the same calls.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time

LIBRARY, CASE, N, FOLDER = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]

began = time.perf_counter()
if LIBRARY == "ours":
    from prefect_trackrecord.record import (
        RecordStatus,
        Status,
        ThoughtfulRecord,
        configure_records_tracing,
        dump_records,
        pack_sharable_zip,
        save_records_to_html,
    )
else:
    import logging

    from t_record import (
        RecordStatus,
        Status,
        ThoughtfulRecord,
        configure_records_tracing,
        dump_records,
        pack_sharable_zip,
        save_records_to_html,
    )

    for name in ("t_record", "t_utils", "t_bug_catcher"):
        logging.getLogger(name).setLevel(logging.ERROR)
IMPORT = time.perf_counter() - began


class Invoice(ThoughtfulRecord):
    """About 400 bytes of JSON."""

    id: str
    status: RecordStatus = ""
    customer: str = "Northwind Traders International, Rotterdam"
    number: str = "INV-2026-000000"
    amount: float = 1234.5
    currency: str = "EUR"
    note: str = "Received by mail, forwarded by the service desk for a check"
    lines: list = [
        {"sku": "A-1001", "qty": 3, "price": 19.99},
        {"sku": "B-2040", "qty": 1, "price": 420.0},
        {"sku": "C-7", "qty": 12, "price": 0.75},
    ]
    meta: dict = {"source": "mail", "attempt": 1, "tags": ["paper", "urgent"]}


def make(n: int) -> Invoice:
    return Invoice(id=f"rec_{n:06d}", number=f"INV-2026-{n:06d}", amount=n + 0.5)


def fill(n: int, traces: int = 10) -> list[Invoice]:
    records = []
    for i in range(n):
        record = make(i)
        record.status = Status.RUNNING
        # the first trace is the library's own
        for k in range(traces - 1):
            record.log_trace(f"Step {k}", reason="because the plan says so")
        records.append(record)
    return records


def best(work, times: int) -> float:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return sorted(found)[len(found) // 2]


def each(work, items) -> float:
    """Median over slices of the time per item."""
    size = max(1, len(items) // 10)
    found = []
    for at in range(0, len(items), size):
        part = items[at : at + size]
        start = time.perf_counter()
        for item in part:
            work(item)
        found.append((time.perf_counter() - start) / len(part))
    return sorted(found)[len(found) // 2]


def deep(n: int, work):
    return work() if n == 0 else deep(n - 1, work)


def size_of(folder: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for top, _, names in os.walk(folder):
        for name in names:
            kind = "journal" if name.endswith(".ndjson") else name
            sizes[kind] = sizes.get(kind, 0) + os.path.getsize(os.path.join(top, name))
    return sizes


def basics() -> dict:
    out = {"record_bytes": len(make(0).to_json_str().replace("\n", "").replace("    ", ""))}
    out["create_us"] = each(make, range(1, N + 1)) * 1e6
    records = [make(n) for n in range(1, N + 1)]
    out["status_us"] = each(lambda r: setattr(r, "status", Status.RUNNING), records) * 1e6
    for r in records:
        r.log_trace("warm")
    out["trace_us"] = each(lambda r: r.log_trace("Checked", reason="because the plan says so"), records) * 1e6

    def changed(r):
        r.meta["attempt"] += 1
        r.log_trace("Checked", reason="because the plan says so")

    out["trace_changed_us"] = each(changed, records) * 1e6
    out["trace_120_us"] = deep(
        120 - 4, lambda: each(lambda r: r.log_trace("Deep", reason="because"), records[:1000]) * 1e6
    )
    return out


def dumps() -> dict:
    records = fill(N)
    dump_records()
    time.sleep(4 if LIBRARY == "ours" else 0)  # the page that follows the first dump is not what is measured

    def one():
        records[N // 2].log_trace("One more")
        start = time.perf_counter()
        dump_records()
        return time.perf_counter() - start

    found = []
    for _ in range(9 if N <= 1000 else 3):
        found.append(one())
        time.sleep(0.3 if LIBRARY == "ours" else 0)
    out = {"dump_ms": sorted(found)[len(found) // 2] * 1e3, "dump_worst_ms": max(found) * 1e3}
    out["get_traces_ms"] = best(records[N // 3].get_traces, 5) * 1e3
    html = os.path.join(FOLDER, "out.html")
    out["html_s"] = best(lambda: save_records_to_html(html), 1)
    out["html_bytes"] = os.path.getsize(html)
    out["zip_s"] = best(lambda: pack_sharable_zip(os.path.join(FOLDER, "out.zip")), 1)
    out["zip_bytes"] = os.path.getsize(os.path.join(FOLDER, "out.zip"))
    time.sleep(2.5 if LIBRARY == "ours" else 0)
    out["disk"] = size_of(os.path.join(FOLDER, "rf"))
    return out


def each_dump() -> dict:
    log = os.path.join(FOLDER, "rf", "process_name", "run_id", "records_logs.json")
    spent, used, checked = 0.0, 0.0, 0
    for i in range(N):
        start, start_cpu = time.perf_counter(), time.process_time()
        record = make(i)
        record.status = Status.RUNNING
        for k in range(9):
            record.log_trace(f"Step {k}", reason="because the plan says so")
        dump_records()
        spent += time.perf_counter() - start
        used += time.process_time() - start_cpu
        if LIBRARY == "ours" or i % 50 == 0:  # complete after each: looked at outside of the clock
            with open(log, "rb") as file:
                data = file.read()
            assert data.count(b'"record_id"') == i + 1, (i, data.count(b'"record_id"'))
            if i % 100 == 0:
                body = json.loads(data)["data"][record.id]
                assert len(body["traces"]) == 10, len(body["traces"])
            checked += 1
    return {"dump_each_s": spent, "dump_each_cpu_s": used, "checked": checked}


if CASE != "import":
    configure_records_tracing(os.path.join(FOLDER, "rf"))
result = {"import": dict, "basics": basics, "dumps": dumps, "each": each_dump}[CASE]()
result["import_s"] = IMPORT
result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(result))
