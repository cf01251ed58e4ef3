"""A process worker of Prefect's that dies by its own hand once told to: `python worker_killed.py FOLDER POOL`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import flows_killed
from prefect.cli import app

if __name__ == "__main__":
    folder, pool = sys.argv[1:]
    flows_killed.obey(folder, "process-worker")
    sys.argv = ["prefect", "worker", "start", "--pool", pool, "--type", "process"]
    app()
