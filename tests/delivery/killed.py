"""What the processes of the kill test do; a module of its own, so that they can import it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect_trackrecord.delivery import parse_config, run_delivery_report
from prefect_trackrecord.tracking import TrackingStorage

WHO = [f"r{n:02d}@example.com" for n in range(20)]


def config(name: str, port: int, **fields: Any) -> Any:
    smtp = {"host": "127.0.0.1", "port": port, "security": "none", "timeout": 10, "retry_for": 0}
    return parse_config(
        {"name": name, "window": "today", "sender": "r@example.com", "recipients": WHO, "smtp": smtp, **fields}
    )


def deliver_once(root: str, name: str, port: int, now: datetime, begun: Any) -> None:
    """One whole delivery; `begun` is set when the mails begin."""
    archive = TrackingStorage(base_path=root).archive

    def tell(line: str) -> None:
        if line.startswith("stored"):
            begun.set()

    run_delivery_report(config(name, port), now=now, archive=archive, progress=tell)
