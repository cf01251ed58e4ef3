"""What the kill matrix runs and kills; a module of its own, so that pools, Dask workers and workers can import it.

Whatever a call acknowledges is written down at once in a file of its own, with one write(2): the list that the history
must hold afterwards.
"""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

from prefect import flow, task

from prefect_trackrecord import current_tracker, track

if os.environ.get("TRACKRECORD_CHAOS_SABOTAGE"):
    import sabotage

    sabotage.apply()

PARTS = 4


def note(folder: str, line: str) -> None:
    """One line into this process's list."""
    fd = os.open(Path(folder) / f"told-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


_watched: set[str] = set()


def obey(folder: str, role: str) -> None:
    """Tell that this process is there, and die by our own hand once we are told to (`os._exit`, `abort`)."""
    if f"{folder}/{role}" in _watched:
        return
    _watched.add(f"{folder}/{role}")
    note(folder, f"{role} {os.getpid()}")
    order = Path(folder) / f"die-{os.getpid()}"

    def watch() -> None:
        while Path(folder).is_dir():
            if order.exists():
                how = order.read_text()
                order.unlink()  # it was obeyed
                if how == "_exit":
                    os._exit(17)
                os.abort()
            time.sleep(0.005)

    threading.Thread(target=watch, daemon=True).start()


@track(file="path")
@task(log_prints=False)
def work(path: str, folder: str) -> str:
    """A file with a few parts, each acknowledged on its own."""
    obey(folder, "worker")
    tracker = current_tracker()
    for n in range(PARTS):
        time.sleep(random.random() * 0.06)
        part = f"{path}/{n}"
        if tracker.track_file(part, "failed" if n == 3 else "success", file_type="part", error_type="Odd"):
            note(folder, f"ack {tracker.run_id} {part}")
    return path


def body(folder: str, files: int) -> None:
    """What each of the flows does."""
    obey(folder, "flow")
    tracker = current_tracker()
    note(folder, f"run {tracker.run_id}")
    futures = work.map([f"f{n}" for n in range(files)], folder=folder)
    for future in futures:
        future.wait()
        if future.state.is_completed():
            note(folder, f"ack {tracker.run_id} {future.result()}")
    time.sleep(0.05)


@track
@flow(name="chaos")
def chaos(folder: str, files: int = 6) -> None:
    """Tasks in threads."""
    body(folder, files)


def run_flow(folder: str, place: dict[str, str], runner: str) -> None:
    """One flow run in this process, a fresh one.

    Args:
        folder: where it says what it does.
        place: variables that say where the history is.
        runner: `threads`, `pool`, or the address of a Dask scheduler.
    """
    os.environ.update(place)
    _be_quiet(folder)
    from prefect_trackrecord import settings

    settings.current.cache_clear()
    chosen: Any = None
    if runner == "pool":
        from prefect.task_runners import ProcessPoolTaskRunner

        chosen = ProcessPoolTaskRunner(max_workers=2)
    elif runner != "threads":
        from prefect_dask import DaskTaskRunner

        chosen = DaskTaskRunner(address=runner)
    files = 6 if runner in ("threads", "pool") else 12  # a cluster goes on without a worker
    (chaos if chosen is None else chaos.with_options(task_runner=chosen))(folder, files)


def _be_quiet(folder: str) -> None:
    """What a dying process prints goes to a file of its round."""
    log = os.open(Path(folder) / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # where it hangs, should it hang


def run_sealer(folder: str, place: dict[str, str], seed: int) -> None:
    """Recover whatever there is, over and over, until somebody kills this process."""
    os.environ.update(place)
    _be_quiet(folder)
    from prefect_trackrecord import settings
    from prefect_trackrecord.tracking import RunTracker, recover, resolve_storage

    settings.current.cache_clear()
    rng = random.Random(seed)
    obey(folder, "sealer")
    storage = resolve_storage(place["TRACKING_PATH"])
    n = 0
    while True:
        n += 1
        with RunTracker(f"sealed-{n}", storage=storage) as tracker:
            note(folder, f"run {tracker.run_id}")
            for m in range(rng.randrange(1, 12)):
                if tracker.track_file(f"{n}-{m}", "failed" if m % 4 == 3 else "success"):
                    note(folder, f"ack {tracker.run_id} {n}-{m}")
        tracker.track_file("late", "success")
        note(folder, f"ack {tracker.run_id} late")
        recover(storage)
