"""The delivery report over 10,000 runs with 1,000,000 file rows on a local store, beside DuckDB on the same JSON.

    python tests/benchmarks/report.py [--runs 10000] [--rows 100] [--folder DIR]

Each measurement is a process of its own: wall time without the interpreter's start, and peak memory. DuckDB is
asked for less than the report says: the totals by day and status, and the errors by fingerprint; it is left out where
it is not installed.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import orjson

START = datetime(2025, 1, 1, tzinfo=timezone.utc)
DAYS, FLOWS = 30, 20
ERRORS = (("TimeoutError", "no answer in {} s"), ("KeyError", "'field_{}'"), ("ValueError", "row {} has no amount"))


def generate(folder: Path, runs: int, rows: int, seed: int = 20250101) -> None:
    """The store's documents, as the package writes them, from a seed."""
    from prefect_trackrecord.documents.fingerprint import error_fingerprint
    from prefect_trackrecord.documents.models import RunMetadata
    from prefect_trackrecord.documents.rollup import roll_up

    rng = random.Random(seed)
    prints = [error_fingerprint(kind, text.format(1)) for kind, text in ERRORS]
    for n in range(runs):
        started = START + n * timedelta(days=DAYS) / runs
        run_id = f"run-{n:06d}"
        made = [_row(rng, run_id, n % FLOWS, i, started, prints) for i in range(rows)]
        bad = sum(r["status"] == "failed" for r in made)
        run = RunMetadata(
            run_id=run_id,
            command=f"flow-{n % FLOWS:02d}",
            flow_name=f"flow-{n % FLOWS:02d}",
            started_at=started,
            completed_at=started + timedelta(seconds=60 + rng.expovariate(0.01)),
            status="partial_success" if bad else "success",
            total_files=rows,
            success_count=rows - bad,
            failed_count=bad,
            rollup=roll_up(made),
        )
        day = f"{started:%Y/%m/%d}"
        for name, body in (
            (f"run_metadata/{day}/{run_id}.json", run.model_dump_json().encode()),
            (f"file_logs/{day}/{run_id}_files.json", orjson.dumps(made)),
        ):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)


def _row(rng: random.Random, run_id: str, flow: int, i: int, started: datetime, prints: list[str]) -> dict[str, object]:
    row: dict[str, object] = {
        "schema_version": 1,
        "run_id": run_id,
        "file_path": f"/data/flow-{flow:02d}/{started:%Y-%m-%d}/{i:05d}.csv",
        "file_type": "csv",
        "status": "success",
        "processing_time_ms": int(rng.expovariate(0.002)),
        "started_at": started.isoformat(),
        "ended_at": (started + timedelta(seconds=i)).isoformat(),
    }
    if rng.random() < 0.01:
        kind = rng.randrange(len(ERRORS))
        message = ERRORS[kind][1].format(rng.randrange(100))
        row |= {"status": "failed", "error_type": ERRORS[kind][0], "error_message": message}
        row["error_fingerprint"] = prints[kind]
    return row


def report(folder: Path) -> dict[str, int]:
    """Collect, build and render, as the delivery does."""
    from prefect_trackrecord.delivery import build, collect, parse_config
    from prefect_trackrecord.documents.archive import Archive
    from prefect_trackrecord.pages import render_report
    from prefect_trackrecord.store import StoreConfig

    last = date(2025, 1, 1) + timedelta(days=DAYS - 1)
    config = parse_config({"title": "Benchmark", "date_from": "2025-01-01", "date_to": str(last)})
    now = START + timedelta(days=DAYS, hours=1)
    archive = Archive(StoreConfig(str(folder)))
    made = build(config, collect(config, config.period(None, None, now), archive), now=now)
    for form in ("email", "html", "text", "markdown", "csv", "json"):
        render_report(made, form)  # type: ignore[arg-type]
    return {"runs": int(made.figure("runs").value or 0), **made.files_by, "groups": made.groups.total}


def duckdb_rows(folder: Path) -> dict[str, int]:
    """The totals by day and status, and the errors, out of the rows."""
    import duckdb

    # The columns are named: left to find them out (union_by_name) it runs out of memory over 10,000 files.
    columns = dict.fromkeys(("run_id", "status", "file_path", "error_fingerprint"), "VARCHAR")
    columns |= {"started_at": "TIMESTAMPTZ", "ended_at": "TIMESTAMPTZ"}
    source = f"read_json('{folder}/file_logs/**/*.json', format='array', columns={columns})"
    cursor = duckdb.connect()
    days = cursor.execute(
        f"SELECT started_at::DATE d, status, count(*) n, count(DISTINCT run_id) r FROM {source} GROUP BY 1, 2"
    ).fetchall()
    groups = cursor.execute(
        "SELECT error_fingerprint, count(*), min(ended_at), max(ended_at), count(DISTINCT run_id), "
        "any_value(file_path) "
        f"FROM {source} WHERE status = 'failed' GROUP BY 1"
    ).fetchall()
    return _summed(days, len(groups))


def duckdb_rollups(folder: Path) -> dict[str, int]:
    """The same totals out of the runs' own documents, which hold them already, as the report reads them."""
    import duckdb

    columns = {"run_id": "VARCHAR", "success_count": "BIGINT", "failed_count": "BIGINT"}
    columns["rollup"] = "STRUCT(errors STRUCT(fingerprint VARCHAR, count BIGINT)[])"
    source = f"read_json('{folder}/run_metadata/**/*.json', columns={columns})"
    cursor = duckdb.connect()
    total = cursor.execute(f"SELECT count(*), sum(success_count), sum(failed_count) FROM {source}").fetchone()
    groups = cursor.execute(
        f"SELECT e.fingerprint, sum(e.count) FROM (SELECT unnest(rollup.errors) e FROM {source}) GROUP BY 1"
    ).fetchall()
    assert total is not None
    return {"runs": int(total[0]), "success": int(total[1]), "failed": int(total[2]), "groups": len(groups)}


def _summed(days: list[tuple[object, ...]], groups: int) -> dict[str, int]:
    found: dict[str, int] = {"groups": groups}
    for _, status, count, _ in days:
        found[str(status)] = found.get(str(status), 0) + int(str(count))
    return found


WAYS = {"report": report, "duckdb-rows": duckdb_rows, "duckdb-runs": duckdb_rollups}
SAID = {
    "report": "trackrecord: read, build, six renderings",
    "duckdb-rows": "DuckDB: totals and errors out of the rows",
    "duckdb-runs": "DuckDB: totals and errors out of the runs",
}


def measure(way: str, folder: Path) -> None:
    """One way, in this process; prints seconds, peak MB and what was counted."""
    began, used = time.perf_counter(), time.process_time()
    counted = WAYS[way](folder)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(orjson.dumps({"seconds": seconds, "cpu": cpu, "peak": peak, "counted": counted}).decode())


def main() -> None:
    """Generate, measure each way, print the table, and check that all counted the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", choices=WAYS)
    given = parser.parse_args()
    if given.only:
        measure(given.only, given.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if not (folder / "run_metadata").is_dir():
            generate(folder, given.runs, given.rows)
        size = sum(p.stat().st_size for p in folder.rglob("*.json")) / 1e6
        print(f"{given.runs:,} runs, {given.runs * given.rows:,} file rows, {size:,.0f} MB of JSON")
        print(f"{'':<44}{'seconds':>9}{'cpu s':>9}{'peak MB':>9}")
        results = {}
        for way in WAYS:
            command = [sys.executable, __file__, "--only", way, "--folder", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{SAID[way]:<44}  {(done.stderr.strip().splitlines() or ['failed'])[-1][:100]}")
                continue
            results[way] = orjson.loads(done.stdout)
            print(
                f"{SAID[way]:<44}{results[way]['seconds']:>9.2f}{results[way]['cpu']:>9.2f}{results[way]['peak']:>9.0f}"
            )
        counted = {way: {k: r["counted"][k] for k in ("success", "failed", "groups")} for way, r in results.items()}
        assert len({orjson.dumps(c) for c in counted.values()}) == 1, counted


if __name__ == "__main__":
    main()
