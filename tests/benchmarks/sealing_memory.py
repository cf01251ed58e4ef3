"""How much memory sealing takes: a run of a million events, in a process of its own.

python tests/benchmarks/sealing_memory.py [--store folder,s3,azure,gcs] [--events 1000000]

The buckets are stand-ins on loopback, in processes of their own: moto, Azurite (npm), fake-gcs-server.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.store import open_store
from prefect_trackrecord.store.base import StoreConfig

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests import services  # noqa: E402

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


def seal(config: StoreConfig) -> None:
    """Seal it, and say what that took."""
    store = open_store(config)
    store.list(layout.RUNS)  # its client is there
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began, cpu = time.perf_counter(), time.process_time()
    run = Archive(config).seal(RUN)
    took, used = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert run is not None
    (rows,) = (entry for entry in store.list(layout.FILES))
    counts = f"{run.total_files:,} files ({run.failed_count:,} failed)"
    print(f"{config.url.partition(':')[0][:5]}: {counts}, status {run.status.value}; {rows.size / 1e6:.0f} MB of rows")
    print(f"  in {took:.1f} s ({used:.1f} s of the processor); memory {before:.0f} MB before, {peak:.0f} MB at most")


@contextlib.contextmanager
def somewhere(kind: str) -> Iterator[StoreConfig]:
    """An empty place of this kind."""
    if kind == "folder":
        with tempfile.TemporaryDirectory() as name:
            yield StoreConfig(name)
    elif kind == "s3":
        import s3fs

        with services.s3_server() as options:
            s3fs.S3FileSystem(**options).mkdir("sealing")
            yield StoreConfig("s3://sealing/history", options)
    elif kind == "azure":
        import adlfs

        with services.azure_server() as options:
            adlfs.AzureBlobFileSystem(**options).mkdir("sealing")
            yield StoreConfig("azure://sealing/history", options)
    else:
        import gcsfs

        with services.google_server() as options:
            gcsfs.GCSFileSystem(**options).mkdir("sealing")
            yield StoreConfig("gs://sealing/history", options)


def main() -> None:
    """Write a journal for each store, and have it sealed there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default="folder")
    parser.add_argument("--events", type=int, default=1_000_000)
    asked = parser.parse_args()
    for kind in asked.store.split(","):
        with somewhere(kind) as config, tempfile.TemporaryDirectory() as name:
            size = write(Path(name), asked.events)
            print(f"{asked.events:,} events, {size / 1e6:.0f} MB of journal", flush=True)
            if kind == "folder":
                config = StoreConfig(name)  # noqa: PLW2901
            else:
                store = open_store(config)
                for path in Path(name).rglob("*.ndjson"):
                    store.put(path.relative_to(name).as_posix(), path.read_bytes())
            env: dict[str, Any] = {**os.environ, "PREFECT_HOME": name}
            text = json.dumps([config.url, dict(config.options)])
            subprocess.run([sys.executable, __file__, "seal"], input=text, text=True, check=True, env=env)


if __name__ == "__main__":
    if sys.argv[1:] == ["seal"]:
        seal(StoreConfig(*json.loads(sys.stdin.read())))
    else:
        main()
