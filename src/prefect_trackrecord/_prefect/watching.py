"""Flows that alert: one that looks for what no hook can see, and one that an automation starts for one run."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.logging.loggers import get_run_logger
from prefect.states import Completed, Failed

from prefect_trackrecord._prefect import alerting, settings
from prefect_trackrecord._prefect.delivery_block import report_config_of
from prefect_trackrecord._prefect.schedules import expecting
from prefect_trackrecord._prefect.trying_again import AGAIN
from prefect_trackrecord.delivery import ReportConfig, Told, archive_of, watch
from prefect_trackrecord.errors import UsageError

MOST = 300
"""So many moments of a deployment's schedule are looked at, the newest."""

Config = Path | dict[str, Any]


@flow(name="trackrecord-watch")
def watch_flows(config: Config = Path("delivery_report.yaml"), look_back_days: int = 30) -> State[Any]:
    """Find runs that are missed, late, stuck or slow, and failures that nobody was told of, and alert people to them.

    Schedule it every few minutes. However often it looks, an incident is told once, and once when it is over.

    Args:
        config: A delivery report's configuration, of which recipients, mail server, channels, flows and alerts count.
        look_back_days: How much history is read; a flow's own pace is taken from it.

    Raises:
        ConfigurationError: the configuration is wrong.
        StoreError: the history can't be read.
    """
    told = _read(config)
    if not 1 <= look_back_days <= 366:
        raise UsageError(f"look_back_days must be 1 to 366, not {look_back_days}")
    now = datetime.now(timezone.utc)
    look_back = timedelta(days=look_back_days)
    expected, problem = _Given({}), None
    if told.schedules:
        state = ask_schedules(told, now, look_back, return_state=True)
        found = state.result(raise_on_failure=False)
        if isinstance(found, _Given):
            expected = found
        else:
            problem = f"schedules could not be asked: {found}"
    return _ended(look(told, now, look_back, expected), problem)


@flow(name="alert-on-run")
def alert_on_run(flow_run_id: UUID, config: Config = Path("delivery_report.yaml")) -> State[Any]:
    """Alert people to the end of one flow run, if it begins an incident or ends one; for an automation to start.

    Args:
        flow_run_id: The run; in an automation `{{ flow_run.id }}`.
        config: A delivery report's configuration, of which recipients, mail server, channels, flows and alerts count.

    Raises:
        ConfigurationError: the configuration is wrong.
        StoreError: the incident can't be noted.
    """
    return _ended(alert(_read(config), flow_run_id), None)


class _Given:
    """When runs were to begin; Prefect does not look into it."""

    def __init__(self, times: dict[str, list[datetime]]) -> None:
        self.times = times


@task(name="ask Prefect for schedules", **AGAIN)
def ask_schedules(config: ReportConfig, now: datetime, look_back: timedelta) -> _Given:
    """Which runs should have begun."""
    archive = archive_of(config, settings.current())
    runs = archive.runs(now - look_back, now + timedelta(days=1)).runs
    expect = expecting(config.filters, config.alerts.grace, most=MOST)
    return _Given({flow: list(times) for flow, times in expect(runs, now - look_back, now).items()})


@task(name="look for incidents and tell them", **AGAIN)
def look(config: ReportConfig, now: datetime, look_back: timedelta, expected: _Given) -> list[Told]:
    """Hold the history against schedules and paces, and tell what has not been told."""
    # The next look comes in minutes and tries again what did not leave: this one must not wait for a mail server.
    server = alerting.impatient(config, alerting.RETRY_FOR)
    told = watch(
        archive_of(config, settings.current()),
        config,
        now=now,
        expected=expected.times,
        look_back=look_back,
        server=server,
    )
    alerting.say(get_run_logger(), told)
    return told


@task(name="tell of the run", **AGAIN)
def alert(config: ReportConfig, flow_run_id: UUID) -> list[Told]:
    """Read the run, from its track record or else from Prefect, and tell of it."""
    archive = archive_of(config, settings.current())
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(flow_run_id)
        name = client.read_flow(flow_run.flow_id).name
    state = flow_run.state
    if state is None or not state.is_final():
        raise UsageError(f"the flow run {flow_run_id} has not ended: it is {state.name if state else 'unknown'}")
    run = alerting.sealed(archive, flow_run, state) or alerting.from_prefect(flow_run, state, name)
    told = alerting.alert(run, archive, config)
    alerting.say(get_run_logger(), told)
    return told


def _read(config: Config) -> ReportConfig:
    return report_config_of(config)


def _ended(told: list[Told], problem: str | None) -> State[Any]:
    """The state says what was told; Failed where somebody was not reached, for Prefect's own automations."""
    recovered = sum(one.alert.state == "recovery" for one in told)
    words = f"{len(told) - recovered} alerts, {recovered} recoveries" if told else "nothing to tell"
    lost = [f"{e.email or e.agent_name}: {e.reason}" for one in told for e in one.emails if e.status == "failed"]
    if lost or problem:
        return Failed(message="; ".join([words, *([problem] if problem else []), *dict.fromkeys(lost)])[:1000])
    return Completed(message=words)
