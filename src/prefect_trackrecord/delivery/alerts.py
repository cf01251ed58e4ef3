"""Alerts: one message per incident right when it begins, and one when it is well again.

`alert_on` is for a hook, with the one run that ended; it reads no history. `watch` is for a small scheduled flow, which
finds what no hook can: missed, late, slow and stuck runs, and those that crashed without a word. Both keep what they
know in the same documents (`incident_log`), and both send through the ledger, so that they may run at the same time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import orjson

from prefect_trackrecord.delivery.alert_log import AlertLog
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
    hushed,
    read_state,
    told,
)
from prefect_trackrecord.delivery.job import outbox_of
from prefect_trackrecord.delivery.server import ResolveBlock, load_block
from prefect_trackrecord.delivery.smtp import SmtpServer
from prefect_trackrecord.delivery.telling import Told, Way, tell
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.layout import DELIVERIES
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.errors import DamagedDocumentError, RunNotFoundError, StoreError
from prefect_trackrecord.history import flow_key
from prefect_trackrecord.report import Filters, chosen
from prefect_trackrecord.report.incidents import Incident, Rules, incidents
from prefect_trackrecord.report.rows import FlowNote

LOOK_BACK = timedelta(days=30)
LOOKED = f"{DELIVERIES}/incidents/looked.json"

Notes = Mapping[str, FlowNote]


def alert_on(
    run: RunMetadata,
    archive: Archive,
    config: ReportConfig,
    *,
    now: datetime,
    rules: Rules | None = None,
    notes: Notes | None = None,
    server: SmtpServer | None = None,
    resolve: ResolveBlock = load_block,
) -> list[Told]:
    """Tell of a run that just ended, if it begins an incident or ends one.

    Calling it twice for one run, or from two processes, tells it once. A silenced flow's incident is noted, and told by
    `watch` if it still lasts when the silence is over.

    Args:
        run: the run, as it ended.
        archive: where the run's files are, and where incidents are noted.
        config: recipients, sender, mail server, time zone; its filters say which runs it is about.
        now: the present.
        rules: when something is an incident; as configured under `alerts` where left out.
        notes: owner, description and runbook by flow; as configured under `flows` where left out.
        server: another mail server than the configured one.
        resolve: loads the blocks of the configured channels.

    Raises:
        StoreError: the incident can't be noted; then nothing was sent.
        ConfigurationError: the mail server can't be used.
    """
    if not chosen([run], _filters(config), config.include_reports):
        return []
    state = change(archive.store, flow_key(run), lambda s: after_run(s, run, rules or config.alerts.rules()))
    by_id = {run.run_id: run}
    return _tell([state], _way(archive, config, now, by_id, notes, server, resolve), about=run.run_id)


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
    resolve: ResolveBlock = load_block,
) -> list[Told]:
    """Look at the history, and tell of every incident that has not been told yet.

    Args:
        archive: the history.
        config: recipients, sender, mail server, time zone, filters.
        now: the present.
        expected: when runs of each flow (by `flow_key`) were to begin, from schedules; moments before `look_back` are
            left out.
        rules: when something is an incident; as configured under `alerts` where left out.
        notes: owner, description and runbook by flow; as configured under `flows` where left out.
        server: another mail server than the configured one.
        resolve: loads the blocks of the configured channels.
        look_back: how far the history is read.

    Raises:
        StoreError: the history can't be read, or an incident can't be noted.
        ConfigurationError: the mail server can't be used.
    """
    rules, start = rules or config.alerts.rules(), now - look_back
    came = chosen(archive.runs(start, now + timedelta(days=1)).runs, _filters(config), include_reports=True)
    runs = [run for run in came if config.include_reports or run.role is None]
    asked = {flow: [at for at in times if at >= start] for flow, times in (expected or {}).items()}
    found: dict[str, list[Incident]] = {}
    for incident in incidents(runs, rules, now, asked, came):
        found.setdefault(incident.flow, []).append(incident)
    by_id = {run.run_id: run for run in runs}
    first, looked_at = _looked(archive)
    news_from = max(first, looked_at - LATELY) if first is not None and looked_at is not None else None
    states = []
    for flow in sorted({*found, *asked, *(flow_key(run) for run in runs)}):
        state, _ = read_state(archive.store, flow)
        if flow not in found and not state.noted:
            continue
        states.append(change(archive.store, flow, _looking(found.get(flow, []), now, news_from, frozenset(by_id))))
    messages = _tell(states, _way(archive, config, now, by_id, notes, server, resolve))
    archive.store.put(LOOKED, orjson.dumps({"first": (first or now).isoformat(), "looked_at": now.isoformat()}))
    return messages


def _filters(config: ReportConfig) -> Filters:
    """Those of the configuration without the status: an incident is made of runs of every status."""
    return config.filters.model_copy(update={"status": ()})


def _looking(
    found: list[Incident], now: datetime, news_from: datetime | None, run_ids: frozenset[str]
) -> Callable[[FlowState], FlowState]:
    return lambda state: after_look(state, found, now, news_from, run_ids)


def _way(
    archive: Archive,
    config: ReportConfig,
    now: datetime,
    by_id: Mapping[str, RunMetadata],
    notes: Notes | None,
    server: SmtpServer | None,
    resolve: ResolveBlock,
) -> Way:
    def run_of(run_id: str) -> RunMetadata | None:
        return by_id.get(run_id) or _run(archive, run_id)

    return Way(archive, config, now, outbox_of(config, archive), run_of, notes, server, resolve)


def _tell(states: Iterable[FlowState], way: Way, about: str | None = None) -> list[Told]:
    news = [state for state in states if due(state)]
    silent = bool(news) and read_state(way.archive.store, ALL)[0].silenced(way.now)
    waiting: list[tuple[Noted, bool]] = []
    for state in news:
        if silent or state.silenced(way.now):
            change(way.archive.store, state.flow, lambda s: hushed(s, way.now))
        else:
            waiting += due(state)
    if not waiting:
        return []
    with AlertLog(way.archive, about) as log:
        messages = tell(waiting, replace(way, on_result=log.note))
    for message, (_, recovery) in zip(messages, waiting, strict=True):
        if message.arrived:
            _note(message, way, recovery)
    return messages


def _note(message: Told, way: Way, recovery: bool) -> None:
    flow, key = message.incident.flow, message.incident.key
    change(way.archive.store, flow, lambda state: told(state, key, way.now, recovery=recovery))


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
