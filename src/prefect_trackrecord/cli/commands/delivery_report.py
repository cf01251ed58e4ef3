"""`trackrecord delivery-report`: the report on some days, stored and mailed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from prefect_trackrecord.cli.options import Json, Storage, in_paragraphs

command = App(
    name="delivery-report",
    help_epilogue="Example:\n  trackrecord delivery-report --config config/delivery_report_config.yaml "
    "--date-from 2025-01-20 --date-to 2025-01-26\n\n"
    "To see it without storing or sending anything:\n"
    "  trackrecord delivery-report --config report.yaml --window last-7-days --dry-run",
)


@command.default
@in_paragraphs
def delivery_report(
    *,
    config: Path,
    date_from: str | None = None,
    date_to: str | None = None,
    window: str | None = None,
    storage: Storage = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    preview: Path | None = None,
    to: Annotated[list[str] | None, Parameter(negative=())] = None,
    resend: Literal["all", "undelivered"] | None = None,
    json: Json = False,
) -> int:
    """Report on the runs of some days, store the report, and mail it to those who have not got it yet.

    Without a mail server in the configuration, the mails are left in an outbox folder.

    Args:
        config: The report's configuration, a YAML file.
        date_from: First day, YYYY-MM-DD in the report's time zone.
        date_to: Last day, included.
        window: Instead of dates: today, yesterday, last-7-days, previous-week or previous-month. Where neither is
            given the configuration says it.
        dry_run: Print the report and what would be sent; store nothing and send nothing.
        preview: Write the report's page to this file, or into this folder; store nothing else and send nothing.
        to: Send a test copy to this address only; may be given several times.
        resend: Send also to all who got it already, or to those whose mail was rejected.
    """
    from prefect_trackrecord.cli.delivery_report import Sending
    from prefect_trackrecord.cli.delivery_report import delivery_report as work

    sending = Sending(dry_run=dry_run, preview=preview, to=tuple(to or ()), resend=resend)
    return work(config, date_from, date_to, window, storage, sending, json)
