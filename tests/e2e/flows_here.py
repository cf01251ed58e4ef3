"""The flow that the tests stop: it says where it is in files, so that they need not guess."""

from __future__ import annotations

import os
import time
from pathlib import Path

from prefect import flow, task
from prefect.runtime import flow_run

from prefect_trackrecord import track


@track(file="path")
@task
def work(path: str) -> str:
    return path


@track
@flow
def waiting(folder: str, files: int = 3) -> int:
    for n in range(files):
        work(f"file-{n}")
    Path(folder, "pid").write_text(str(os.getpid()))
    Path(folder, "run").write_text(str(flow_run.id))
    Path(folder, "ready").touch()
    while not Path(folder, "go").exists():
        time.sleep(0.2)
    return files


if __name__ == "__main__":
    waiting(os.environ["FOLDER"])
