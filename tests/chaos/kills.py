"""The kill matrix: processes are killed at random moments, the history is recovered, and what is wrong is counted.

    python tests/chaos/kills.py --kills 60 --seed 1

Who dies: the flow's process, one worker of a process pool, Dask workers, Prefect's process worker, the sealer. How:
SIGKILL, SIGTERM, SIGINT, `os._exit`, `abort`. Where the history is: a folder, S3 (moto), Azure (Azurite). What is drawn
depends on the seed alone; moments inside the processes do not. With `--sabotage` the spool is skipped and the
generations are off, and losses must show. `--add FILE` adds the figures to those that the file holds.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from figures import MUST_BE_ZERO, add, figures_of  # noqa: E402
from playing import Player  # noqa: E402
from rounds import STORES, VICTIMS, plan  # noqa: E402

from services import Services  # noqa: E402


def run(
    kills: int,
    seed: int,
    victims: list[str],
    stores: list[str],
    *,
    sabotage: bool,
    at_once: int,
    minutes: float = 1e9,
    verbose: bool = False,
    api: str | None = None,
) -> dict[str, Any]:
    """Play a matrix and give its figures."""
    began = time.monotonic()
    if sabotage:
        os.environ["TRACKRECORD_CHAOS_SABOTAGE"] = "1"
    folder = Path(tempfile.mkdtemp(prefix="trackrecord-chaos-"))
    services = Services(folder)
    table: dict[str, Counter[str]] = {}
    try:
        services.start(stores, dask="dask" in victims, prefect=victims != ["sealer"], api=api)
        logging.getLogger("prefect_trackrecord").setLevel(logging.ERROR)
        player = Player(folder, services)
        rounds = iter(plan(kills, seed, victims, stores))
        lock = threading.Lock()
        failures: list[BaseException] = []

        def work() -> None:
            while len(failures) < 5:
                with lock:
                    one = next(rounds, None) if time.monotonic() - began < minutes * 60 else None
                if one is None:
                    return
                started = time.monotonic()
                try:
                    found = player.play(one)
                except Exception as exc:  # of the harness: the round is told, and counts for nothing
                    traceback.print_exc()
                    failures.append(exc)
                    found = Counter({"rounds that failed": 1})
                with lock:
                    table.setdefault(f"{one.victim} {one.store}", Counter()).update(found)
                bad = {name: found[name] for name in MUST_BE_ZERO if found[name]}
                words = [f"{time.monotonic() - began:6.0f} s {time.monotonic() - started:5.1f} s"]
                words.append(f"{one.number:4d} {one.victim:15} {one.store:6} {','.join(one.hows)}")
                print(*words, dict(found) if verbose else "", bad or "", file=sys.stderr, flush=True)

        threads = [threading.Thread(target=work) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        services.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return figures_of(table, seed=seed, sabotage=sabotage, seconds=round(time.monotonic() - began))


def main() -> int:
    """The command; 1 where something is wrong (or, sabotaged, where nothing is)."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--victims", default=",".join(VICTIMS))
    parser.add_argument("--stores", default=",".join(STORES))
    parser.add_argument("--at-once", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no round after so many")
    parser.add_argument("--sabotage", action="store_true")
    parser.add_argument("--add", type=Path, metavar="FILE", help="add the figures to those of this JSON file")
    parser.add_argument("--api", help="a Prefect API that runs already")
    parser.add_argument("-v", action="store_true", help="print each round's counts")
    given = parser.parse_args()
    found = run(
        given.kills,
        given.seed,
        given.victims.split(","),
        given.stores.split(","),
        sabotage=given.sabotage,
        at_once=given.at_once,
        minutes=given.minutes,
        verbose=given.v,
        api=given.api,
    )
    print(json.dumps(found, indent=2))
    if given.add is not None:
        add(given.add, found)
    wrong = sum(found[name] for name in MUST_BE_ZERO)
    return int(not wrong) if given.sabotage else int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
