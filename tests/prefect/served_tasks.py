"""What test_task_worker.py has served, by a process of its own: `python served_tasks.py`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.task_worker import serve

from prefect_trackrecord import RecordStatus, Status, ThoughtfulRecord, current_tracker, track
from prefect_trackrecord.journal.liveness import start_ticks


class Claim(ThoughtfulRecord):
    amount: int = 0
    status: RecordStatus = Status.PENDING


@track(file="path", output="return", record="claim")
@task(retries=1)
def settle(path: str, claim: Claim | None = None, go_on: str = "") -> str:
    current_tracker().track_file(f"{path}/part", file_type="part")
    if claim is not None:
        claim.log_trace("settled")
    while go_on and not Path(go_on).exists():
        time.sleep(0.05)
    if path == "bad":
        raise ValueError("no good")
    if path == "dies":
        os._exit(9)
    return str(os.getpid())


def wait(future: Any, seconds: float) -> None:
    """Wait for a task run; Prefect's own wait raises while the API has no state of it."""
    for _ in range(100):
        try:
            future.wait(seconds)
        except RuntimeError:
            time.sleep(0.2)
        else:
            return


@track
@flow(name="delaying")
def delaying(paths: list[str], late: str, go_on: str) -> None:
    futures = [settle.delay(path, Claim(id=path)) for path in paths]
    for future in futures:
        wait(future, 120)
    settle.delay(late, go_on=go_on)  # nobody waits for it


@track
@flow(name="dying")
def dying(worker: int) -> None:
    settle.delay("dies")
    while start_ticks(worker):  # as it ends the worker is dead, however busy the machine is
        time.sleep(0.1)


if __name__ == "__main__":
    serve(settle)
