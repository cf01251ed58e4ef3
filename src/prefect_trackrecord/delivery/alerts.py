"""Alerts: one message per incident right when it begins, and one when it is well again.

`alert_on` is for a hook, with the one run that ended; it reads no history. `watch` is for a small scheduled flow, which
finds what no hook can: missed, late, slow and stuck runs, and those that crashed without a word. Both keep what they
know in the same documents (`incident_log`), and both send through the ledger, so that they may run at the same time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import orjson

from prefect_trackrecord.delivery.config import ReportConfig
from prefect_trackrecord.delivery.incident_log import (
    ALL,
    LATELY,
    FlowState,
    Noted,
    after_look,
    after_run,
    change,
    due,
    read_state,
    told,
)
from prefect_trackrecord.delivery.job import outbox_of
from prefect_trackrecord.delivery.ledger import Ledger
from prefect_trackrecord.delivery.message import Letter
from prefect_trackrecord.delivery.sender import deliver
from prefect_trackrecord.delivery.smtp import SmtpServer
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.layout import DELIVERIES
from prefect_trackrecord.documents.models import EmailResult, FileProcessingLog, RunMetadata
from prefect_trackrecord.errors import DamagedDocumentError, RunNotFoundError, StoreError
from prefect_trackrecord.history import flow_key
from prefect_trackrecord.pages import alert_subject, render_alert
from prefect_trackrecord.report.alert import Alert, build_alert
from prefect_trackrecord.report.build import chosen
from prefect_trackrecord.report.incidents import Incident, Rules, incidents
from prefect_trackrecord.report.period import zone
from prefect_trackrecord.report.rows import FlowNote
from prefect_trackrecord.settings import current

LOOK_BACK = timedelta(days=30)
MAX_ROWS = 50_000
LOOKED = f"{DELIVERIES}/incidents/looked.json"

Notes = Mapping[str, FlowNote]


@dataclass(frozen=True)
class Told:
    """One message: the incident, what was said, and what became of each mail."""

    incident: Incident
    alert: Alert
    emails: tuple[EmailResult, ...]


@dataclass(frozen=True)
class _Way:
    """How messages leave."""

    archive: Archive
    config: ReportConfig
    now: datetime
    notes: Notes
    server: SmtpServer | None
    outbox: Path


def alert_on(
    run: RunMetadata,
    archive: Archive,
    config: ReportConfig,
    *,
    now: datetime,
    rules: Rules | None = None,
    notes: Notes | None = None,
    server: SmtpServer | None = None,
) -> list[Told]:
    """Tell of a run that just ended, if it begins an incident or ends one.

    Calling it twice for one run, or from two processes, tells it once. A silenced flow's incident is noted, and told by
    `watch` if it still lasts when the silence is over.

    Args:
        run: the run, as it ended.
        archive: where the run's files are, and where incidents are noted.
        config: recipients, sender, mail server, time zone; its filters say which runs it is about.
        now: the present.
        rules: when something is an incident.
        notes: owner, description and runbook by flow.
        server: another mail server than the configured one.

    Raises:
        StoreError: the incident can't be noted; then nothing was sent.
        ConfigurationError: the mail server can't be used.
    """
    if not chosen([run], config.filters, config.include_reports):
        return []
    way = _Way(archive, config, now, notes or {}, server, outbox_of(config, archive))
    state = change(archive.store, flow_key(run), lambda s: after_run(s, run, rules or Rules()))
    return _tell(state, way, lambda run_id: run if run_id == run.run_id else _run(archive, run_id))


def watch(
    archive: Archive,
    config: ReportConfig,
    *,
    now: datetime,
    expected: Mapping[str, Iterable[datetime]] | None = None,
    rules: Rules | None = None,
    notes: Notes | None = None,
    server: SmtpServer | None = None,
    look_back: timedelta = LOOK_BACK,
) -> list[Told]:
    """Look at the history, and tell of every incident that has not been told yet.

    Args:
        archive: the history.
        config: recipients, sender, mail server, time zone, filters.
        now: the present.
        expected: when runs of each flow (by `flow_key`) were to begin, from schedules; moments before `look_back` are
            left out.
        rules: when something is an incident.
        notes: owner, description and runbook by flow.
        server: another mail server than the configured one.
        look_back: how far the history is read.

    Raises:
        StoreError: the history can't be read, or an incident can't be noted.
        ConfigurationError: the mail server can't be used.
    """
    rules, start = rules or Rules(), now - look_back
    runs = chosen(archive.runs(start, now + timedelta(days=1)).runs, config.filters, config.include_reports)
    asked = {flow: [at for at in times if at >= start] for flow, times in (expected or {}).items()}
    found: dict[str, list[Incident]] = {}
    for incident in incidents(runs, rules, now, asked):
        found.setdefault(incident.flow, []).append(incident)
    by_id = {run.run_id: run for run in runs}
    way = _Way(archive, config, now, notes or {}, server, outbox_of(config, archive))
    first, looked_at = _looked(archive)
    news_from = max(first, looked_at - LATELY) if first is not None and looked_at is not None else None
    messages: list[Told] = []
    for flow in sorted({*found, *asked, *(flow_key(run) for run in runs)}):
        state, _ = read_state(archive.store, flow)
        if flow not in found and not state.noted:
            continue
        state = change(archive.store, flow, _looking(found.get(flow, []), now, news_from, frozenset(by_id)))
        messages += _tell(state, way, lambda run_id: by_id.get(run_id) or _run(archive, run_id))
    archive.store.put(LOOKED, orjson.dumps({"first": (first or now).isoformat(), "looked_at": now.isoformat()}))
    return messages


def silence(archive: Archive, flow: str, until: datetime | None) -> None:
    """Tell nothing about a flow (`*`: about any) before `until`; None ends the silence.

    Raises:
        StoreError: it can't be noted.
    """
    change(archive.store, flow, lambda s: s.model_copy(update={"silenced_until": until}))


def _looking(
    found: list[Incident], now: datetime, news_from: datetime | None, run_ids: frozenset[str]
) -> Callable[[FlowState], FlowState]:
    return lambda state: after_look(state, found, now, news_from, run_ids)


def _tell(state: FlowState, way: _Way, run_of: Callable[[str], RunMetadata | None]) -> list[Told]:
    waiting = due(state)
    if not waiting or state.silenced(way.now) or read_state(way.archive.store, ALL)[0].silenced(way.now):
        return []
    messages = []
    for noted, recovery in waiting:
        message = _send(noted, recovery, way, run_of)
        messages.append(message)
        if _arrived(message.emails):
            key = noted.incident.key
            change(way.archive.store, state.flow, lambda s, k=key, r=recovery: told(s, k, way.now, recovery=r))  # type: ignore[misc]
    return messages


def _send(noted: Noted, recovery: bool, way: _Way, run_of: Callable[[str], RunMetadata | None]) -> Told:
    incident, config = noted.incident, way.config
    run_id = incident.recovered_by if recovery else incident.run_id
    run = run_of(run_id) if run_id else None
    alert = build_alert(
        incident,
        run,
        now=way.now,
        rows=_rows(way.archive, run) if run is not None and not recovery else (),
        note=way.notes.get(incident.flow),
        ui_url=config.ui_url or current().ui_url,
        recovery=recovery,
    )
    clock = zone(config.timezone)
    letter = Letter(
        subject=alert_subject(alert),
        text=render_alert(alert, "text", zone=clock),
        html=render_alert(alert, "email", zone=clock),
        report=f"alert {incident.flow}",
        period=f"{incident.key}-recovery" if recovery else incident.key,
    )
    ledger = Ledger(way.archive.store, letter.report, letter.period)
    emails = deliver(letter, config, now=way.now, outbox=way.outbox, server=way.server, ledger=ledger)
    return Told(incident, alert, tuple(emails))


def _arrived(emails: tuple[EmailResult, ...]) -> bool:
    """Whether the message need not be tried again: somebody has it, or nobody ever will."""
    return not emails or any(e.status != "failed" or e.outcome in {"unknown", "rejected"} for e in emails)


def _rows(archive: Archive, run: RunMetadata) -> list[FileProcessingLog]:
    if not run.failed_count or run.total_files > MAX_ROWS:
        return []
    with contextlib.suppress(StoreError, DamagedDocumentError):
        return archive.files(run)
    return []


def _run(archive: Archive, run_id: str) -> RunMetadata | None:
    with contextlib.suppress(StoreError, DamagedDocumentError, RunNotFoundError):
        return archive.run(run_id)
    return None


def _looked(archive: Archive) -> tuple[datetime | None, datetime | None]:
    """When somebody looked for the first time, and the last; None for never."""
    blob = archive.store.get(LOOKED)
    try:
        body = orjson.loads(blob.data) if blob is not None else {}
        return datetime.fromisoformat(body["first"]), datetime.fromisoformat(body["looked_at"])
    except (ValueError, KeyError, TypeError):
        return None, None
