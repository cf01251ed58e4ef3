"""How much memory sealing takes: a run of a million events, in a process of its own.

python tests/benchmarks/sealing_memory.py [events]
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.store.base import StoreConfig

START = datetime(2026, 1, 2, tzinfo=timezone.utc)
RUN = "11111111-2222-4333-8444-555555555555"


def write(folder: Path, events: int) -> int:
    """A journal of one run, one file an event, in eight segments; returns its bytes."""
    journal = folder / layout.journal_prefix(RUN)
    journal.mkdir(parents=True)
    started = ev.RunStarted(at=START, run={"command": "large", "run_count": 1})
    ended = ev.RunEnded(at=START + timedelta(hours=3))
    for part in range(8):
        with (journal / f"host-{part}-0.ndjson").open("wb") as file:
            file.write(ev.encode(ev.WriterOpened(START, "elsewhere", "", 1, 1)))
            if part == 0:
                file.write(ev.encode(started))
            for n in range(part, events - 2, 8):
                at = START + timedelta(milliseconds=n)
                bad = n % 20 == 0
                row = {
                    "file_path": f"/data/incoming/batch-{n % 977:04d}/recording-{n:07d}.wav",
                    "status": "failed" if bad else "success",
                    "file_type": "audio",
                    "processing_time_ms": n % 5000,
                    "ended_at": at,
                    "error_type": "ValueError" if bad else None,
                    "error_message": f"can't read frame {n}" if bad else None,
                }
                file.write(ev.encode(ev.FileTracked(at=at, row=row)))
            if part == 7:
                file.write(ev.encode(ended))
    return sum(path.stat().st_size for path in journal.iterdir())


def seal(folder: Path) -> None:
    """Seal it, and say what that took."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began, cpu = time.perf_counter(), time.process_time()
    run = Archive(StoreConfig(str(folder))).seal(RUN)
    took, used = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert run is not None
    size = (folder / layout.files_key(RUN, "2026/01/02")).stat().st_size
    counts = f"{run.total_files:,} files ({run.failed_count:,} failed)"
    print(f"{counts}, status {run.status.value}; {size / 1e6:.0f} MB of rows")
    print(
        f"sealed in {took:.1f} s ({used:.1f} s of the processor); memory {before:.0f} MB before, {peak:.0f} MB at most"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["seal"]:
        seal(Path(sys.argv[2]))
    else:
        events = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
        with tempfile.TemporaryDirectory() as name:
            size = write(Path(name), events)
            print(f"{events:,} events, {size / 1e6:.0f} MB of journal", flush=True)
            env = {**os.environ, "PREFECT_HOME": name}
            subprocess.run([sys.executable, __file__, "seal", name], check=True, env=env)
