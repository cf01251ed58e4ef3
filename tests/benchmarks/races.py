"""Two sealers and a zombie writer race on each store; the control, without generations, must show what they prevent.

    python tests/benchmarks/races.py [--rounds 100] [--stores local,s3,azure,gcs] [--control]

In each round two sealers with different ideas of how the run ended seal it again and again while a writer that should
be dead adds segments, each step delayed at random; an observer reads the documents all the while. Violations: a status
or a generation that goes back, a count that falls, fewer rows than the metadata speak of.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import orjson

import services
from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.run_journal import RunJournal
from prefect_trackrecord.documents.seal import seal
from prefect_trackrecord.documents.writing import dump_model
from prefect_trackrecord.errors import StoreError
from prefect_trackrecord.settings import Settings
from prefect_trackrecord.store import Store, StoreConfig, open_store

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
DAY = layout.day_of(NOW)
ENDS = (
    ev.RunEnded(at=NOW, status="success"),
    ev.RunEnded(at=NOW, status="aborted", reason="recovered: its process died"),
)


class Slow:
    """A store whose calls take a random while, so that races are won and lost at every step."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store, self._random = store, random.Random(seed)
        self.url, self.local_root = store.url, None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            time.sleep(self._random.random() ** 3 * 0.01)
            return found(*args, **kwargs)

        return call if callable(found) else found


def naive(store: Any, run_id: str, *, ended: ev.RunEnded) -> None:
    """The seal that anybody would write first: the last writer wins."""
    docs = RunJournal.read(store, run_id).fold().fold.documents(ended)
    store.put(layout.files_key(run_id, DAY), docs.files.body())
    store.put(layout.run_key(run_id, DAY), dump_model(docs.run))


def segment(store: Any, run_id: str, n: int, *events: ev.Event) -> None:
    store.put(f"journal/{run_id}/writer-{n:03d}.ndjson", b"".join(map(ev.encode, events)))


def file_of(n: int) -> ev.FileTracked:
    return ev.FileTracked(at=NOW, row={"file_path": f"{n}.wav", "status": "success"})


def race(plain: Store, seed: int, *, control: bool) -> Counter[str]:
    """One round; its violations by kind."""
    run_id, done, seen = f"run-{seed}", threading.Event(), Counter[str]()
    segment(plain, run_id, 0, ev.RunStarted(at=NOW, run={"command": "c"}), file_of(0))

    def sealer(which: int) -> None:
        store = Slow(plain, seed * 10 + which)
        for _ in range(4):
            if control:
                naive(store, run_id, ended=ENDS[which])
            else:
                seal(store, run_id, now=NOW, ended=ENDS[which])

    def zombie() -> None:
        store = Slow(plain, seed * 10 + 2)
        for n in range(1, 6):
            segment(store, run_id, n, file_of(n))

    def observer() -> None:
        status, count, generation = "running", 0, 0
        while not done.is_set():
            blob = plain.get(layout.run_key(run_id, DAY))
            if blob is None:
                continue
            run = orjson.loads(blob.data)
            rows = plain.get(layout.files_key(run_id, DAY))
            held = len(orjson.loads(rows.data)) if rows is not None else 0
            seen["status went back"] += status not in ("running", run["status"])
            seen["count fell"] += run["total_files"] < count
            seen["generation went back"] += run["generation"] < generation
            seen["logs behind metadata"] += held < run["total_files"]
            status, count, generation = run["status"], run["total_files"], run["generation"]

    def guarded(work: Any, *args: Any) -> None:
        try:
            work(*args)
        except StoreError as exc:
            seen[f"gave up: {type(exc).__name__}"] += 1

    workers = [threading.Thread(target=guarded, args=(sealer, n)) for n in range(2)]
    workers.append(threading.Thread(target=guarded, args=(zombie,)))
    watcher = threading.Thread(target=observer)
    for thread in (*workers, watcher):
        thread.start()
    for thread in workers:
        thread.join()
    if control:
        naive(plain, run_id, ended=ENDS[1])
    else:
        seal(plain, run_id, now=NOW)
    time.sleep(0.01)
    done.set()
    watcher.join()
    run = orjson.loads(plain.get(layout.run_key(run_id, DAY)).data)  # type: ignore[union-attr]
    seen["events lost"] += run["total_files"] != 6
    return +seen


@contextlib.contextmanager
def opened(name: str) -> Iterator[Store]:
    settings = Settings.from_env({"TRACKRECORD_STORE_DEADLINE": "30", "TRACKRECORD_CALL_DEADLINE": "60"})
    with contextlib.ExitStack() as stack:
        if name == "local":
            folder = tempfile.mkdtemp()
            stack.callback(shutil.rmtree, folder)
            yield open_store(folder)
        elif name == "s3":
            from moto.server import ThreadedMotoServer

            logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # a line for each request
            server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
            server.start()
            services.one_write_at_a_time(server)
            stack.callback(server.stop)
            host, port = server.get_host_and_port()
            options = {"key": "k", "secret": "s", "endpoint_url": f"http://{host}:{port}"}
            options["client_kwargs"] = {"region_name": "us-east-1"}
            import s3fs

            s3fs.S3FileSystem(**options, skip_instance_cache=True).call_s3("create_bucket", Bucket="races")
            yield open_store(StoreConfig("s3://races/x", options), settings=settings)
        elif name == "azure":
            import adlfs

            options = stack.enter_context(services.azure_server())
            adlfs.AzureBlobFileSystem(**options, skip_instance_cache=True).mkdir("races")
            yield open_store(StoreConfig("azure://races/x", options), settings=settings)
        else:
            import gcsfs

            options = stack.enter_context(services.google_server())
            gcsfs.GCSFileSystem(**options, skip_instance_cache=True).mkdir("races")
            yield open_store(StoreConfig("gs://races/x", options), settings=settings)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--stores", default="local,s3,azure,gcs")
    parser.add_argument("--control", action="store_true", help="seal without generations")
    asked = parser.parse_args()
    total = 0
    for name in asked.stores.split(","):
        began, found = time.monotonic(), Counter[str]()
        with opened(name) as store:
            for n in range(asked.rounds):
                found += race(store, n, control=asked.control)
        total += found.total()
        what = ", ".join(f"{count} x {kind}" for kind, count in found.most_common()) or "none"
        print(f"{name}: {asked.rounds} rounds in {time.monotonic() - began:.0f} s, violations: {what}", flush=True)
    return int((total > 0) != asked.control)


if __name__ == "__main__":
    sys.exit(main())
