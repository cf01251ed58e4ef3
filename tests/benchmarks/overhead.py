"""What tracking costs a flow: 300 mapped tasks that do nothing, bare, with one no-op hook, and tracked.

Runs the variants in turn, so that a slow moment of the machine hits all alike, and prints medians: `make bench`, or
`python tests/benchmarks/overhead.py --rounds 10 --tasks 300`.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")

from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from prefect_trackrecord import track


def noop(path: str) -> None:
    """Do nothing."""


def hook(task, task_run, state) -> None:  # noqa: ARG001
    """Do nothing."""


def variants():
    """The flows by name; each takes the number of tasks."""

    def flow_of(a_task, name):
        def nightly(n: int) -> None:
            a_task.map([f"file-{i}" for i in range(n)]).wait()

        return flow(nightly, name=name)

    return {
        "bare": flow_of(task(noop), "bare"),
        "one no-op hook": flow_of(task(noop, on_completion=[hook]), "hook"),
        "@track on the flow": track(flow_of(task(noop), "flow")),
        "@track on flow and task(file=)": track(flow_of(track(file="path")(task(noop)), "both")),
    }


def log_rows(run_id) -> int:
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


def measure(rounds: int, tasks: int, settle: float) -> dict[str, dict[str, list[float]]]:
    """Seconds of process CPU and wall time, and log rows, of each variant in each round."""
    flows = variants()
    found = {name: {"cpu": [], "wall": [], "rows": []} for name in flows}
    for name, one in flows.items():  # first runs import and connect
        one(3)
        print(f"warmed up: {name}", flush=True)
    for n in range(rounds):
        for name, one in flows.items():
            time.sleep(settle)  # the server works off what the run before sent it
            wall, cpu = time.perf_counter(), time.process_time()
            state = one(tasks, return_state=True)
            found[name]["cpu"].append(time.process_time() - cpu)
            found[name]["wall"].append(time.perf_counter() - wall)
            assert state.is_completed(), state
            if n == 0:
                found[name]["rows"].append(log_rows(state.state_details.flow_run_id))
        print(f"round {n + 1} of {rounds}", flush=True)
    return found


def main() -> None:
    """Measure and print the table."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--rounds", type=int, default=10)
    given.add_argument("--tasks", type=int, default=300)
    given.add_argument("--settle", type=float, default=2.0, help="seconds between runs")
    options = given.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRACKING_PATH"] = str(Path(folder) / "history")
        with prefect_test_harness(90):
            logging.getLogger("prefect").propagate = False
            found = measure(options.rounds, options.tasks, options.settle)
            small = hello(options.rounds)
    print(f"\n{options.tasks} mapped no-op tasks, medians of {options.rounds} interleaved runs\n")
    base = {kind: statistics.median(found["bare"][kind]) for kind in ("cpu", "wall")}
    print(f"{'':32}{'CPU s':>8}{'ratio':>8}{'wall s':>9}{'ratio':>8}{'log rows':>10}")
    for name, kinds in found.items():
        cpu, wall = (statistics.median(kinds[kind]) for kind in ("cpu", "wall"))
        print(
            f"{name:32}{cpu:8.2f}{cpu / base['cpu']:8.2f}{wall:9.2f}{wall / base['wall']:8.2f}{kinds['rows'][0]:10.0f}"
        )
    print(f"\nhello world: {small['bare'] * 1000:.0f} ms bare, {small['tracked'] * 1000:.0f} ms tracked (medians)")


def hello(rounds: int) -> dict[str, float]:
    """Seconds of a flow that does nothing: async, as Prefect's sync ones wait up to a second for their heartbeat."""
    import asyncio

    async def nothing() -> int:
        return 1

    flows = {"bare": flow(nothing, name="hello"), "tracked": track(flow(nothing, name="hello-tracked"))}
    took: dict[str, list[float]] = {name: [] for name in flows}
    for _ in range(rounds + 1):
        for name, one in flows.items():
            began = time.perf_counter()
            asyncio.run(one())
            took[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds[1:]) for name, seconds in took.items()}


if __name__ == "__main__":
    main()
