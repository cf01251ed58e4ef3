"""`notify_on_failure`: a message right after a flow's run ended badly, and one when it is well again."""

from __future__ import annotations

import copy
import dataclasses
import logging
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar, overload

from prefect import Flow
from prefect.client.schemas import FlowRun
from prefect.client.schemas.objects import State
from prefect.logging.loggers import flow_run_logger

from prefect_trackrecord._prefect import outcome, runs, settings
from prefect_trackrecord.delivery import (
    ReportConfig,
    Told,
    alert_on,
    archive_of,
    load_config,
    mail_server,
    parse_config,
)
from prefect_trackrecord.delivery.smtp import SmtpServer
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.errors import TrackRecordError
from prefect_trackrecord.journal.printable import printable
from prefect_trackrecord.tracking.describing import MAX_TEXT, masked, text_or_none

F = TypeVar("F", bound="Flow[..., Any]")
Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

HOOKS = ("on_completion", "on_failure", "on_crashed", "on_cancellation")
SEALED_WITHIN = 20.0
"""Seconds for which a tracked run's own documents are waited for; after that Prefect's word alone is told."""
RETRY_FOR = 20.0
"""Seconds for which a hook tries again to reach a mail server: the flow's process lives on for that long."""
SKEW = timedelta(seconds=5)


class NotifyOnFailure:
    """What `notify_on_failure` gives: a hook of a flow, and a decorator that sets the hook."""

    def __init__(self, config: Path | ReportConfig) -> None:
        self.config = config
        self.__name__ = "notify_on_failure"

    @overload
    def __call__(self, flow: F) -> F: ...

    @overload
    def __call__(self, flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None: ...

    def __call__(self, flow: Any, flow_run: FlowRun | None = None, state: State[Any] | None = None) -> Any:
        """As a decorator, or as Prefect calls a hook. The message leaves from a thread that the process waits for."""
        if flow_run is None or state is None:
            return self._on(flow)
        work = threading.Thread(target=self._work, args=(flow, flow_run, state), name="trackrecord-alert", daemon=False)
        work.start()
        return None

    def _on(self, flow: F) -> F:
        new = copy.copy(flow)
        for name in HOOKS:
            theirs = [hook for hook in getattr(flow, f"{name}_hooks") if not isinstance(hook, NotifyOnFailure)]
            setattr(new, f"{name}_hooks", [*theirs, self])
        return new

    def _work(self, flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
        """All of it; nothing is raised."""
        logger = flow_run_logger(flow_run, flow)
        try:
            config = self.config if isinstance(self.config, ReportConfig) else load_config(self.config)
            options = runs.flow_options_of(flow)
            if options is None:
                archive, run = archive_of(config, settings.current()), from_prefect(flow_run, state, flow.name)
            else:
                live, _ = runs.open_run(flow_run.id, options, arguments=flow_run.parameters)
                archive = live.archive
                run = sealed(archive, flow_run, state) or from_prefect(flow_run, state, flow.name)
            say(logger, alert(run, archive, config, retry_for=RETRY_FOR))
        except TrackRecordError as exc:
            logger.error("nobody could be alerted to this run's end: %s", exc)  # noqa: TRY400 - it says enough
        except Exception:
            logger.exception("nobody could be alerted to this run's end")


def notify_on_failure(config: Path | str | dict[str, Any] | ReportConfig) -> NotifyOnFailure:
    """Alert people right after a flow's run ends badly, and tell them when it is well again.

    One message per incident, however many runs it takes; the rules are those of the configuration's section `alerts`.
    It never breaks the flow: what goes wrong is logged on the run, and what could not be sent is told by the next run,
    or by the flow that watches.

    Use it as a decorator, or among a flow's hooks; a recovery is seen only where it is among `on_completion` too:

        @notify_on_failure("alerts.yaml")
        @track
        @flow
        def nightly(): ...

        tell = notify_on_failure("alerts.yaml")
        hooks = {"on_failure": [tell], "on_crashed": [tell], "on_completion": [tell]}

    Args:
        config: the configuration of a delivery report, of which recipients, sender, mail server, channels, `flows`
            and `alerts` count: a YAML file, read when a run ends, or its keys and values.

    Returns:
        The hook, which is a decorator of flows too.

    Raises:
        ConfigFileError: keys and values were given, and something in them is wrong.
    """
    if isinstance(config, dict):
        return NotifyOnFailure(parse_config(config, "notify_on_failure"))
    return NotifyOnFailure(config if isinstance(config, ReportConfig) else Path(config))


def alert(run: RunMetadata, archive: Archive, config: ReportConfig, *, retry_for: float | None = None) -> list[Told]:
    """Tell of a run that ended; see `delivery.alert_on`.

    Args:
        run: the run.
        archive: where it is kept.
        config: whom to tell.
        retry_for: at most so many seconds are spent on trying again.

    Raises:
        StoreError: the incident can't be noted.
        ConfigurationError: the mail server can't be used.
    """
    server = impatient(config, retry_for)
    return alert_on(run, archive, config, now=datetime.now(timezone.utc), server=server)


def impatient(config: ReportConfig, retry_for: float | None) -> SmtpServer | None:
    """The configured mail server, that is tried again for at most so many seconds; None for the outbox.

    Raises:
        ConfigurationError: it can't be used.
    """
    server = mail_server(config)
    if server is None or retry_for is None:
        return server
    return dataclasses.replace(server, retry_for=min(server.retry_for, retry_for))


def say(logger: Log, told: list[Told]) -> None:
    """Log what became of each message."""
    for one in told:
        lost = [e for e in one.emails if e.status == "failed"]
        failed = [f"{e.email or e.agent_name}: {e.outcome or 'failed'}, {e.reason}" for e in lost]
        logger.info("alert: %s (%d told)", printable(one.alert.headline), len(one.emails) - len(failed))
        for line in failed:
            logger.warning("an alert did not arrive: %s", printable(line))


def sealed(archive: Archive, flow_run: FlowRun, state: State[Any], within: float = SEALED_WITHIN) -> RunMetadata | None:
    """The run's own document once it tells of this end; None where it does not in time.

    Which of the flow's hooks comes first is not known, and a run may end a second time.
    """
    deadline, pause = time.monotonic() + within, 0.05
    while True:
        try:
            run = archive.run(str(flow_run.id))
            ended = run.completed_at
            if run.status is not RunStatus.RUNNING and ended is not None and ended >= state.timestamp - SKEW:
                return run
        except TrackRecordError:
            pass
        if time.monotonic() + pause > deadline:
            return None
        time.sleep(pause)
        pause = min(pause * 1.5, 2.0)


def from_prefect(flow_run: FlowRun, state: State[Any], flow_name: str) -> RunMetadata:
    """A run of a flow that is not tracked, or whose documents are not there, as far as Prefect knows it."""
    status = RunStatus(outcome.run_status(state) or RunStatus.SUCCESS.value)
    ended = status is not RunStatus.SUCCESS
    said = text_or_none(state.message, MAX_TEXT)
    kind, message = outcome.error_of(state, None) if status is RunStatus.FAILED else (None, said)
    took = flow_run.total_run_time.total_seconds() if flow_run.total_run_time else None
    return RunMetadata(
        run_id=str(flow_run.id),
        command=flow_name,
        flow_name=flow_name,
        flow_id=str(flow_run.flow_id),
        flow_run_name=text_or_none(flow_run.name),
        deployment_id=str(flow_run.deployment_id) if flow_run.deployment_id else None,
        tags=[masked(tag) for tag in flow_run.tags or ()],
        started_at=flow_run.start_time or flow_run.expected_start_time or state.timestamp,
        completed_at=state.timestamp,
        duration_ms=round(took * 1000) if took else None,
        status=status,
        error_type=kind if ended else None,
        error_message=message if ended else None,
    )
