"""The roll-up of a run's file rows: counts, error groups and durations, so that a report reads no rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from prefect_trackrecord.documents.fingerprint import normalise_message
from prefect_trackrecord.documents.models import Rollup

MAX_GROUPS = 50
MAX_EXAMPLE = 500


def roll_up(rows: Iterable[dict[str, Any]]) -> Rollup:
    """The roll-up of file rows (dicts with the fields of `FileProcessingLog`), in one pass."""
    files: Counter[str] = Counter()
    types: defaultdict[str, Counter[str]] = defaultdict(Counter)
    groups: dict[str, dict[str, Any]] = {}
    durations: list[int] = []
    for row in rows:
        status = row["status"]
        files[status] += 1
        types[row.get("file_type") or ""][status] += 1
        if (ms := row.get("processing_time_ms")) is not None:
            durations.append(ms)
        if status == "failed":
            _count_error(groups, row)
    largest = sorted(groups.values(), key=lambda g: (-g["count"], g["fingerprint"]))
    return Rollup.model_validate(
        {
            "files": dict(files),
            "file_types": {name: dict(counts) for name, counts in sorted(types.items())},
            "errors": largest[:MAX_GROUPS],
            "errors_cut": max(0, len(largest) - MAX_GROUPS),
            "durations_ms": _spread(durations),
        }
    )


def _count_error(groups: dict[str, dict[str, Any]], row: dict[str, Any]) -> None:
    key = row.get("error_fingerprint") or ""
    seen = row.get("ended_at") or row.get("started_at")
    group = groups.get(key)
    if group is None:
        message = row.get("error_message")
        groups[key] = {
            "fingerprint": key,
            "error_type": row.get("error_type"),
            "message": normalise_message(message),
            "count": 1,
            "example_path": row.get("file_path"),
            "example_message": message[:MAX_EXAMPLE] if message else message,
            "first_seen": seen,
            "last_seen": seen,
        }
        return
    group["count"] += 1
    if seen:
        group["first_seen"] = min(group["first_seen"] or seen, seen)
        group["last_seen"] = max(group["last_seen"] or seen, seen)


def _spread(values: list[int]) -> dict[str, float]:
    if not values:
        return {}
    values.sort()
    return {
        "count": len(values),
        "sum": sum(values),
        "min": values[0],
        "max": values[-1],
        "p50": values[(len(values) - 1) // 2],
        "p95": values[round((len(values) - 1) * 0.95)],
    }
