"""The flows that `overhead.py` compares, in a process of their own: reads what to run, answers what it cost.

It runs in the interpreter of whoever's flows these are: ours, or one that has the peers installed and not us.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import inspect
import json
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")

from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.task_runners import ThreadPoolTaskRunner

TICKS = os.sysconf("SC_CLK_TCK")
returned_at = 0.0


def noop(path: str) -> None:
    """Do nothing."""


def work(path: str, seconds: float) -> None:
    """Take a while, as a task does that waits for something."""
    time.sleep(seconds)


def hook(task, task_run, state) -> None:  # noqa: ARG001
    """Do nothing."""


def mapping(a_task: Any, name: str, *given: Any, runner: Any = None) -> Any:
    """A flow that maps a task over so many paths."""

    def nightly(n: int) -> None:
        global returned_at  # noqa: PLW0603
        a_task.map([f"file-{i}" for i in range(n)], *given).wait()
        returned_at = time.perf_counter()

    return flow(nightly, name=name, **({"task_runner": runner} if runner else {}))


def quiet(place: str) -> dict[str, Any]:
    """Tasks that do nothing; history in a folder."""
    from prefect_trackrecord import track

    os.environ["TRACKING_PATH"] = str(Path(place) / "history")
    return {
        "bare": mapping(task(noop), "bare"),
        "one no-op hook": mapping(task(noop, on_completion=[hook]), "hook"),
        "@track on the flow": track(mapping(task(noop), "flow")),
        "@track on flow and task(file=)": track(mapping(track(file="path")(task(noop)), "both")),
    }


def bucket(port: str, seconds: float, runner: Callable[[], Any]) -> dict[str, Any]:
    """Tasks that take a while; history at a bucket."""
    from prefect_trackrecord import track
    from prefect_trackrecord.store import StoreConfig

    options = {"key": "a", "secret": "b", "endpoint_url": f"http://127.0.0.1:{port}"}
    storage = StoreConfig("s3://bench/history", options)
    tracked = track(file="path")(task(work))
    return {
        "bare": mapping(task(work), "bare", seconds, runner=runner()),
        "tracked": track(storage=storage)(mapping(tracked, "tracked", seconds, runner=runner())),
    }


def peers(sink: str) -> dict[str, Any]:
    """The same tasks with the nearest peers; everything that they send is taken by a sink on loopback."""
    os.environ["CONVALESCE_ENDPOINT"], os.environ["CONVALESCE_INGEST_KEY"] = sink, "key"
    from convalesce_emit_prefect import emit_flow_run, emit_task_run
    from prefect_datahub.datahub_emitter import DatahubEmitter

    heard = [emit_task_run]
    told = task(noop, name="told", on_running=heard, on_completion=heard, on_failure=heard)
    ends = [emit_flow_run]
    convalesce = mapping(told, "convalesce").with_options(on_completion=ends, on_failure=ends, on_crashed=ends)
    emitter = DatahubEmitter(datahub_rest_url=sink)

    def named(path: str) -> None:  # noqa: ARG001
        emitter.add_task()

    def nightly(n: int) -> None:
        global returned_at  # noqa: PLW0603
        task(named).map([f"file-{i}" for i in range(n)]).wait()
        returned_at = time.perf_counter()
        emitter.emit_flow()

    return {
        "bare": mapping(task(noop), "bare"),
        "convalesce-emit-prefect 1.0.0": convalesce,
        "prefect-datahub 1.7.0": flow(nightly, name="datahub"),
    }


def hello(place: str) -> dict[str, Any]:
    """A flow that does nothing: async, as Prefect's sync ones wait up to a second for their heartbeat."""
    from prefect_trackrecord import track

    os.environ["TRACKING_PATH"] = str(Path(place) / "history")

    async def nothing(n: int) -> None:  # noqa: ARG001
        global returned_at  # noqa: PLW0603
        returned_at = time.perf_counter()

    return {"bare": flow(nothing, name="hello"), "tracked": track(flow(nothing, name="hello-tracked"))}


class Processor:
    """The processor time of this process and of the workers that its tasks run in."""

    def __init__(self, workers: list[int]) -> None:
        self.workers = workers

    def __call__(self) -> float:
        """Seconds so far."""
        return time.process_time() + sum(self._of(pid) for pid in self.workers)

    def _of(self, pid: int) -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


class Account:
    """The processor time of this process that is spent in our code, or by threads that work for it alone.

    Counted thread by thread as it is spent, so that a busy machine changes it little: where tracked and bare differ by
    less than the noise of both, this still tells. Prefect's own running of hooks is in it.
    """

    THREADS = ("fsspecIO", "trackrecord-upload", "trackrecord-read", "tokio-rt-worker")

    def __init__(self) -> None:
        self.parts: Counter[str] = Counter()
        self._inside, self._lock = threading.local(), threading.Lock()
        self._threads = self._of_threads()

    def attach(self) -> None:
        """Count what enters our code; before flows are made."""
        from prefect.task_engine import AsyncTaskRunEngine, SyncTaskRunEngine

        from prefect_trackrecord._prefect import capture, finishing, live, quiet, tasks

        for owner, name in (
            (tasks, "begin"),
            (tasks.TaskTry, "returned"),
            (SyncTaskRunEngine, "call_hooks"),
            (AsyncTaskRunEngine, "call_hooks"),
            (quiet.QuietHooks, "filter"),
            (capture, "running"),
            (capture, "ended"),
            (finishing.Finish, "__call__"),
            (live.Progress, "_work"),
        ):
            setattr(owner, name, self._counted(getattr(owner, name), f"{owner.__name__.rpartition('.')[2]}.{name}"))

    def _counted(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):
            return function  # its awaiting is others' time

        @functools.wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:
            began, outer = time.thread_time(), getattr(self._inside, "part", None)
            self._inside.part = part
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.thread_time() - began
                self._inside.part = outer
                with self._lock:
                    self.parts[part] += spent
                    if outer is not None:  # it is in what called it
                        self.parts[outer] -= spent

        return counted

    def _of_threads(self) -> dict[str, tuple[str, float]]:
        """Those that work for us, by their ids: their kind, and what they have taken."""
        named = {str(t.native_id): t.name for t in threading.enumerate()}
        found = {}
        for task_ in Path("/proc/self/task").iterdir():
            with contextlib.suppress(OSError):  # it has ended
                name = named.get(task_.name) or (task_ / "comm").read_text()
                kind = next((kind for kind in self.THREADS if name.startswith(kind)), None)
                if kind is not None:
                    found[task_.name] = kind, int((task_ / "schedstat").read_text().split()[0]) / 1e9
        return found

    def taken(self) -> dict[str, float]:
        """Seconds since the last time, part by part."""
        threads = self._of_threads()
        parts, self.parts = self.parts, Counter()
        for one, (kind, seconds) in threads.items():
            parts[kind] += seconds - self._threads.get(one, (kind, 0.0))[1]
        self._threads = threads
        return dict(parts)


def log_rows(run_id: Any) -> int:
    """How many rows the API has of a run, once no more come."""
    body = {"logs": {"flow_run_id": {"any_": [str(run_id)]}}, "limit": 200}
    before = -1
    with get_client(sync_client=True) as client:
        while True:
            found, offset = 0, 0
            while page := client.request("POST", "/logs/filter", json={**body, "offset": offset}).json():
                found, offset = found + len(page), offset + len(page)
            if found == before:
                return found
            before = found
            time.sleep(2)


def main() -> None:
    """Answer each line."""
    given = argparse.ArgumentParser()
    given.add_argument("case", choices=["quiet", "threads", "dask", "peers", "hello"])
    given.add_argument("place", help="a folder; the sink's URL for peers; the bucket's port for threads and dask")
    given.add_argument("--seconds", type=float, default=0.1)
    options = given.parse_args()
    workers: list[int] = []
    account = Account()
    if options.case in ("quiet", "threads"):
        account.attach()
    if options.case == "threads":
        flows = bucket(options.place, options.seconds, lambda: ThreadPoolTaskRunner(max_workers=8))
    elif options.case == "dask":
        from distributed import Client, LocalCluster
        from prefect_dask import DaskTaskRunner

        cluster = LocalCluster(n_workers=2, threads_per_worker=4, processes=True, dashboard_address=None)
        workers = list(Client(cluster).run(os.getpid).values())
        flows = bucket(options.place, options.seconds, lambda: DaskTaskRunner(address=cluster.scheduler_address))
    else:
        flows = {"quiet": quiet, "peers": peers, "hello": hello}[options.case](options.place)
    logging.getLogger("prefect").propagate = False
    processor = Processor(workers)
    print(json.dumps(list(flows)), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        one, state = flows[asked["variant"]], None
        account.taken()
        wall, cpu = time.perf_counter(), processor()
        if one.isasync:
            state = asyncio.run(one(asked["tasks"], return_state=True))
        else:
            state = one(asked["tasks"], return_state=True)
        ended = time.perf_counter()
        time.sleep(asked["settle"])  # what its threads send after its end is part of what it costs
        found: dict[str, Any] = {"cpu": processor() - cpu, "wall": ended - wall, "end": ended - returned_at}
        parts = account.taken()
        found |= {"ours": sum(parts.values()), "parts": parts}
        assert state.is_completed(), state
        if asked.get("rows"):
            found["rows"] = log_rows(state.state_details.flow_run_id)
        print(json.dumps(found), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
