"""The schedules of prefect.yaml in one process, without a worker: `python flows/serve.py`, and leave it running.

A schedule's runs are made by a Prefect server. The one that a flow starts for itself, where none is configured,
makes none.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from alerts import watch_flows
from check_python_files import check_python_files
from delivery_report import delivery_report
from prefect import serve
from prefect.schedules import Cron, Interval
from prefect.settings import get_current_settings
from recover_runs import recover_runs

CONFIG = {"config": "flows/delivery_report.yaml"}


def main() -> None:
    """Serve the same schedules as prefect.yaml; paths are those of the repository's root."""
    if not get_current_settings().api.url:
        sys.exit("no Prefect server is configured, and without one no schedule ever runs: set PREFECT_API_URL")
    serve(
        check_python_files.to_deployment("served"),
        delivery_report.to_deployment(
            "served", parameters=CONFIG, schedule=Cron("0 7 * * *", timezone="Europe/Berlin"), concurrency_limit=1
        ),
        recover_runs.to_deployment("served", schedule=Interval(timedelta(minutes=15)), concurrency_limit=1),
        watch_flows.to_deployment(
            "served", parameters=CONFIG, schedule=Interval(timedelta(minutes=10)), concurrency_limit=1
        ),
    )


if __name__ == "__main__":
    main()
