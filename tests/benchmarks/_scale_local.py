"""Capture and reading on this machine, against the system calls and parsers that they can't do without."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import _generator
import orjson
from _measure import Line, exponent, floor_line, interleaved, peer_line

from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.documents.rollup import roll_up
from prefect_trackrecord.history import Numbers, sum_groups
from prefect_trackrecord.store.base import StoreConfig
from prefect_trackrecord.tracking.run_tracker import RunTracker
from prefect_trackrecord.tracking.storage import TrackingStorage

SEAL_NOTE = "each event is parsed, told apart from its file's others, counted and written; see the next line"
FIRST, LAST = "2025-01-01", "2025-01-30"


def track_file(folder: Path, count: int, rounds: int) -> list[Line]:
    """One thread and eight."""
    tracker = RunTracker("bench", storage=folder / "tracked").start()
    fd = os.open(folder / "floor", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def ours(n: int) -> None:
        for i in range(n):
            tracker.track_file(f"/data/incoming/{i}.csv", "success", file_type="csv", processing_time_ms=12)

    def floor(n: int) -> None:
        for i in range(n):
            now = datetime.now(timezone.utc)
            row = {"file_path": f"/data/incoming/{i}.csv", "status": "success", "file_type": "csv"}
            row |= {"processing_time_ms": 12, "ended_at": now}
            os.write(fd, orjson.dumps({"kind": "file", "at": now, "row": row}, option=orjson.OPT_APPEND_NEWLINE))

    def threads(work, n: int) -> None:
        started = [threading.Thread(target=work, args=(n // 8,)) for _ in range(8)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()

    lines = []
    one = interleaved({"ours": lambda: ours(count), "floor": lambda: floor(count)}, rounds)
    lines.append(_us("track_file, 1 thread", "os.write + orjson", one, 3, count))
    eight = interleaved({"ours": lambda: threads(ours, count), "floor": lambda: threads(floor, count)}, rounds)
    lines.append(_us("track_file, 8 threads", "os.write + orjson", eight, 3, count))
    tracker.complete()
    os.close(fd)
    return lines


def _us(work: str, against: str, took: dict[str, float], aim: float, count: int, note: str = "") -> Line:
    return floor_line(work, against, took["ours"], took["floor"], aim, count / 1e6, "us", note)


def _paths(folder: Path) -> list[str]:
    found: list[str] = []
    for day in sorted((folder / "run_metadata").glob("*/*/*")):
        with os.scandir(day) as entries:
            found += [entry.path for entry in entries]
    return found


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)


def _all(folder: Path, parse: Callable[[bytes], object]) -> list[object]:
    """The floor; without Python's collector, which would double it, and which ours holds as well."""
    gc.disable()
    try:
        return [parse(_read(path)) for path in _paths(folder)]
    finally:
        gc.enable()


def _models(folder: Path) -> list[object]:
    return _all(folder, RunMetadata.model_validate_json)


def _dicts(folder: Path) -> list[object]:
    return _all(folder, orjson.loads)


def _sums(folder: Path) -> tuple[Numbers, int]:
    runs = Archive(StoreConfig(str(folder))).facts(FIRST, LAST).runs
    return Numbers.total(runs), len(sum_groups(runs))


def reading(folder: Path, runs: int, rounds: int) -> list[Line]:
    """Runs as models, and sums over them; and how both grow."""
    lines = []
    took: dict[int, dict[str, float]] = {}
    for count in (runs // 10, runs):
        history = folder / f"history-{count}"
        if not history.exists():
            _generator.write(history, count)
        storage = TrackingStorage(base_path=history)
        assert len(storage.list_runs(FIRST, LAST)) == count == sum(_sums(history)[0].runs.by.values())
        ways = {
            "list_runs": lambda storage=storage: storage.list_runs(FIRST, LAST),
            "models": lambda history=history: _models(history),
            "sums": lambda history=history: _sums(history),
            "dicts": lambda history=history: _dicts(history),
        }
        took[count] = interleaved(ways, rounds)
    best = took[runs]
    models = {"ours": best["list_runs"], "floor": best["models"]}
    lines.append(_us(f"list_runs of {runs:,} local runs, models", "os.read + validate_json", models, 1.3, runs))
    sums = {"ours": best["sums"], "floor": best["dicts"]}
    lines.append(_us(f"report aggregates of {runs:,} local runs", "os.read + orjson", sums, 1.0, runs))
    for name in ("list_runs", "sums"):
        grown = exponent((runs // 10, took[runs // 10][name]), (runs, best[name]))
        sizes = f"{runs // 10:,} to {runs:,} runs"
        floor = exponent(
            (runs // 10, took[runs // 10]["models" if name == "list_runs" else "dicts"]),
            (runs, best["models" if name == "list_runs" else "dicts"]),
        )
        lines.append(
            Line(
                f"growth of {name}",
                f"{sizes}; the floor's own",
                f"{grown:.3f}",
                f"{floor:.3f}",
                grown,
                "≤ 1.05",
                grown <= 1.05,
            )
        )
    return lines


def rollups(folder: Path, runs: int, rows: int, rounds: int) -> list[Line]:
    """Failures grouped: out of the roll-ups, out of the rows, and by DuckDB out of the same rows."""
    try:
        import duckdb
    except ImportError:
        print("duckdb is not installed: its lines are left out")
        return []
    history = folder / f"rows-{runs}-{rows}"
    if not history.exists():
        _generator.write(history, runs, rows=rows)
    columns = dict.fromkeys(("status", "file_path", "error_fingerprint"), "VARCHAR")
    source = f"read_json('{history}/file_logs/**/*.json', format='array', columns={columns})"

    def by_duckdb() -> dict[str, int]:
        query = f"SELECT error_fingerprint, count(*) FROM {source} WHERE status = 'failed' GROUP BY 1"
        return dict(duckdb.connect().execute(query).fetchall())

    def by_rollups() -> dict[str, int]:
        groups = sum_groups(Archive(StoreConfig(str(history))).facts(FIRST, LAST).runs)
        return {key: group.count for key, group in groups.items()}

    def by_rows() -> dict[str, int]:
        found: dict[str, int] = {}
        for day in sorted((history / "file_logs").glob("*/*/*")):
            for entry in os.scandir(day):
                for group in roll_up(orjson.loads(Path(entry.path).read_bytes())).errors:
                    found[group.fingerprint] = found.get(group.fingerprint, 0) + group.count
        return found

    told: dict[str, dict[str, int]] = {}
    ways = {"rollups": by_rollups, "rows": by_rows, "duckdb": by_duckdb}
    took = interleaved(
        {name: lambda name=name, way=way: told.update({name: way()}) for name, way in ways.items()}, rounds
    )
    assert told["rollups"] == told["rows"] == told["duckdb"]
    size = f"{runs * rows:,} file rows"
    return [
        peer_line(
            f"failures grouped over {size}, by roll-ups", "DuckDB, same JSON", took["rollups"], took["duckdb"], 10
        ),
        peer_line(f"failures grouped over {size}, by rows", "DuckDB, same JSON", took["rows"], took["duckdb"], 1),
    ]


def seal(folder: Path, events: int) -> list[Line]:
    """A run of many files, sealed in a process of its own; against reading its journal and writing its rows."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        done = subprocess.run(
            [sys.executable, __file__, place, str(events)], capture_output=True, text=True, check=True
        )
    ours, plain, parsed, peak = map(float, done.stdout.split()[-4:])
    work = f"seal of {events:,} events"
    return [
        floor_line(
            work, "reading and writing the bytes", ours, plain, 5, 1, "s", SEAL_NOTE if ours > 5 * plain else ""
        ),
        floor_line(work, "reading and writing them as JSON", ours, parsed, 5, 1, "s"),
        floor_line(f"{work}, peak memory", "300 MB", peak, 300, 1, 1, "MB"),
    ]


def _peak() -> float:
    """The most memory of this process, in MB; `ru_maxrss` of a child begins with what its parent had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _seal(place: str, events: int) -> None:
    import time

    tracker = RunTracker("bench", storage=place).start()
    for i in range(events):
        tracker.track_file(
            f"/data/incoming/{i}.csv",
            "failed" if i % 1000 == 0 else "success",
            file_type="csv",
            error_message="no answer" if i % 1000 == 0 else None,
            processing_time_ms=12,
        )
    began = time.process_time()
    run = tracker.complete()
    ours = time.process_time() - began
    assert run is not None
    assert run.total_files == events
    peak = _peak()
    journal = next(Path(place).glob("journal/*/*.ndjson"))
    rows = next(Path(place).glob("file_logs/**/*.json"))
    began = time.process_time()
    (Path(place) / "a").write_bytes(rows.read_bytes())
    journal.read_bytes()
    plain = time.process_time() - began
    began = time.process_time()
    with journal.open("rb") as lines, (Path(place) / "b").open("wb") as out:
        for line in lines:
            out.write(orjson.dumps(orjson.loads(line)))
    print(ours, plain, time.process_time() - began, peak)


if __name__ == "__main__":
    _seal(sys.argv[1], int(sys.argv[2]))
