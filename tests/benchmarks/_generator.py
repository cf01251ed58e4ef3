"""Histories for benchmarks, made from a seed: the documents that the package writes, as bytes at keys."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson

START = datetime(2025, 1, 1, tzinfo=timezone.utc)
DAYS, FLOWS = 30, 20
ERRORS = (("TimeoutError", "no answer in {} s"), ("KeyError", "'field_{}'"), ("ValueError", "row {} has no amount"))


def documents(
    runs: int, *, rows: int = 0, days: int = DAYS, failing: float = 0.1, seed: int = 20250101
) -> Iterator[tuple[str, bytes]]:
    """Each run's document, and its list of file rows where `rows` are asked for.

    Args:
        runs: how many, spread evenly over the days.
        rows: rows of each run; a run without rows still has the roll-up of 100.
        days: how many.
        failing: the share of runs that have failed files.
        seed: equal seeds make equal histories.
    """
    rng = random.Random(seed)
    blank = _blank()
    for n in range(runs):
        started = START + n * timedelta(days=days) / runs
        run_id = f"{rng.getrandbits(64):016x}-{n:08x}"
        files = rows or 100
        bad = rng.randrange(1, 4) if rng.random() < failing else 0
        day = f"{started:%Y/%m/%d}"
        run = _run(rng, blank, run_id, n, started, files, bad)
        body = orjson.dumps(run, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        yield f"run_metadata/{day}/{run_id}.json", body
        if rows:
            made = ",\n".join(_rows(rng, run_id, n, started, files, bad))
            yield f"file_logs/{day}/{run_id}_files.json", f"[\n{made}\n]\n".encode()


def write(folder: Path, runs: int, **how: Any) -> int:
    """The documents as files; returns their bytes."""
    size = 0
    made: set[str] = set()
    for key, body in documents(runs, **how):
        path = folder / key
        if str(path.parent) not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(str(path.parent))
        path.write_bytes(body)
        size += len(body)
    return size


def _blank() -> dict[str, Any]:
    """A run with every field, as the package writes it."""
    from prefect_trackrecord.documents.models import RunMetadata

    return RunMetadata(run_id="", started_at=START).model_dump(mode="json")


def _run(
    rng: random.Random, blank: dict[str, Any], run_id: str, n: int, started: datetime, files: int, bad: int
) -> dict[str, Any]:
    took = int(60_000 + rng.expovariate(0.00001))
    ended = started + timedelta(milliseconds=took)
    flow = f"flow-{n % FLOWS:02d}"
    counts = {"success": files - bad} | ({"failed": bad} if bad else {})
    return {
        **blank,
        "run_id": run_id,
        "command": flow,
        "flow_name": flow,
        "flow_run_name": f"nightly-{n}",
        "target_date": f"{started:%Y-%m-%d}",
        "started_at": _iso(started),
        "completed_at": _iso(ended),
        "status": "partial_success" if bad else "success",
        "state": "Completed",
        "duration_ms": took,
        "total_files": files,
        "success_count": files - bad,
        "failed_count": bad,
        "parameters": {"folder": f"/data/{flow}/{started:%Y-%m-%d}", "limit": n % 1000},
        "tags": ["nightly"],
        "host": "worker-1",
        "pid": 1000 + n % 60_000,
        "versions": {"python": "3.12.3", "prefect": "3.8.8", "prefect-trackrecord": "0.1.0"},
        "generation": 1,
        "rollup": {
            "version": 1,
            "files": counts,
            "file_types": {"csv": counts},
            "errors": [_group(rng, n, k, bad, ended) for k in range(1)] if bad else [],
            "errors_cut": 0,
            "durations_ms": {"count": files, "sum": files * 500, "min": 3, "max": 4000, "p50": 350, "p95": 1500},
        },
    }


def _group(rng: random.Random, n: int, k: int, count: int, seen: datetime) -> dict[str, Any]:
    kind, text = ERRORS[(n + k) % len(ERRORS)]
    message = text.format(rng.randrange(100))
    return {
        "fingerprint": _print(kind, text),
        "error_type": kind,
        "message": text.replace("{}", "<n>"),
        "count": count,
        "example_path": f"/data/flow-{n % FLOWS:02d}/{k:05d}.csv",
        "example_message": message,
        "first_seen": _iso(seen),
        "last_seen": _iso(seen),
    }


def _rows(rng: random.Random, run_id: str, n: int, started: datetime, count: int, bad: int) -> Iterator[str]:
    """The rows of a run as JSON, the first ones failed; written out, as there are ten millions of them."""
    folder = f"/data/flow-{n % FLOWS:02d}/{started:%Y-%m-%d}"
    head = f'{{"run_id":"{run_id}","file_path":"{folder}/'
    kind, text = ERRORS[n % len(ERRORS)]
    print_, seconds = _print(kind, text), [_iso(started + timedelta(minutes=m))[:17] for m in range(count // 60 + 2)]
    at, fraction = started.second, _iso(started)[19:]
    for i in range(count):
        error, print_of = 'null,"error_message":null', ""
        status, ms = "success", int(rng.random() * 1000)
        if i < bad:
            status, message = "failed", text.format(rng.randrange(100))
            error, print_of = f'"{kind}","error_message":"{message}"', f',"error_fingerprint":"{print_}"'
        minute, second = divmod(at + i, 60)
        yield (
            f'{head}{i:05d}.csv","file_type":"csv","agent_id":null,"status":"{status}","error_type":{error},'
            f'"processing_time_ms":{ms},"output_path":null,"ended_at":"{seconds[minute]}{second:02d}{fraction}",'
            f'"attempts":[]{print_of},"schema_version":1}}'
        )


_PRINTS: dict[str, str] = {}


def _print(kind: str, text: str) -> str:
    from prefect_trackrecord.documents.fingerprint import error_fingerprint

    if text not in _PRINTS:
        _PRINTS[text] = error_fingerprint(kind, text.format(1))
    return _PRINTS[text]


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
