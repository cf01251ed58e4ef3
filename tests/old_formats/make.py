"""Writes a store as today's code does, for the tests of tomorrow's: `python tests/old_formats/make.py v1`.

A version's folder is written once, when a document's schema version is new, and never again.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

HERE = Path(__file__).parent
BEGIN = datetime(2026, 11, 20, 6, 30, tzinfo=timezone.utc)
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8cfc0f01f0005000"
    "1ff56c72f0d0000000049454e44ae426082"
)


def main(name: str) -> None:
    if (HERE / name).exists():
        sys.exit(f"{HERE / name} is there already: an old format is never written anew")
    socket.gethostname = lambda: "worker-1"
    target = Path("/srv/history")  # nothing of the machine that writes it is to be in it
    os.environ["TRACKRECORD_SPOOL"] = "/srv/spool"
    from aiosmtpd.controller import Controller
    from aiosmtpd.handlers import Sink

    from prefect_trackrecord.delivery import parse_config, run_delivery_report
    from prefect_trackrecord.delivery.incident_log import after_run, change
    from prefect_trackrecord.record import RecordStatus, Status, ThoughtfulRecord
    from prefect_trackrecord.report.incidents import Rules
    from prefect_trackrecord.tracking import RunMetadata, RunTracker, TrackingStorage

    class Invoice(ThoughtfulRecord):
        id: str
        total: float = 0.0
        status: RecordStatus = RecordStatus("")

    ticks = iter(range(10_000))
    ids = iter(range(1, 100))
    storage = TrackingStorage(base_path=target)
    target.mkdir(parents=True)
    picture = target.parent / "picture.png"
    picture.write_bytes(PICTURE)
    tracker = RunTracker(
        "book", "nightly", "config.yaml", storage, "2026-11-20",
        parameters={"folder": "in", "password": "never stored"}, tags=["prod"],
        now=lambda: BEGIN + timedelta(seconds=next(ticks)),
        new_id=lambda: f"00000000-0000-4000-8000-{next(ids):012d}",
    )  # fmt: skip
    with tracker:
        tracker.track_file("in/1.csv", file_type="csv", processing_time_ms=1200, output_path="out/1.json")
        tracker.track_file("in/2.csv", "failed", error_type="ValueError", error_message="line 7 has 3 columns, not 4")
        tracker.track_file("in/2.csv", "failed", error_type="ValueError", error_message="line 7 has 3 columns, not 4")
        tracker.track_file("in/3.csv", "skipped", reason="empty")
        tracker.record_email_results({"sent": [{"email": "a@example.com"}], "skipped": [{"reason": "no address"}]})
        tracker.metric("rows_loaded", 1041)
        invoice = Invoice(id="INV-1041", total=7)
        invoice.status = Status.RUNNING
        invoice.total = 12
        invoice.log_trace("Total fixed", reason="a digit was missing", image=str(picture))
        invoice.status = Status.COMPLETED
    run = storage.archive.run(tracker.run_id).model_copy(update={"status": "failed"})
    change(
        storage.archive.store,
        "book",
        lambda state: after_run(state, RunMetadata.model_validate(run.model_dump()), Rules()),
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Controller(Sink(), hostname="127.0.0.1", port=port)
    server.start()
    config = parse_config({"title": "Old", "date_from": "2026-11-20", "date_to": "2026-11-20", "sender": "r@example.com",  # noqa: E501
                           "recipients": ["a@example.com"],
                           "smtp": {"host": "127.0.0.1", "port": port, "security": "none"}})  # fmt: skip
    run_delivery_report(config, now=BEGIN + timedelta(days=1), archive=storage.archive)
    server.stop()
    for extra in (".locks", "reports"):  # pages are not read back
        shutil.rmtree(target / extra, ignore_errors=True)
    for page in target.rglob("*.html"):
        page.unlink()
    shutil.move(target, HERE / name)
    shutil.rmtree("/srv/spool", ignore_errors=True)
    picture.unlink()


if __name__ == "__main__":
    main(sys.argv[1])
