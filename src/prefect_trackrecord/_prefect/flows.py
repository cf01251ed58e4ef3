"""The delivery report as a flow: the same steps as `trackrecord delivery-report`, scheduled and watched by Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.logging.loggers import get_run_logger
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from prefect_trackrecord._prefect import events_out, settings
from prefect_trackrecord._prefect import report_tasks as steps
from prefect_trackrecord._prefect.context import FlowRunTracker
from prefect_trackrecord._prefect.delivery_block import report_config_of
from prefect_trackrecord._prefect.report_tasks import Work
from prefect_trackrecord._prefect.track import track
from prefect_trackrecord.delivery import ReportConfig, archive_of, check_address, prepare
from prefect_trackrecord.delivery.collecting import storage_of
from prefect_trackrecord.delivery.performing import Made
from prefect_trackrecord.delivery.routing import Part, parts
from prefect_trackrecord.documents.models import EmailResult
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.journal.printable import printable
from prefect_trackrecord.report.build import REPORT_ROLE
from prefect_trackrecord.tracking import current_tracker
from prefect_trackrecord.tracking.values import text

AT_ONCE = 4
"""So many mails are handed over at the same time."""

Window = Literal["today", "yesterday", "last-7-days", "last-14-days", "last-30-days", "previous-week", "previous-month"]
Config = Path | dict[str, Any]
DEFAULT = Path("delivery_report.yaml")
_RESEND: dict[str, Any] = {"no": False, "undelivered": "undelivered", "all": True}


def _path_of(config: Path | dict[str, Any]) -> str | None:
    return None if isinstance(config, dict) else text(config)


def _dates_of(date_from: date | None, date_to: date | None, window: str | None) -> str | None:
    return f"{date_from}..{date_to}" if date_from or date_to else window


def _storage_of(config: Path | dict[str, Any] = DEFAULT) -> Any:
    """The report's own run is kept where the runs are that it reports on: its email results are looked for there."""
    return storage_of(report_config_of(config))


@track(command="delivery-report", config_path=_path_of, target_date=_dates_of, role=REPORT_ROLE, storage=_storage_of)
@flow(name="delivery-report", task_runner=ThreadPoolTaskRunner(max_workers=AT_ONCE))  # type: ignore[arg-type]
def delivery_report(
    config: Config = DEFAULT,
    window: Window | None = None,
    date_from: date | None = None,
    date_to: date | None = None,
    resend: Literal["no", "undelivered", "all"] = "no",
    to: Sequence[str] = (),
    dry_run: bool = False,
) -> State[Any]:
    """Report on the runs of a window: make the page, store it, show it as artifacts, mail it once to everybody.

    Args:
        config: The report's configuration: a YAML file, `trackrecord-delivery/<block name>`, or its keys and values.
        window: Which days, instead of the configured ones.
        date_from: The first day, instead of a window.
        date_to: The last day, included.
        resend: Whom to send it who got it already: nobody, those whose mail was rejected or is unknown, or everybody.
        to: Send a test copy to these addresses only.
        dry_run: Send and store nothing; show what would be sent.

    Raises:
        ConfigurationError: the configuration or the dates are wrong.
        UsageError: an address is none, or both a window and days were given.
    """
    told = read_config(config, window, has_dates=date_from is not None or date_to is not None)
    tracker = current_tracker()
    assert isinstance(tracker, FlowRunTracker)
    prepared = prepare(
        told,
        date_from=date_from,
        date_to=date_to,
        now=datetime.now(timezone.utc),
        archive=archive_of(told, settings.current()),
        tracker=tracker,
        progress=get_run_logger().info,
        scheduled_for=_scheduled_for(),
        resend=_RESEND[resend],
    )
    copies = _addresses(to)
    work = Work(told, prepared, ask_schedules=told.schedules)
    steps.collect(work)
    whole, *routed = parts(told)
    made = _make(work, whole)
    if dry_run:
        results = work.delivery.would(whole, made)
        for part in routed:
            results += work.delivery.would(part, _make(work, part))
        steps.show_dry(work, made, results)
        return Completed(message=f"Dry run: {made.report.verdict.sentence}")
    _store(work, whole)
    if copies:
        work.delivery.test_copy(made, copies)
    else:
        _say_delivered(tracker.run_id, work, made, _deliver(work, [whole, *routed]))
    steps.show(work, made, work.stored)
    problems = list(dict.fromkeys(work.delivery.problems))
    for problem in problems:
        get_run_logger().warning(printable(problem))
    return tracker.final_state(
        data={"verdict": made.report.verdict.sentence, "page": str(steps.place(work.stored)), "problems": problems}
    )


def _say_delivered(run_id: str, work: Work, made: Made, results: Sequence[EmailResult]) -> None:
    """An event, for automations that wait for the report."""
    period = made.report.period
    told = {"verdict": made.report.verdict.sentence, "page": str(steps.place(work.stored) or "")}
    days = f"{period.start}..{period.end}"
    events_out.report_delivered(run_id, work.config.slug, days, results, told)


def read_config(config: Path | dict[str, Any], window: str | None, *, has_dates: bool) -> ReportConfig:
    """The configuration with the window of this run.

    Raises:
        ConfigFileError: it is wrong.
        UsageError: both a window and dates were given.
    """
    told = report_config_of(config)
    if window is None:
        return told
    if has_dates:
        raise UsageError("give a window, or date_from and date_to, not both")
    return told.model_copy(update={"window": window, "date_from": None, "date_to": None})


def _make(work: Work, part: Part) -> Any:
    steps.build(work, part, part.config.heading)
    steps.render(work, part, part.config.heading)
    return work.made[part.config.slug]


def _store(work: Work, part: Part) -> None:
    steps.store(work, part, part.config.heading, return_state=True)


def _deliver(work: Work, them: Sequence[Part]) -> list[EmailResult]:
    """Mail each part's report to its people, some at a time; then tell the channels."""
    results: list[EmailResult] = []
    sending = []
    for part in them:
        if not part.whole:
            _make(work, part)
            _store(work, part)
        spared = work.delivery.spare(part, work.made[part.config.slug])
        results += spared.values()
        due = [person for person in part.people if person not in spared]
        sending += [steps.deliver.submit(work, part, person, steps.who(person)) for person in due]
    for future in sending:
        future.wait()
        result = steps.result_of(future.state)
        results += [result] if result is not None else []
    for channel in work.prepared.channels:
        steps.tell(work, them[0], channel, return_state=True)
    return results


def _addresses(to: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(check_address(address) for address in to)
    except ValueError as exc:
        raise UsageError(f"to: {exc}") from None


def _scheduled_for() -> datetime | None:
    """When this run should have been: a late run of a schedule reports on the window of its due time."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    return run.expected_start_time if run is not None and run.auto_scheduled else None
