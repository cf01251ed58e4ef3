"""The delivery report as a flow: the same steps as `trackrecord delivery-report`, scheduled and watched by Prefect."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.logging.loggers import get_run_logger

from prefect_trackrecord._prefect.artifact import slug
from prefect_trackrecord._prefect.context import FlowRunTracker
from prefect_trackrecord._prefect.track import track
from prefect_trackrecord.delivery import DeliveryOutcome, ReportConfig, load_config, parse_config, run_delivery_report
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.report.build import REPORT_ROLE
from prefect_trackrecord.tracking import current_tracker
from prefect_trackrecord.tracking.values import text

MAX_MARKDOWN = 100_000


def _path_of(config: Path | dict[str, Any]) -> str | None:
    return None if isinstance(config, dict) else text(config)


def _dates_of(date_from: date | None, date_to: date | None, window: str | None) -> str | None:
    return f"{date_from}..{date_to}" if date_from or date_to else window


@track(command="delivery-report", config_path=_path_of, target_date=_dates_of, role=REPORT_ROLE)
@flow(name="delivery-report")
def delivery_report(
    config: Path | dict[str, Any] = Path("delivery_report.yaml"),
    date_from: date | None = None,
    date_to: date | None = None,
    window: str | None = None,
) -> State[Any]:
    """Report on the runs of a window: make the page, store it, show it as an artifact, mail it.

    Args:
        config: the report's configuration: a YAML file, or its keys and values.
        date_from: first day, instead of the configured ones.
        date_to: last day, included.
        window: `yesterday`, `today`, `last-7-days`, `previous-week` or `previous-month`, instead of days.

    Raises:
        ConfigurationError: the configuration or the dates are wrong.
    """
    told = read_config(config, window, has_dates=date_from is not None or date_to is not None)
    outcome = deliver(told, date_from, date_to, _scheduled_for())
    show(told, outcome)
    tracker = current_tracker()
    assert isinstance(tracker, FlowRunTracker)
    where = outcome.stored.page_path or outcome.stored.page_url or outcome.stored.page_key
    return tracker.final_state(data={"verdict": outcome.report.verdict.sentence, "page": str(where)})


def read_config(config: Path | dict[str, Any], window: str | None, *, has_dates: bool) -> ReportConfig:
    """The configuration with the window of this run.

    Raises:
        ConfigFileError: it is wrong.
        UsageError: both a window and dates were given.
    """
    told = parse_config(config, "the parameter config") if isinstance(config, dict) else load_config(config)
    if window is None:
        return told
    if has_dates:
        raise UsageError("give a window, or date_from and date_to, not both")
    return told.model_copy(update={"window": window, "date_from": None, "date_to": None})


@task(name="deliver", cache_policy=NO_CACHE, persist_result=False)
def deliver(
    config: ReportConfig, date_from: date | None, date_to: date | None, scheduled_for: datetime | None
) -> DeliveryOutcome:
    """Read the history, make the report, store it, mail it to those who have not got it."""
    logger = get_run_logger()
    outcome = run_delivery_report(
        config,
        date_from=date_from,
        date_to=date_to,
        now=datetime.now(timezone.utc),
        tracker=current_tracker(),
        progress=logger.info,
        scheduled_for=scheduled_for,
    )
    for problem in outcome.problems:
        logger.warning(problem)
    return outcome


@task(name="show", cache_policy=NO_CACHE, persist_result=False)
def show(config: ReportConfig, outcome: DeliveryOutcome) -> None:
    """Leave the report as an artifact; all its runs make one time line."""
    markdown = outcome.rendered.markdown
    if len(markdown) > MAX_MARKDOWN:  # above that the pages take seconds
        markdown = f"{markdown[:MAX_MARKDOWN]}\n\n(cut: the page holds all of it)\n"
    create_markdown_artifact(markdown, key=slug("delivery-report", config.slug), description=config.heading)


def _scheduled_for() -> datetime | None:
    """When this run should have been: a late run of a schedule reports on the window of its due time."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    return run.expected_start_time if run is not None and run.auto_scheduled else None
