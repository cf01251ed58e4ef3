"""500 tasks on a Dask cluster of four worker processes, the history on S3 (moto): exactly 500 files.

python tests/benchmarks/dask_500.py [tasks]
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))

from services import CONTAINER, Services  # noqa: E402


def run(tasks: int, services: Services) -> None:
    """One flow run, then what its documents hold."""
    from prefect import flow, task
    from prefect_dask import DaskTaskRunner

    from prefect_trackrecord import track
    from prefect_trackrecord.tracking import TrackingStorage

    def one(n: int) -> str:
        import os

        if n % 50 == 7:
            raise ValueError(f"no good: {n}")
        return str(os.getpid())

    tracked = track(file=lambda n: f"file-{n}", output="return")(task(one))

    @track
    @flow(name="five-hundred", task_runner=DaskTaskRunner(address=services.dask_address))
    def many() -> int:
        futures = tracked.map(range(tasks))
        futures.wait()
        return len(futures)

    began = time.perf_counter()
    assert many() == tasks
    took = time.perf_counter() - began
    storage = TrackingStorage(base_path=os.environ["TRACKING_PATH"])
    (found,) = storage.list_runs()
    rows = storage.archive.files(found)
    counts = Counter(row.status.value for row in rows)
    pids = {row.output_path for row in rows if row.output_path}
    print(f"{tasks} tasks on {len(pids)} worker processes, history at {storage.url}: {took:.1f} s")
    paths = {row.file_path for row in rows}
    print(f"{found.total_files} files by the metadata, {len(rows)} rows, {len(paths)} paths: {dict(counts)}")
    print(f"tracking errors: {found.tracking_errors}, state {found.state}, status {found.status.value}")
    assert found.total_files == len(rows) == len(paths) == tasks


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="trackrecord-dask-"))
    os.environ.update(CHAOS_DASK_WORKERS="4", TRACKING_PATH=f"s3://{CONTAINER}/history")
    services = Services(folder)
    try:
        services.start(["s3"], dask=True)
        run(int(sys.argv[1]) if len(sys.argv) > 1 else 500, services)
    finally:
        services.stop()
        shutil.rmtree(folder, ignore_errors=True)
