"""Plays a round: starts who is to die, kills it, recovers the history, and counts what is wrong with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from judging import told, violations
from rounds import Round

from services import Services, url_of

HERE = Path(__file__).parent
QUIET = {"dask": 30.0}
"""Seconds without a sign of life after which a process that was hurt counts as hanging, and is killed as well: 8 where
nothing is said; a cluster starts new workers, which may take it long."""


class Player:
    """Plays rounds, several at once."""

    def __init__(self, folder: Path, services: Services) -> None:
        self.folder, self.services = folder, services
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["flows_killed", "prefect.flow_engine", "prefect.task_engine"])
        self.deployment: str | None = None
        self._deploying = threading.Lock()
        self._worker_turn = threading.Lock()

    def play(self, one: Round) -> Counter[str]:
        """One round; gives its counts."""
        from prefect_trackrecord.tracking import resolve_storage

        folder = self.folder / f"r{one.number:04d}"
        folder.mkdir()
        place = {"TRACKING_PATH": url_of(one.store, folder)}
        rng = random.Random(one.seed)
        found: Counter[str] = Counter()
        try:
            if one.victim == "sealer":
                for how in one.hows:
                    found += self._sealer(folder, place, how, rng)
            elif one.victim == "process-worker":
                with self._worker_turn:
                    found += self._process_worker(folder, place, one.hows[0], rng)
            else:
                found += self._flow(folder, place, one, rng)
            storage = resolve_storage(place["TRACKING_PATH"])
            found["errors in recovery"] += _recover(storage)
            found += violations(storage, told(folder))
            found["rounds"] += 1
        finally:
            self._bury(folder)
        return found

    def _flow(self, folder: Path, place: dict[str, str], one: Round, rng: random.Random) -> Counter[str]:
        """Kill a flow's process, or workers of its pool or cluster."""
        mostly_threads = ["threads"] * 3 + ["pool"]  # a pool's processes take two cores seconds to start
        runner = {"flow": rng.choice(mostly_threads), "pool": "pool"}.get(one.victim) or self.services.dask_address
        process = self.context.Process(target=_run_flow, args=(str(folder), place, runner))
        process.start()
        role = "flow" if one.victim == "flow" else "worker"
        found: Counter[str] = Counter()
        killed: set[int] = set()
        for how in one.hows:
            pid = _wait_for(lambda: _pid_of(folder, role, but=killed), process.is_alive, 180)
            if pid is None and not killed:
                raise AssertionError(f"no {role} came to be: {_end_of(folder / 'log')}")
            found += _kill(folder, pid if process.is_alive() else None, how, rng.random() * 1.5)
            killed.add(pid or 0)
        found += _wait_to_end(folder, process.pid, lambda: not process.is_alive(), QUIET.get(one.victim, 8.0))
        process.join()
        return found + _obeyed(folder)

    def _sealer(self, folder: Path, place: dict[str, str], how: str, rng: random.Random) -> Counter[str]:
        process = self.context.Process(target=_run_sealer, args=(str(folder), place, rng.randrange(1 << 30)))
        process.start()
        pid = _wait_for(lambda: _pid_of(folder, "sealer", only=process.pid), process.is_alive, 60)
        if pid is None:
            raise AssertionError(f"no sealer came to be: {_end_of(folder / 'log')}")
        found = _kill(folder, pid, how, 0.05 + rng.random() * 1.5)
        process.join(30)  # who catches the signal ends its run first
        if process.is_alive():
            _tell_where(folder, process.pid)
            found["killed because it hung"] += 1
            process.kill()
            process.join()
        return found + _obeyed(folder)

    def _process_worker(self, folder: Path, place: dict[str, str], how: str, rng: random.Random) -> Counter[str]:
        import httpx

        deployment = self._deploy()
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
        body = {"parameters": {"folder": str(folder)}, "state": {"type": "SCHEDULED"}, "name": f"chaos-{folder.name}"}
        httpx.post(f"{url}/deployments/{deployment}/create_flow_run", json=body, timeout=30).raise_for_status()
        flow = _wait_for(lambda: _pid_of(folder, "flow"), lambda: worker.poll() is None, 120)
        if flow is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
            raise AssertionError(f"no flow came to be: {_end_of(folder / 'worker.log')}")
        found = _kill(folder, _pid_of(folder, "process-worker"), how, rng.random() * 1.2)
        found += _wait_to_end(folder, worker.pid, lambda: worker.poll() is not None and not _alive(flow), 15.0)
        worker.wait()
        if _alive(flow):
            os.kill(flow, signal.SIGKILL)
        return found + _obeyed(folder)

    def _deploy(self) -> str:
        with self._deploying:
            if self.deployment is None:
                import httpx

                prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
                create = [*prefect, "work-pool", "create", "chaos", "--type", "process"]
                deploy = [*prefect, "deploy", "flows_killed.py:chaos", "-n", "chaos", "-p", "chaos"]
                for command in (create, deploy):
                    subprocess.run(command, cwd=HERE, check=True, capture_output=True)
                answer = httpx.get(f"{os.environ['PREFECT_API_URL']}/deployments/name/chaos/chaos", timeout=30)
                self.deployment = str(answer.json()["id"])
            return self.deployment

    def _bury(self, folder: Path) -> None:
        """End the workers of pools that outlived their flow, and tidy up."""
        pids = told(folder).pids
        for pid in pids.get("worker", ()):
            if _alive(pid) and not _is_dask(pid):
                os.kill(pid, signal.SIGKILL)
        for pid in pids.get("flow", ()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # workers that never came to a task
        shutil.rmtree(folder, ignore_errors=True)


def _run_flow(folder: str, place: dict[str, str], runner: str) -> None:
    import flows_killed

    os.setsid()  # its pool's workers outlive it, and are found by their group
    flows_killed.run_flow(folder, place, runner)


def _run_sealer(folder: str, place: dict[str, str], seed: int) -> None:
    import flows_killed

    flows_killed.run_sealer(folder, place, seed)


def _recover(storage: Any) -> int:
    """Two at once, as two hosts' schedules may do it; how many runs could not be recovered."""
    from prefect_trackrecord._prefect.asking import Asker
    from prefect_trackrecord._prefect.reconciling import reconciler
    from prefect_trackrecord.tracking import recover

    errors: list[str] = []

    def work() -> None:
        asker = Asker()
        done = recover(storage, ask=asker, reconcile=reconciler(asker))
        errors.extend(one.error for one in done if one.error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        print("recovery:", error, file=sys.stderr)
    return len(errors)


def _kill(folder: Path, pid: int | None, how: str, after: float) -> Counter[str]:
    """Kill after so many seconds; a process that has ended by then counts as no kill."""
    time.sleep(after)
    if pid is None or not _alive(pid):
        return Counter({"came too late": 1})
    if how.startswith("SIG"):
        try:
            os.kill(pid, signal.Signals[how])
        except ProcessLookupError:
            return Counter({"came too late": 1})
    else:
        order = folder / f"die-{pid}"
        order.with_suffix(".new").write_text(how)
        order.with_suffix(".new").rename(order)
    return Counter({"kills": 1})


def _obeyed(folder: Path) -> Counter[str]:
    """Who is told to die takes the order away as it does: an order that is left came too late."""
    left = Counter[str]()
    for order in folder.glob("die-*"):
        order.unlink()
        left.update({"kills": -1, "came too late": 1})
    return left


def _wait_to_end(folder: Path, pid: int, ended: Callable[[], bool], quiet: float) -> Counter[str]:
    """Wait for a process that was hurt, and kill its group once it gives no sign of life (a pool may hang for ever)."""
    size, since = -1, time.monotonic()
    while not ended():
        now = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        if now != size:
            size, since = now, time.monotonic()
        if time.monotonic() - since > quiet:
            _tell_where(folder, pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            return Counter({"killed because it hung": 1})
        time.sleep(0.05)
    return Counter()


def _tell_where(folder: Path, pid: int) -> None:
    """Print where a process hangs."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGUSR1)
        time.sleep(0.5)
    print(f"{pid} hangs: {_end_of(folder / 'log')}", file=sys.stderr, flush=True)


def _pid_of(folder: Path, role: str, *, only: int | None = None, but: set[int] = frozenset()) -> int | None:  # type: ignore[assignment]
    pids = told(folder).pids.get(role, [])
    return next((p for p in pids if only in (None, p) and p not in but), None)


def _wait_for(found: Callable[[], Any], alive: Callable[[], bool], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := found():
            return value
        if not alive():
            return found()
        time.sleep(0.01)
    return None


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-4_000:] if log.exists() else "it said nothing"


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
