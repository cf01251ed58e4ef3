"""`trackrecord delivery-report`: the delivery report from a shell."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from prefect_trackrecord.cli.output import complain, dump, note, say
from prefect_trackrecord.cli.place import storage_of, tracked
from prefect_trackrecord.delivery import (
    DeliveryOutcome,
    ReportConfig,
    build,
    collect,
    load_config,
    render,
    run_delivery_report,
)
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.report.build import REPORT_ROLE
from prefect_trackrecord.store import StoreConfig
from prefect_trackrecord.tracking import TrackingStorage, resolve_storage


def delivery_report(
    config_path: Path,
    date_from: str | None,
    date_to: str | None,
    window: str | None,
    storage: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Make the report, say where it is, and return 1 where it could not be stored or a mail not be sent."""
    if window and (date_from or date_to):
        raise UsageError("give --window, or --date-from and --date-to, not both")
    config = load_config(config_path)
    if window:
        config = config.model_copy(update={"window": window, "date_from": None, "date_to": None})
    place = _place(config, storage)
    now = datetime.now(timezone.utc)
    period = config.period(date_from, date_to, now)
    if dry_run:
        report = build(config, collect(config, period, place.archive), now=now)
        if as_json:
            dump(report.model_dump(mode="json"))
        else:
            say(render(config, report).text)
        return 0
    with tracked(
        "delivery-report", place, config_path=str(config_path), target_date=period.key, role=REPORT_ROLE
    ) as run:
        outcome = run_delivery_report(
            config,
            date_from=period.start,
            date_to=period.end,
            now=now,
            archive=place.archive,
            tracker=run.tracker,
            progress=note,
        )
    return _print(outcome, as_json)


def _place(config: ReportConfig, storage: str | None) -> TrackingStorage:
    """`--storage`, else what the configuration says, else as everywhere."""
    if storage or not config.storage:
        return storage_of(storage)
    if config.storage_options:
        return resolve_storage(StoreConfig(config.storage, config.storage_options))
    return storage_of(config.storage)


def _print(outcome: DeliveryOutcome, as_json: bool) -> int:
    stored, report = outcome.stored, outcome.report
    if as_json:
        dump(
            {
                "verdict": report.verdict.sentence,
                "page": str(stored.page_path or stored.page_url or stored.page_key),
                "text": str(stored.text_path or stored.text_key),
                "outbox": None if outcome.outbox is None else str(outcome.outbox),
                "emails": [e.model_dump(mode="json") for e in outcome.emails],
                "problems": list(outcome.problems),
            }
        )
    else:
        say(report.verdict.sentence)
        if stored.error is None:
            say(f"page    {stored.page_path or stored.page_url or stored.page_key}")
        if outcome.outbox is not None and outcome.emails:
            say(f"outbox  {outcome.outbox}")
        say(f"emails  {_counts(outcome)}")
    for problem in outcome.problems:
        complain(problem)
    failed = any(e.status == "failed" for e in outcome.emails)
    return 1 if failed or stored.error else 0


def _counts(outcome: DeliveryOutcome) -> str:
    by = {status: sum(e.status == status for e in outcome.emails) for status in ("sent", "failed", "skipped")}
    return ", ".join(f"{n} {status}" for status, n in by.items() if n) or "nobody to send to"
