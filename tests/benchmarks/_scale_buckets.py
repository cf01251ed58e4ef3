"""Reading and writing at a service that answers after 20 ms: against the request bound, and against plain s3fs."""

from __future__ import annotations

import contextlib
import gc
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import _generator
import orjson
from _measure import Line, floor_line, interleaved, peer_line
from _object_server import ACCOUNT, BUCKET

from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.history import Numbers, sum_groups
from prefect_trackrecord.store import _obstore
from prefect_trackrecord.store._driver import Bulk
from prefect_trackrecord.store.base import StoreConfig
from prefect_trackrecord.tracking.run_tracker import RunTracker
from prefect_trackrecord.tracking.storage import TrackingStorage

FIRST, LAST, LATENCY = "2025-01-01", "2025-01-30", 0.02
PAGE = {"S3": 1000, "Azure": 5000}  # keys that a service lists at once
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # public: Azurite's


@contextlib.contextmanager
def server(runs: int) -> Iterator[int]:
    """The stand-in with a history of so many runs; its port."""
    command = [sys.executable, str(Path(__file__).with_name("_object_server.py")), str(runs)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def place(service: str, port: int, path: str = "") -> StoreConfig:
    """The history at the stand-in."""
    if service == "S3":
        return StoreConfig(
            f"s3://{BUCKET}{path}", {"key": "a", "secret": "b", "endpoint_url": f"http://127.0.0.1:{port}"}
        )
    parts = f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
    return StoreConfig(f"abfs://{BUCKET}{path}", {"connection_string": f"DefaultEndpointsProtocol=http;{parts}"})


def requests(port: int) -> int:
    """How many the stand-in has had."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/count") as answer:
        return int(answer.read())


def _sums(config: StoreConfig, first: str = FIRST) -> int:
    found = Archive(config).facts(first, LAST)
    assert not found.damaged
    sum_groups(found.runs)
    return Numbers.total(found.runs).runs.total


def reading(runs: int, rounds: int) -> list[Line]:
    """Cold without an index, warm with it, on both services; and one day of it."""
    lines: list[Line] = []
    quick = _obstore.available()
    flight = _obstore.IN_FLIGHT if quick else Bulk.in_flight
    bound = runs * LATENCY / flight
    for service in ("S3", "Azure"):
        with server(runs) as port:
            config = place(service, port)
            with contextlib.suppress(Exception):
                Archive(config).store.get(
                    "warm/up"
                )  # the driver's import and first connection are not what is measured
            cold, cold_cpu = _timed(lambda config=config: _all(config, runs), 1)
            warm, warm_cpu = _timed(lambda config=config: _all(config, runs), rounds)
            before = requests(port)
            _sums(config, LAST)
            day = requests(port) - before - 1
        work = f"aggregates of {runs:,} runs on {service}, 20 ms"
        how = f"{flight} in flight, {'obstore' if quick else 'without obstore'}"
        cold_note, warm_note = f"{cold_cpu:.1f} s of the processor", f"{warm_cpu:.1f} s of the processor"
        lines.append(floor_line(f"{work}, cold", f"N x latency / {how}", cold, bound, 3, 1, "s", cold_note))
        lines.append(floor_line(f"{work}, warm", "2 s in all", warm, 2.0, 1, 1, "s", warm_note))
        pages = -(-runs // _generator.DAYS // PAGE[service])
        note = "pages of the listing, the index, a first request that sees that the store answers; none a run"
        what = f"a report of one day on {service}, warm"
        told = (f"{day}", f"{pages + 2}", day / (pages + 2), f"≤ {pages + 2} requests", day <= pages + 2, note)
        lines.append(Line(what, "requests", *told))
    return lines


def _timed(work: Callable[[], None], rounds: int) -> tuple[float, float]:
    """The medians of wall time and of the processor time of this process."""
    wall, cpu = [], []
    for _ in range(rounds):
        gc.collect()
        began, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    return statistics.median(wall), statistics.median(cpu)


def _all(config: StoreConfig, runs: int) -> None:
    assert _sums(config) == runs


def plain_s3fs(runs: int, sample: int) -> list[Line]:
    """The loop that one writes first: find, then cat one after the other; timed on a sample of the objects."""
    import s3fs

    with server(runs) as port:
        config = place("S3", port)
        fs = s3fs.S3FileSystem(**config.options, skip_instance_cache=True)
        began = time.perf_counter()
        keys = fs.find(f"{BUCKET}/run_metadata")
        listed = time.perf_counter() - began
        began = time.perf_counter()
        for key in keys[:sample]:
            with fs.open(key, "rb") as file:
                orjson.loads(file.read())
        loop = listed + (time.perf_counter() - began) * len(keys) / sample
        cold = interleaved({"cold": lambda: _all(config, runs)}, 1, wall=True)["cold"]
        warm = interleaved({"warm": lambda: _all(config, runs)}, 3, wall=True)["warm"]
    against = f"plain s3fs loop ({sample} of {runs:,} read, scaled)"
    return [
        peer_line(f"aggregates of {runs:,} runs on S3, cold", against, cold, loop, 50),
        peer_line(f"aggregates of {runs:,} runs on S3, warm", against, warm, loop, 50),
    ]


def small_runs(count: int) -> list[Line]:
    """What a small run costs a bucket: requests and objects."""
    with server(0) as port:
        config = place("S3", port, "/small")
        storage = TrackingStorage(base_path=config.url, options=config.options)
        storage.archive.store.get("warm/up")
        before = requests(port)
        for _ in range(count):
            with RunTracker("bench", storage=storage) as tracker:
                tracker.track_file("a.csv")
        time.sleep(0.5)
        asked = (requests(port) - before - 1) / count
        objects = len(storage.archive.store.list("")) / count
    return [
        Line("a run of one file on S3", "requests a run", f"{asked:.1f}", "", asked, "counted", True),
        Line("a run of one file on S3", "objects a run", f"{objects:.1f}", "", objects, "counted", True),
    ]
