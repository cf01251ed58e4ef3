"""What the processes of the report flow's kill test do; a module of its own, so that they can import it."""

from __future__ import annotations

import os
from typing import Any


def report_once(home: str, api_url: str, root: str, config: dict[str, Any], begun: Any) -> None:
    """One whole run of the Prefect flow; `begun` is set when its mails begin."""
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    from prefect_trackrecord import settings
    from prefect_trackrecord._prefect import report_tasks
    from prefect_trackrecord.flows import delivery_report

    os.environ["TRACKING_PATH"] = root
    os.environ["TRACKRECORD_SPOOL"] = f"{home}/spool"
    settings.current.cache_clear()

    class Announced:
        """The task that delivers; tells when it is called for the first time."""

        def submit(self, *args: Any) -> Any:
            begun.set()
            return deliver.submit(*args)

    deliver = report_tasks.deliver
    report_tasks.deliver = Announced()  # type: ignore[assignment]
    with temporary_settings({PREFECT_API_URL: api_url, PREFECT_HOME: home}):
        delivery_report(config, return_state=True)
