"""The kill matrix: processes are killed at random moments, the history is recovered, and what is wrong is counted.

    python tests/chaos/kills.py --kills 60 --seed 1

Who dies: the flow's process, one worker of a process pool, one Dask worker, Prefect's process worker, the sealer. How:
SIGKILL, SIGTERM, SIGINT, `os._exit`, `abort`. Where the history is: a folder, S3 (moto), Azure (Azurite). What is drawn
depends on the seed alone; moments inside the processes do not. With `--sabotage` the spool is skipped and the
generations are off, and losses must show.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from services import Services, free_port, url_of  # noqa: E402, F401

VICTIMS = {"sealer": 30, "flow": 27, "pool": 18, "dask": 17, "process-worker": 8}
HOWS = ("SIGKILL", "SIGTERM", "SIGINT", "_exit", "abort")
STORES = ("local", "s3", "azure")
SEALER_KILLS = 5
MUST_BE_ZERO = ("lost", "running", "damaged", "disagree")


@dataclass(frozen=True)
class Round:
    """One history, and who is killed there."""

    number: int
    victim: str
    hows: tuple[str, ...]
    store: str
    seed: int


def plan(kills: int, seed: int, victims: list[str], stores: list[str]) -> list[Round]:
    """The rounds, drawn by the seed alone; victims by their weights, deaths and stores evenly."""
    rng = random.Random(seed)
    weights = [VICTIMS[v] for v in victims]
    rounds: list[Round] = []
    planned = 0
    hows = {v: _endless(rng, HOWS) for v in victims}
    places = {v: _endless(rng, stores) for v in victims}
    while planned < kills:
        if len(rounds) < len(victims):
            victim = victims[len(rounds)]
        else:
            (victim,) = rng.choices(
                victims,
                weights=[w / (SEALER_KILLS if v == "sealer" else 1) for v, w in zip(victims, weights, strict=True)],
            )
        count = min(SEALER_KILLS, kills - planned) if victim == "sealer" else 1
        how = tuple(next(hows[victim]) for _ in range(count))
        rounds.append(Round(len(rounds), victim, how, next(places[victim]), rng.randrange(1 << 30)))
        planned += count
    return rounds


def _endless(rng: random.Random, values: Any) -> Iterator[str]:
    while True:
        yield from rng.sample(list(values), len(values))


class Matrix:
    """Plays rounds."""

    def __init__(self, folder: Path, services: Services) -> None:
        self.folder, self.services = folder, services
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["flows_killed", "prefect.flow_engine", "prefect.task_engine"])
        self.deployment: str | None = None
        self._deploying = threading.Lock()
        self._worker_turn = threading.Lock()

    def play(self, one: Round) -> Counter[str]:
        """One round; gives its counts."""
        from judging import told, violations

        from prefect_trackrecord.tracking import resolve_storage

        folder = self.folder / f"r{one.number:04d}"
        folder.mkdir()
        place = {"TRACKING_PATH": url_of(one.store, folder)}
        rng = random.Random(one.seed)
        found: Counter[str] = Counter()
        if one.victim == "sealer":
            for n, how in enumerate(one.hows):
                found += self._sealer(folder, place, how, rng, n)
        elif one.victim == "process-worker":
            with self._worker_turn:
                found += self._process_worker(folder, place, one.hows[0], rng)
        else:
            found += self._flow(folder, place, one, rng)
        storage = resolve_storage(place["TRACKING_PATH"])
        found["errors in recovery"] += self._recover(storage)
        found += violations(storage, told(folder))
        found["rounds"] += 1
        self._bury(folder)
        return found

    def _recover(self, storage: Any) -> int:
        """Two at once, as two hosts' schedules may do it."""
        from prefect_trackrecord._prefect.asking import asker
        from prefect_trackrecord._prefect.reconciling import reconciler
        from prefect_trackrecord.tracking import recover

        errors: list[str] = []

        def work() -> None:
            done = recover(storage, ask=asker(), reconcile=reconciler())
            errors.extend(one.error for one in done if one.error)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in errors:
            print("recovery:", error, file=sys.stderr)
        return len(errors)

    def _flow(self, folder: Path, place: dict[str, str], one: Round, rng: random.Random) -> Counter[str]:
        runner = {"flow": rng.choice(["threads", "pool"]), "pool": "pool"}.get(one.victim) or self.services.dask_address
        process = self.context.Process(target=_run_flow, args=(str(folder), place, runner))
        process.start()
        role = "flow" if one.victim == "flow" else "worker"
        pid = _wait_for(lambda: _pid_of(folder, role), process.is_alive, 90)
        found = self._kill(folder, pid, one.hows[0], rng.random() * (2.0 if runner != "threads" else 0.8))
        process.join(45)
        if process.is_alive():  # a pool that lost a worker may hang its flow: the flow is killed as well
            found["killed because it hung"] += 1
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        return found

    def _sealer(self, folder: Path, place: dict[str, str], how: str, rng: random.Random, turn: int) -> Counter[str]:
        process = self.context.Process(target=_run_sealer, args=(str(folder), place, rng.randrange(1 << 30)))
        process.start()
        pid = _wait_for(lambda: _pid_of(folder, "sealer", process.pid), process.is_alive, 60)
        found = self._kill(folder, pid, how, 0.05 + rng.random() * 1.5)
        process.join(30)
        if process.is_alive():
            found["killed because it hung"] += 1
            process.kill()
            process.join()
        return found

    def _process_worker(self, folder: Path, place: dict[str, str], how: str, rng: random.Random) -> Counter[str]:
        import httpx

        deployment = self._deploy()
        pool = f"chaos-{folder.name}"
        url = os.environ["PREFECT_API_URL"]
        with (folder / "worker.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, str(HERE / "worker_killed.py"), str(folder), "chaos"],
                env={**os.environ, **place},
                cwd=HERE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        body = {"parameters": {"folder": str(folder)}, "state": {"type": "SCHEDULED"}, "name": pool}
        httpx.post(f"{url}/deployments/{deployment}/create_flow_run", json=body, timeout=30).raise_for_status()
        _wait_for(lambda: _pid_of(folder, "flow"), lambda: worker.poll() is None, 90)
        found = self._kill(folder, _pid_of(folder, "process-worker"), how, rng.random() * 1.2)
        end = time.monotonic() + 60
        flow = _pid_of(folder, "flow")
        while time.monotonic() < end and (worker.poll() is None or (flow and _alive(flow))):
            time.sleep(0.1)
        if worker.poll() is None:
            found["killed because it hung"] += 1
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        if flow and _alive(flow):
            os.kill(flow, signal.SIGKILL)
        return found

    def _deploy(self) -> str:
        with self._deploying:
            if self.deployment is None:
                command = ["deploy", "flows_killed.py:chaos", "-n", "chaos", "-p", "chaos"]
                prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
                create = [*prefect, "work-pool", "create", "chaos", "--type", "process"]
                subprocess.run(create, cwd=HERE, check=True, capture_output=True)
                subprocess.run([*prefect, *command], cwd=HERE, check=True, capture_output=True)
                import httpx

                answer = httpx.get(f"{os.environ['PREFECT_API_URL']}/deployments/name/chaos/chaos", timeout=30)
                self.deployment = str(answer.json()["id"])
            return self.deployment

    def _kill(self, folder: Path, pid: int | None, how: str, after: float) -> Counter[str]:
        """Kill after so many seconds; a process that has ended by then counts as no kill."""
        time.sleep(after)
        if pid is None or not _alive(pid):
            return Counter({"came too late": 1})
        if how.startswith("SIG"):
            os.kill(pid, signal.Signals[how])
        else:
            order = folder / f"die-{pid}"
            order.with_suffix(".new").write_text(how)
            order.with_suffix(".new").rename(order)
        return Counter({"kills": 1})

    def _bury(self, folder: Path) -> None:
        """End the workers of pools that outlived their flow, and tidy up."""
        from judging import told

        for pid in [p for role, pids in told(folder).pids.items() if role == "worker" for p in pids]:
            parent = _parent(pid)
            if parent is not None and not (self.services.dask_address and _is_dask(pid)):
                os.kill(pid, signal.SIGKILL)
        for pid in told(folder).pids.get("flow", ()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # workers that never came to a task
        shutil.rmtree(folder, ignore_errors=True)


def _run_flow(folder: str, place: dict[str, str], runner: str) -> None:
    import flows_killed

    os.setsid()  # its pool's workers outlive it, and are found by their group
    flows_killed.run_flow(folder, place, runner)


def _run_sealer(folder: str, place: dict[str, str], seed: int) -> None:
    import flows_killed

    flows_killed.run_sealer(folder, place, seed)


def _pid_of(folder: Path, role: str, one: int | None = None) -> int | None:
    from judging import told

    pids = told(folder).pids.get(role, [])
    return next((p for p in pids if one in (None, p)), None)


def _wait_for(found: Callable[[], Any], alive: Callable[[], bool], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        if not alive():
            return found()
        time.sleep(0.01)
    return None


def _alive(pid: int) -> bool:
    from prefect_trackrecord.journal.liveness import start_ticks

    return start_ticks(pid) != 0


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return int(stat[stat.rfind(b")") + 2 :].split()[1])


def _is_dask(pid: int) -> bool:
    """Whether it is a worker of the cluster that all rounds share, which is not ours to bury."""
    parent = _parent(pid)
    while parent not in (None, 0, 1):
        try:
            if b"services.py" in Path(f"/proc/{parent}/cmdline").read_bytes():
                return True
        except OSError:
            return False
        parent = _parent(parent)
    return False


def run(
    kills: int, seed: int, victims: list[str], stores: list[str], *, sabotage: bool, at_once: int, minutes: float = 1e9
) -> dict[str, Any]:
    """Play a matrix and give its figures."""
    began = time.monotonic()
    if sabotage:
        os.environ["TRACKRECORD_CHAOS_SABOTAGE"] = "1"
    folder = Path(tempfile.mkdtemp(prefix="trackrecord-chaos-"))
    services = Services(folder)
    table: dict[tuple[str, str], Counter[str]] = {}
    try:
        services.start(stores, dask="dask" in victims, prefect=victims != ["sealer"])
        logging.getLogger("prefect_trackrecord").setLevel(logging.ERROR)
        matrix = Matrix(folder, services)
        rounds = iter(plan(kills, seed, victims, stores))
        lock = threading.Lock()
        failures: list[BaseException] = []

        def work() -> None:
            while len(failures) < 5:
                with lock:
                    one = next(rounds, None) if time.monotonic() - began < minutes * 60 else None
                if one is None:
                    return
                try:
                    found = matrix.play(one)
                except Exception as exc:  # of the harness: the round is told, and counts for nothing
                    traceback.print_exc()
                    failures.append(exc)
                    found = Counter({"rounds that failed": 1})
                with lock:
                    table.setdefault((one.victim, one.store), Counter()).update(found)
                bad = {name: found[name] for name in (*MUST_BE_ZERO, "errors in recovery") if found[name]}
                text = f"{time.monotonic() - began:6.0f} s  {one.number:4d} {one.victim:15} {one.store:6}"
                print(text, ",".join(one.hows), bad or "", file=sys.stderr, flush=True)

        threads = [threading.Thread(target=work) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        services.stop()
        shutil.rmtree(folder, ignore_errors=True)
    total: Counter[str] = sum(table.values(), Counter())
    figures = {
        name: total[name]
        for name in ("kills", "rounds", "rounds that failed", "came too late", "killed because it hung", "acknowledged")
    }
    return {
        "seed": seed,
        "sabotage": sabotage,
        "seconds": round(time.monotonic() - began),
        **figures,
        **{name: total[name] for name in (*MUST_BE_ZERO, "errors in recovery")},
        "by": {f"{victim} {store}": dict(counts) for (victim, store), counts in sorted(table.items())},
    }


def main() -> int:
    """The command; 1 where something is wrong (or, sabotaged, where nothing is)."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--victims", default=",".join(VICTIMS))
    parser.add_argument("--stores", default=",".join(STORES))
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no round after so many")
    parser.add_argument("--sabotage", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = run(
        given.kills,
        given.seed,
        given.victims.split(","),
        given.stores.split(","),
        sabotage=given.sabotage,
        at_once=given.at_once,
        minutes=given.minutes,
    )
    text = json.dumps(found, indent=2)
    print(text)
    if given.out is not None:
        given.out.write_text(text + "\n")
    wrong = sum(found[name] for name in MUST_BE_ZERO)
    return int(not wrong) if given.sabotage else int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
