"""Two sealers and a zombie writer race for one run, round after round: what is written must stay right.

    python tests/chaos/races.py --rounds 100 --stores local,s3,azure

The sealers and the writer are processes of their own. A violation: a reader sees counts that disagree with the rows, a
generation or a count that falls, an end that changes back, or an acknowledged event that is missing at the end.
`--sabotage` switches the generations off; violations must show then.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from prefect_trackrecord import events as ev  # noqa: E402
from prefect_trackrecord.documents import layout  # noqa: E402
from prefect_trackrecord.documents.models import RunMetadata  # noqa: E402
from prefect_trackrecord.documents.seal import seal  # noqa: E402
from prefect_trackrecord.store import Store, StoreConfig, open_store  # noqa: E402
from services import Services, url_of  # noqa: E402

T0 = datetime(2026, 1, 2, 3, tzinfo=timezone.utc)
DAY = "2026/01/02"
LATE = 6


def _store(url: str) -> Store:
    return open_store(StoreConfig(url))


def _segment(name: str, *events: ev.Event) -> tuple[str, bytes]:
    opened = ev.WriterOpened(T0, "elsewhere", "", 1, 1)
    return f"{name}.ndjson", b"".join(map(ev.encode, (opened, *events)))


def _file(path: str, second: int) -> ev.FileTracked:
    status = "failed" if second % 3 == 0 else "success"
    return ev.FileTracked(at=T0 + timedelta(seconds=second), row={"file_path": path, "status": status})


def sealer(url: str, run_id: str, seed: int, recovers: bool, sabotage: bool, begun: Any, done: Any) -> None:
    """Seal again and again until the writer has come to its end, then once more."""
    if sabotage:
        from sabotage import generations_off

        generations_off()
    store, rng = _store(url), random.Random(seed)
    ended = ev.RunEnded(at=T0 + timedelta(minutes=9), status="aborted", reason="recovered: gone", run_count=1)
    begun.wait()
    for last in (False, True):
        while not last and not done.is_set():
            seal(store, run_id, now=T0, ended=ended if recovers else None)
            time.sleep(rng.random() * 0.01)
        seal(store, run_id, now=T0, ended=ended if recovers else None)


def zombie(url: str, run_id: str, seed: int, begun: Any, done: Any) -> None:
    """Writes late segments of a run that is being sealed, and in the end its own end."""
    store, rng = _store(url), random.Random(seed)
    begun.wait()
    try:
        for n in range(LATE):
            time.sleep(rng.random() * 0.02)
            name, body = _segment(f"late-{n}", _file(f"late-{n}", 10 + n))
            store.put(f"{layout.journal_prefix(run_id)}/{name}", body)
        name, body = _segment("end", ev.RunEnded(at=T0 + timedelta(minutes=8), run_count=1))
        store.put(f"{layout.journal_prefix(run_id)}/{name}", body)
    finally:
        done.set()


def read(store: Store, run_id: str) -> tuple[RunMetadata, list[Any]] | None:
    """The metadata, then the rows: these may be newer, and never older."""
    blob = store.get(layout.run_key(run_id, DAY))
    if blob is None:
        return None
    rows = store.get(layout.files_key(run_id, DAY))
    return RunMetadata.model_validate_json(blob.data), json.loads(rows.data) if rows else []


def play(context: Any, url: str, number: int, seed: int, sabotage: bool) -> Counter[str]:
    """One round; its violations by kind."""
    store, run_id = _store(url), f"run-{number}"
    started = ev.RunStarted(at=T0, run={"command": "race", "run_count": 1})
    name, body = _segment("first", started, *(_file(f"f{n}", n) for n in range(5)))
    store.put(f"{layout.journal_prefix(run_id)}/{name}", body)
    begun, done = context.Event(), context.Event()
    processes = [
        context.Process(target=sealer, args=(url, run_id, seed, True, sabotage, begun, done)),
        context.Process(target=sealer, args=(url, run_id, seed + 1, False, sabotage, begun, done)),
        context.Process(target=zombie, args=(url, run_id, seed + 2, begun, done)),
    ]
    for process in processes:
        process.start()
    begun.set()
    found: Counter[str] = Counter()
    generation = files = 0
    while any(process.is_alive() for process in processes):
        seen = read(store, run_id)
        if seen is not None:
            run, rows = seen
            found["rows are missing"] += len(rows) < run.total_files
            found["a generation fell"] += run.generation < generation
            found["a count fell"] += run.total_files < files
            generation, files = max(generation, run.generation), max(files, run.total_files)
    for process in processes:
        process.join()
        found["a process failed"] += process.exitcode != 0
    final = read(store, run_id)
    assert final is not None
    run, rows = final
    wanted = {f"f{n}" for n in range(5)} | {f"late-{n}" for n in range(LATE)}
    found["lost"] += len(wanted - {row["file_path"] for row in rows})
    counts = Counter(row["status"] for row in rows)
    found["counts disagree"] += (run.total_files, run.failed_count) != (len(rows), counts["failed"])
    found["it still runs"] += run.status.value == "running"
    return found


def race(rounds: int, seed: int, stores: list[str], *, sabotage: bool = False) -> dict[str, dict[str, int]]:
    """All rounds; violations by store and kind."""
    folder = Path(tempfile.mkdtemp(prefix="trackrecord-races-"))
    services = Services(folder)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["races", "sabotage", "s3fs", "adlfs"])
    found: dict[str, dict[str, int]] = {}
    try:
        services.start(stores, dask=False, prefect=False)
        for store in stores:
            sums: Counter[str] = Counter()
            for number in range(rounds):
                sums.update(play(context, url_of(store, folder), number, seed + 10 * number, sabotage))
                sums["rounds"] += 1
            found[store] = {name: count for name, count in sums.items() if count}
            print(store, found[store], file=sys.stderr, flush=True)
    finally:
        services.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return found


def main() -> int:
    """The command; 1 where something is violated (or, sabotaged, where nothing is)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stores", default="local,s3,azure")
    parser.add_argument("--sabotage", action="store_true")
    given = parser.parse_args()
    os.environ.setdefault("TRACKRECORD_STORE_DEADLINE", "15")
    found = race(given.rounds, given.seed, given.stores.split(","), sabotage=given.sabotage)
    print(json.dumps(found, indent=2))
    wrong = [sum(n for kind, n in sums.items() if kind != "rounds") for sums in found.values()]
    return int(not all(wrong)) if given.sabotage else int(any(wrong))


if __name__ == "__main__":
    sys.exit(main())
