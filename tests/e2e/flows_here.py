"""The flow that the worker runs: it says where it is in files, so that tests need not guess."""

from __future__ import annotations

import os
import time
from pathlib import Path

from prefect import flow, task

from prefect_trackrecord import track


@track(file="path")
@task
def work(path: str, seconds: float = 0.0) -> str:
    time.sleep(seconds)
    return path


@track
@flow
def nightly(folder: str, files: int = 3, wait: bool = True) -> int:
    for n in range(files):
        work(f"file-{n}")
    Path(folder, "pid").write_text(str(os.getpid()))
    Path(folder, "ready").touch()
    while wait and not Path(folder, "go").exists():
        time.sleep(0.2)
    return files


if __name__ == "__main__":
    nightly(os.environ["FOLDER"])
