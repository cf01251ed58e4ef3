"""Records side by side with t-record-lib 0.3.2, in one run: times, sizes, memory.

    python tests/benchmarks/records.py [--peer PYTHON] [--sizes 100,1000,10000] [--each 1000]

`--peer`, or `T_RECORD_PYTHON`, is the interpreter of an environment that has t-record-lib 0.3.2; without it only our
own figures are printed. Each measurement runs in a fresh process; the two libraries take turns, so that a busy machine
is as busy for the one as for the other. Trust the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CASE = Path(__file__).with_name("_records_case.py")


def measure(python: str, library: str, case: str, n: int) -> dict:
    folder = tempfile.mkdtemp(prefix="trackrecord-bench-")
    try:
        done = subprocess.run(
            [python, str(CASE), library, case, str(n), folder],
            capture_output=True, text=True, check=False, cwd=folder,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"{library} {case} {n} failed:\n{done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def table(rows: list[tuple[str, float | None, float | None, str, str]]) -> None:
    print(f"{'':44} {'ours':>10} {'t-record':>10} {'ratio':>7}  aim")
    for name, ours, peer, unit, aim in rows:
        left = f"{ours:,.3g} {unit}" if ours is not None else "-"
        right = f"{peer:,.3g} {unit}" if peer is not None else "-"
        ratio = f"{peer / ours:.1f}x" if ours and peer else ""
        print(f"{name:44} {left:>10} {right:>10} {ratio:>7}  {aim}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=os.environ.get("T_RECORD_PYTHON"))
    parser.add_argument("--sizes", default="100,1000,10000", help="empty: none")
    parser.add_argument("--each", type=int, default=1000, help="records of 'dump after every record'; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the short measurements; the best is shown")
    options = parser.parse_args()
    libraries = [("ours", sys.executable)] + ([("peer", options.peer)] if options.peer else [])
    rows: list[tuple[str, float | None, float | None, str, str]] = []

    def row(name: str, found: dict[str, dict], key: str, unit: str = "", aim: str = "") -> None:
        rows.append((name, found["ours"].get(key), found.get("peer", {}).get(key), unit, aim))

    def in_turns(case: str, n: int, rounds: int) -> dict[str, dict]:
        all_found: dict[str, list[dict]] = {name: [] for name, _ in libraries}
        for _ in range(rounds):
            for name, python in libraries:
                all_found[name].append(measure(python, name, case, n))
        return {
            name: {k: (min(f[k] for f in found) if isinstance(found[0][k], int | float) else found[0][k])
                   for k in found[0]}
            for name, found in all_found.items()
        }  # fmt: skip

    found = in_turns("import", 0, options.rounds + 2)
    row("import", found, "import_s", "s", "under 0.2 s")
    for n in map(int, filter(None, options.sizes.split(","))):
        found = in_turns("basics", n, options.rounds if n <= 1000 else 1)
        row(f"create, N={n:,}", found, "create_us", "us")
        row(f"status change, N={n:,}", found, "status_us", "us")
        row(f"log_trace, N={n:,}", found, "trace_us", "us", "5x")
        row(f"log_trace with a change, N={n:,}", found, "trace_changed_us", "us", "5x")
        row(f"log_trace at a stack of 120, N={n:,}", found, "trace_120_us", "us", "5x")
        found = in_turns("dumps", n, 1)
        for own in found.values():
            own["disk_mb"] = sum(own["disk"].values()) / 1e6
            own["log_mb"] = own["disk"].get("records_logs.json", 0) / 1e6
            own["html_mb"], own["zip_mb"] = own["html_bytes"] / 1e6, own["zip_bytes"] / 1e6
        aim = {100: "5 ms", 1000: "10 ms", 10000: "60 ms"}.get(n, "")
        row(f"dump of one new trace, N={n:,}", found, "dump_ms", "ms", aim)
        row(f"get_traces of one record, N={n:,}", found, "get_traces_ms", "ms")
        row(f"page, N={n:,}", found, "html_s", "s")
        row(f"page's size, N={n:,}", found, "html_mb", "MB", "a fifth")
        row(f"ZIP, N={n:,}", found, "zip_s", "s")
        row(f"ZIP's size, N={n:,}", found, "zip_mb", "MB")
        row(f"records_logs.json, N={n:,}", found, "log_mb", "MB")
        row(f"the run's folder in all, N={n:,}", found, "disk_mb", "MB")
        row(f"peak memory, N={n:,}", found, "peak_mb", "MB")
    if options.each:
        found = in_turns("each", options.each, 1)
        row(f"dump after each of {options.each:,} records", found, "dump_each_s", "s", "30x")
        row("... in time of the processor", found, "dump_each_cpu_s", "s", "30x")
    table(rows)
    ratios = [peer / ours for name, ours, peer, *_ in rows if ours and peer and name.startswith("log_trace,")]
    if ratios:
        print(f"\nlog_trace is {statistics.mean(ratios):.1f} times faster")


if __name__ == "__main__":
    main()
