"""Tells incidents: one mail each, or one for many at once; to those whom they concern, and to the channels."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.bundle import Bundle
from prefect_trackrecord.delivery.channels import Channel, Note, notify_all
from prefect_trackrecord.delivery.config import Recipient, ReportConfig
from prefect_trackrecord.delivery.incident_log import Noted
from prefect_trackrecord.delivery.ledger import Ledger
from prefect_trackrecord.delivery.message import Letter
from prefect_trackrecord.delivery.sender import deliver, everybody
from prefect_trackrecord.delivery.server import ResolveBlock, load_block
from prefect_trackrecord.delivery.smtp import SmtpServer
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import EmailResult, FileProcessingLog, RunMetadata
from prefect_trackrecord.errors import ConfigurationError, DamagedDocumentError, StoreError
from prefect_trackrecord.pages import alert_subject, alerts_subject, render_alert, render_alerts
from prefect_trackrecord.report.alert import Alert, build_alert
from prefect_trackrecord.report.incidents import Incident
from prefect_trackrecord.report.period import zone
from prefect_trackrecord.report.rows import FlowNote
from prefect_trackrecord.settings import current

MAX_ROWS = 50_000
MAX_MANY = 50
"""So many incidents have their runs' files read for one mail; of the others the headline is told."""


@dataclass(frozen=True)
class Told:
    """One incident that was told: what was said, and what became of each mail and each channel's message."""

    incident: Incident
    alert: Alert
    emails: tuple[EmailResult, ...]

    @property
    def arrived(self) -> bool:
        """Whether it need not be told again: somebody has it, or nobody ever will."""
        return not self.emails or any(e.status != "failed" or e.outcome in {"unknown", "rejected"} for e in self.emails)


@dataclass(frozen=True)
class Way:
    """How messages leave.

    Attributes:
        notes: what people wrote about flows, by `flow_key`; the configuration's where None.
        server: another mail server than the configured one.
        resolve: loads the channels' blocks.
        run_of: a run by its id; None where it can't be read.
        on_result: called with each result as it is known.
    """

    archive: Archive
    config: ReportConfig
    now: datetime
    outbox: Path
    run_of: Callable[[str], RunMetadata | None]
    notes: Mapping[str, FlowNote] | None = None
    server: SmtpServer | None = None
    resolve: ResolveBlock = load_block
    on_result: Callable[[EmailResult], None] | None = None


@dataclass(frozen=True)
class _News:
    """One thing to tell, with those whom it concerns."""

    noted: Noted
    recovery: bool
    alert: Alert
    people: tuple[Person, ...]

    @property
    def report(self) -> str:
        return f"alert {self.noted.incident.flow}"

    @property
    def period(self) -> str:
        key = self.noted.incident.key
        return f"{key}-recovery" if self.recovery else key

    def ledger(self, way: Way) -> Ledger:
        return Ledger(way.archive.store, self.report, self.period)


def tell(waiting: Sequence[tuple[Noted, bool]], way: Way) -> list[Told]:
    """Tell each incident, or its recovery (True), to all whom it concerns, once.

    Where somebody is to be told of many at once, that one gets one mail about all of them.

    Raises:
        ConfigurationError: the mail server can't be used.
    """
    news = [_news(noted, recovery, way, whole=n < MAX_MANY) for n, (noted, recovery) in enumerate(waiting)]
    results: list[list[EmailResult]] = [[] for _ in news]
    left = [list(one.people) for one in news]
    many = len(news) >= way.config.alerts.together
    if many:
        for person in everybody(way.config):
            mine = [n for n, people in enumerate(left) if person in people]
            if len(mine) >= way.config.alerts.together:
                result = _together([news[n] for n in mine], person, way)
                for n in mine if result is not None else ():
                    results[n].append(result)  # type: ignore[arg-type]
                    left[n].remove(person)
    for n, one in enumerate(news):
        if left[n]:
            results[n] += _post(_letter(one, way), left[n], one.ledger(way), way)
    for n, extra in enumerate(_channels(news, way, many=many)):
        results[n] += extra
    return [Told(o.noted.incident, o.alert, tuple(r)) for o, r in zip(news, results, strict=True)]


def concerned(config: ReportConfig, flow: str, run: RunMetadata | None) -> tuple[Person, ...]:
    """Those of the configuration whom an incident of this flow concerns, by owner and filters.

    Without a run (a missed one) filters by tag, deployment and status can't be asked, and let it pass.
    """

    def is_concerned(person: Person) -> bool:
        if not isinstance(person, Recipient) or not person.is_routed:
            return True
        names = [flow, *([run.command] if run is not None else [])]
        if person.owner is not None:
            patterns = [name for name, info in config.flows.items() if info.owner == person.owner]
            if not any(fnmatchcase(name, pattern) for name in names for pattern in patterns):
                return False
        if person.filters is None:
            return True
        if run is not None:
            return person.filters.model_copy(update={"status": ()}).matches(run)
        named = (*person.filters.command, *person.filters.flow)
        return not named or any(fnmatchcase(flow, pattern) for pattern in named)

    return tuple(person for person in everybody(config) if is_concerned(person))


def _news(noted: Noted, recovery: bool, way: Way, *, whole: bool) -> _News:
    incident, config = noted.incident, way.config
    run_id = incident.recovered_by if recovery else incident.run_id
    run = way.run_of(run_id) if run_id else None
    alert = build_alert(
        incident,
        run,
        now=way.now,
        rows=_rows(way.archive, run) if run is not None and whole and not recovery else (),
        note=_note(way, incident.flow, run),
        ui_url=config.ui_url or current().ui_url,
        recovery=recovery,
    )
    return _News(noted, recovery, alert, concerned(config, incident.flow, run))


def _note(way: Way, flow: str, run: RunMetadata | None) -> FlowNote | None:
    if way.notes is not None:
        return way.notes.get(flow)
    return way.config.note_of(flow, run.command if run is not None else flow)


def _letter(one: _News, way: Way) -> Letter:
    clock = zone(way.config.timezone)
    return Letter(
        subject=alert_subject(one.alert),
        text=render_alert(one.alert, "text", zone=clock),
        html=render_alert(one.alert, "email", zone=clock),
        report=one.report,
        period=one.period,
        answers=one.noted.incident.key if one.recovery else None,
        unsubscribe=way.config.unsubscribe,
    )


def _letter_of_many(news: Sequence[_News], way: Way) -> Letter:
    clock = zone(way.config.timezone)
    alerts = [one.alert for one in news]
    digest = hashlib.sha256("\0".join(sorted(one.period for one in news)).encode()).hexdigest()[:24]
    return Letter(
        subject=alerts_subject(alerts),
        text=render_alerts(alerts, "text", zone=clock, now=way.now),
        html=render_alerts(alerts, "email", zone=clock, now=way.now),
        report="alerts",
        period=digest,
        unsubscribe=way.config.unsubscribe,
    )


def _together(news: Sequence[_News], person: Person, way: Way) -> EmailResult | None:
    """What became of one mail about all of them; None where somebody else tells one of them too."""
    bundle = Bundle([one.ledger(way) for one in news])
    (result,) = _post(_letter_of_many(news, way), [person], bundle, way)
    return None if bundle.refused else result


def _post(letter: Letter, people: Sequence[Person], ledger: Ledger, way: Way) -> list[EmailResult]:
    recipients = tuple(person for person in people if isinstance(person, Recipient))
    only = way.config.model_copy(update={"recipients": recipients or way.config.recipients})
    return deliver(
        letter,
        only,
        now=way.now,
        outbox=way.outbox,
        server=way.server,
        on_result=way.on_result,
        ledger=ledger,
        people=people,
    )


def _channels(news: Sequence[_News], way: Way, *, many: bool) -> list[list[EmailResult]]:
    """Tell the channels; a list of results for each of the news."""
    results: list[list[EmailResult]] = [[] for _ in news]
    reached: dict[str, Channel] = {}
    for name in way.config.channels:
        try:
            reached[name] = way.resolve(name)
        except ConfigurationError as exc:  # the mails have left: this is one result among others
            lost = EmailResult(agent_name=name, status="failed", reason=str(exc), at=way.now)
            if way.on_result is not None:
                way.on_result(lost)
            for found in results:
                found.append(lost)
    if not reached or not news:
        return results
    if many:
        letter = _letter_of_many(news, way)
        bundle = Bundle([one.ledger(way) for one in news])
        note = Note(letter.subject, letter.text)
        told = notify_all(reached, note, now=way.now, ledger=bundle, on_result=way.on_result)
        if not bundle.refused:
            return [[*found, *told] for found in results]
    return [
        [
            *found,
            *notify_all(reached, _brief(one.alert), now=way.now, ledger=one.ledger(way), on_result=way.on_result),
        ]
        for found, one in zip(results, news, strict=True)
    ]


def _brief(alert: Alert) -> Note:
    lines = [alert.sentence, *([alert.error[:500]] if alert.error else [])]
    lines += [f"- {file.path}" for file in alert.files.items[:5]]
    if alert.files.total > 5:
        lines.append(f"- and {alert.files.total - 5:,} more files")
    if alert.note is not None:
        owner = f"owner: {alert.note.owner}" if alert.note.owner else None
        lines += [line for line in (owner, alert.note.runbook_url) if line]
    if alert.run is not None and alert.run.link:
        lines.append(alert.run.link)
    return Note(alert_subject(alert), "\n".join(lines))


def _rows(archive: Archive, run: RunMetadata) -> list[FileProcessingLog]:
    if not run.failed_count or run.total_files > MAX_ROWS:
        return []
    with contextlib.suppress(StoreError, DamagedDocumentError):
        return archive.files(run)
    return []
