"""What must be true after a kill and a recovery: counts what is not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from prefect_trackrecord.documents.models import RunStatus
from prefect_trackrecord.errors import TrackRecordError
from prefect_trackrecord.tracking import TrackingStorage


@dataclass
class Told:
    """What the processes of a round wrote down."""

    acks: list[tuple[str, str]] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    pids: dict[str, list[int]] = field(default_factory=dict)


def told(folder: Path) -> Told:
    """Read it; a line that a kill has torn was not acknowledged."""
    found = Told()
    for path in folder.glob("told-*"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            kind, _, rest = line.decode().partition(" ")
            if kind == "ack":
                run_id, _, name = rest.partition(" ")
                found.acks.append((run_id, name))
                found.runs.add(run_id)
            elif kind == "run":
                found.runs.add(rest)
            else:
                found.pids.setdefault(kind, []).append(int(rest))
    return found


def violations(storage: TrackingStorage, seen: Told) -> Counter[str]:
    """The four counts that must be 0, and how many acknowledged events there were in all."""
    found: Counter[str] = Counter(lost=0, running=0, damaged=0, disagree=0, acknowledged=len(seen.acks))
    listed = {run.run_id: run for run in storage.list_runs()}
    found["damaged"] += len(storage.damaged)
    for run_id in seen.runs:
        wanted = {name for run, name in seen.acks if run == run_id}
        try:
            run = listed.get(run_id) or storage.archive.run(run_id)
            rows = storage.archive.files(run)
        except TrackRecordError:
            found["damaged"] += 1
            found["lost"] += len(wanted)
            continue
        if run.status is RunStatus.RUNNING:
            found["running"] += 1
        found["lost"] += len(wanted - {row.file_path for row in rows})
        by = Counter(row.status.value for row in rows)
        counts = (run.total_files, run.success_count, run.failed_count, run.skipped_count)
        if counts != (len(rows), by["success"], by["failed"], by["skipped"]):
            found["disagree"] += 1
    return found
