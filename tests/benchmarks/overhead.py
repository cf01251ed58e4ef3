"""What tracking costs a flow: mapped tasks that do nothing, bare, hooked and tracked; and where it counts, at a bucket.

python tests/benchmarks/overhead.py [--rounds 10] [--tasks 300] [--peers PYTHON] [--only quiet|threads|dask|hello]

Processor time of the flow's process and its workers, threads that send afterwards included. The variants run in turn,
so that a slow moment of the machine hits all alike; medians, and the quartiles of the rounds' own ratios. `accounted`
is what the flow's process spends in hooks, in our code and in threads that work for it, counted as it is spent: of a
difference that is smaller than the noise, it still tells. PYTHON is an interpreter that has prefect==3.8.8,
convalesce-emit-prefect and prefect-datahub.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TITLES = {
    "quiet": "{tasks} mapped tasks that do nothing, history in a folder",
    "peers": "the same beside the nearest peers, in an environment of their own",
    "threads": "{tasks} tasks of {seconds} s, eight threads, history at S3 after 20 ms, events and progress on",
    "dask": "{tasks} tasks of {seconds} s, two Dask workers of four threads, history at S3 after 20 ms, the same",
    "hello": "a flow that does nothing",
}
Rounds = dict[str, list[dict[str, Any]]]


class Sink(http.server.BaseHTTPRequestHandler):
    """Takes whatever it is sent; to DataHub's client it is a server of DataHub."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._take()

    def do_POST(self) -> None:
        self._take()

    def _take(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b'{"noCode": "true", "versions": {"acryldata/datahub": {"version": "v1.3.0"}}}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def prefect_server(folder: Path) -> Iterator[dict[str, str]]:
    """A server of this run's own; the environment that leads to it."""
    port = free_port()
    ours = ("PREFECT_", "TRACKING_", "TRACKRECORD_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    env |= {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLIENT_MAX_RETRIES": "20",  # on a busy machine its server answers 503 for a while
        "TRACKRECORD_SPOOL": str(folder / "spool"),
    }
    with (folder / "server.log").open("w") as log:
        command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"]
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        for _ in range(480):
            try:
                with urllib.request.urlopen(env["PREFECT_API_URL"] + "/health", timeout=5):
                    break
            except OSError:
                time.sleep(0.5)
        yield env
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def sink() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


class Flows:
    """A process with the flows of one case."""

    def __init__(self, python: str, case: str, place: str, env: dict[str, str], options: argparse.Namespace) -> None:
        command = [python, str(HERE / "_overhead_flows.py"), case, place, "--seconds", str(options.seconds)]
        if options.profile:
            command[1:1] = ["-m", "cProfile", "-o", f"{options.profile}-{case}"]
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.names: list[str] = self._read()

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the process with the flows has ended")
        return json.loads(line)

    def run(self, variant: str, tasks: int, settle: float, *, rows: bool = False) -> dict[str, Any]:
        """What one run cost."""
        assert self.process.stdin is not None
        self.process.stdin.write(
            json.dumps({"variant": variant, "tasks": tasks, "settle": settle, "rows": rows}) + "\n"
        )
        self.process.stdin.flush()
        found: dict[str, Any] = self._read()
        return found

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


def measure(flows: Flows, options: argparse.Namespace, tasks: int) -> Rounds:
    """All rounds of one process; every other one the other way round."""
    first = {name: flows.run(name, min(tasks, 3), options.settle) for name in flows.names}  # imports and connects
    print("first runs:", {k: f"{v['cpu']:.2f} s" for k, v in first.items()}, file=sys.stderr, flush=True)
    found: Rounds = {name: [] for name in flows.names}
    for n in range(options.rounds):
        for name in flows.names if n % 2 == 0 else reversed(flows.names):
            found[name].append(flows.run(name, tasks, options.settle, rows=n == 0 and options.rows))
        print(f"round {n + 1}:", {k: f"{v[-1]['cpu']:.2f}" for k, v in found.items()}, file=sys.stderr, flush=True)
    return found


def table(title: str, found: Rounds) -> None:
    """Print one case."""
    base = found["bare"]
    print(f"\n{title}, medians of {len(base)} interleaved runs\n")
    print("| | CPU s | CPU ratio | quartiles of it | accounted, s | by account | wall ratio | after it, s | log rows |")
    print("|---|---|---|---|---|---|---|---|---|")
    ours_bare = statistics.median(r["ours"] for r in base)
    for name, rounds in found.items():
        cpu, wall, end = (statistics.median(r[kind] for r in rounds) for kind in ("cpu", "wall", "end"))
        bare_cpu, bare_wall = (statistics.median(r[kind] for r in base) for kind in ("cpu", "wall"))
        each = [r["cpu"] / b["cpu"] for r, b in zip(rounds, base, strict=True)]
        low, _, high = statistics.quantiles(each) if len(each) > 1 else (each[0],) * 3
        rows = next((r["rows"] for r in rounds if "rows" in r), "")
        ours = statistics.median(r["ours"] for r in rounds)
        share = f"{ours:.3f} | **{1 + (ours - ours_bare) / bare_cpu:.3f}**" if ours_bare else " | "
        print(
            f"| {name} | {cpu:.2f} | **{cpu / bare_cpu:.3f}** | {low:.3f} to {high:.3f} | {share} | "
            f"{wall / bare_wall:.2f} | {end:.2f} | {rows} |"
        )


def account(found: Rounds) -> None:
    """Print what the account is made of."""
    names = {part for rounds in found.values() for r in rounds for part in r["parts"]}
    parts = {
        part: [statistics.median(r["parts"].get(part, 0.0) for r in rounds) for rounds in found.values()]
        for part in names
    }
    print("\nthe account in milliseconds:", ", ".join(found))
    for part, medians in sorted(parts.items(), key=lambda item: -max(item[1])):
        print(f"{part:32}", " ".join(f"{seconds * 1000:8.1f}" for seconds in medians))


def main() -> None:
    """Measure and print the tables."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--rounds", type=int, default=10)
    given.add_argument("--tasks", type=int, default=300)
    given.add_argument("--seconds", type=float, default=0.1, help="how long a task takes where it is not a no-op")
    given.add_argument("--live", type=float, help="seconds between two updates of the progress; default: the setting's")
    given.add_argument("--settle", type=float, default=2.0, help="seconds between runs")
    given.add_argument("--peers", help="an interpreter with the peers")
    given.add_argument("--only", action="append", choices=["quiet", "peers", "threads", "dask", "hello"])
    given.add_argument("--no-rows", dest="rows", action="store_false", help="do not count the API's log rows")
    given.add_argument("--profile", help="write a profile of each process to PROFILE-<case>")
    options = given.parse_args()
    cases = options.only or ["quiet", *(["peers"] if options.peers else []), "threads", "dask", "hello"]
    sys.path.insert(0, str(HERE))
    from _scale_buckets import server as object_server

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        env = stack.enter_context(prefect_server(Path(folder)))
        if options.live is not None:
            env["PREFECT_INTEGRATIONS_TRACKRECORD_LIVE_SECONDS"] = str(options.live)
        for case in cases:
            place = folder
            if case == "peers":
                place = stack.enter_context(sink())
            elif case in ("threads", "dask"):
                place = str(stack.enter_context(object_server(0)))
            flows = Flows(options.peers if case == "peers" else sys.executable, case, place, env, options)
            found = measure(flows, options, 0 if case == "hello" else options.tasks)
            flows.close()
            table(TITLES[case].format(**vars(options)), found)
            account(found)
    print(f"\nload of the machine at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
