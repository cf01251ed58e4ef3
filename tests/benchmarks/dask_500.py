"""500 tasks on a Dask cluster of four worker processes, the history on S3 (moto): exactly 500 files.

    python tests/benchmarks/dask_500.py [tasks] [--bare] [--hosts] [--times=N]

With `--bare` the same flow is run without tracking first, to see what of the time is Prefect's own. With `--hosts` each
worker has a spool of its own, and a host's name of its own where `unshare -u` is allowed. `--times` runs it so often.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))

from services import CONTAINER, Services  # noqa: E402

if TYPE_CHECKING:
    from prefect import Task


def run(tasks: int, services: Services, *, bare: bool, times: int) -> None:
    """Flow runs, one after the other, each with a look at what its documents hold."""
    from prefect import flow, task
    from prefect_dask import DaskTaskRunner

    from prefect_trackrecord import track

    def one(n: int) -> str:
        import os

        if n % 50 == 7:
            raise ValueError(f"no good: {n}")
        return str(os.getpid())

    def timed(work: Task[..., Any], mark: Callable[..., Any]) -> float:
        @mark
        @flow(name="five-hundred", task_runner=DaskTaskRunner(address=services.dask_address))
        def many() -> int:
            futures = work.map(range(tasks))
            futures.wait()
            return len(futures)

        began = time.perf_counter()
        assert many() == tasks
        return time.perf_counter() - began

    if bare:
        print(f"{tasks} tasks, not tracked: {timed(task(one), lambda given: given):.1f} s", flush=True)
    work = track(file=lambda n: f"file-{n}", output="return")(task(one))
    for _ in range(times):
        look(timed(work, track), tasks)


def look(took: float, tasks: int) -> None:
    """What the documents of the newest run hold, as its first seal has made them."""
    from prefect_trackrecord.tracking import TrackingStorage

    storage = TrackingStorage(base_path=os.environ["TRACKING_PATH"])
    found = storage.list_runs()[-1]
    rows = storage.archive.files(found)
    counts = Counter(row.status.value for row in rows)
    pids = {row.output_path for row in rows if row.output_path}
    assert found.generation == 1
    print(f"{tasks} tasks on {len(pids)} worker processes, history at {storage.url}: {took:.1f} s")
    paths = {row.file_path for row in rows}
    print(f"{found.total_files} files by the metadata, {len(rows)} rows, {len(paths)} paths: {dict(counts)}")
    print(f"task runs {found.task_counts}, state {found.state}, status {found.status.value}, {found.tracking_errors}")
    assert found.total_files == len(rows) == len(paths) == tasks
    assert sum(found.task_counts.values()) == tasks


if __name__ == "__main__":
    numbers = [argument for argument in sys.argv[1:] if argument.isdigit()]
    folder = Path(tempfile.mkdtemp(prefix="trackrecord-dask-"))
    os.environ.update(CHAOS_DASK_WORKERS="4", TRACKING_PATH=f"s3://{CONTAINER}/history")
    if "--hosts" in sys.argv:
        os.environ["CHAOS_DASK_HOSTS"] = "1"
    times = [int(argument.partition("=")[2]) for argument in sys.argv if argument.startswith("--times=")]
    services = Services(folder)
    try:
        services.start(["s3"], dask=True)
        run(int(numbers[0]) if numbers else 500, services, bare="--bare" in sys.argv, times=times[0] if times else 1)
    finally:
        services.stop()
        shutil.rmtree(folder, ignore_errors=True)
