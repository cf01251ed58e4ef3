"""A delivery from configuration to mail in one call; what the command line and the Prefect flow do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.channels import Channel, Note, brief, notify_all
from prefect_trackrecord.delivery.config import ReportConfig
from prefect_trackrecord.delivery.job import (
    Rendered,
    Stored,
    archive_of,
    build,
    collect,
    ledger_of,
    letter,
    outbox_of,
    render,
    report_keys,
    send,
    store,
)
from prefect_trackrecord.delivery.lateness import lateness, marked, words
from prefect_trackrecord.delivery.ledger import Ledger, Resend
from prefect_trackrecord.delivery.sender import deliver, everybody
from prefect_trackrecord.delivery.server import ResolveBlock, load_block, mail_server, sender_of
from prefect_trackrecord.delivery.smtp import SmtpServer
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import EmailResult
from prefect_trackrecord.errors import DeliveryError, StoreError
from prefect_trackrecord.report import Report
from prefect_trackrecord.tracking import RunTracker

Progress = Callable[[str], None]


@dataclass(frozen=True)
class DeliveryOutcome:
    """All that a delivery made.

    Attributes:
        report: the report.
        rendered: its forms; `rendered.markdown` is for a Prefect artifact.
        stored: where the page and the text are.
        emails: what became of each mail.
        outbox: where mails are that were kept.
        problems: what did not go as configured.
    """

    report: Report
    rendered: Rendered
    stored: Stored
    emails: tuple[EmailResult, ...] = ()
    outbox: Path | None = None
    problems: tuple[str, ...] = ()


def run_delivery_report(
    config: ReportConfig,
    *,
    date_from: str | date | None = None,
    date_to: str | date | None = None,
    now: datetime,
    archive: Archive | None = None,
    tracker: RunTracker | None = None,
    server: SmtpServer | None = None,
    progress: Progress | None = None,
    scheduled_for: datetime | None = None,
    resend: Resend = False,
    dry_run: bool = False,
    to: Sequence[str | Person] = (),
    preview: Path | None = None,
    channels: Mapping[str, Channel] | None = None,
    resolve: ResolveBlock | None = None,
) -> DeliveryOutcome:
    """Make a delivery report, store it, and mail it to everybody who has not got it yet.

    Args:
        config: what, where from, and to whom.
        date_from: first day instead of the configured ones.
        date_to: last day, included.
        now: the present.
        archive: the history; the configured one where left out.
        tracker: a started tracker that records this run's email results. It should have `role="report"`, so that
            reports leave it out of their figures; it is neither started nor completed here.
        server: another mail server than the configured one.
        progress: called with a line for each step and each mail.
        scheduled_for: when this run should have been: its window counts from there, and a run long after it is
            treated as the configuration's `late` says.
        resend: send also to those who got it already (True), or to those whose mail was rejected or is unknown
            (`undelivered`).
        dry_run: store nothing, send nothing; the results say what would be done.
        to: send a test copy to these only; the ledger neither stops nor notes it.
        preview: write the page to this file (or into this folder), store nothing else and send nothing.
        channels: more places to tell it, by name: anything with `.notify(body, subject)`, such as Prefect's blocks for
            Slack and Teams. They win over blocks of these names that the configuration lists.
        resolve: loads the blocks that the configuration names; where left out Prefect is asked.

    Raises:
        DateRangeError: the dates can't be read, one is missing, or they run backwards.
        ConfigurationError: the store or the mail server's password can't be found.
        StoreError: the history can't be read.
        DeliveryError: the preview can't be written.
    """

    def tell(line: str) -> None:
        if progress is not None:
            progress(line)

    period = config.period(date_from, date_to, scheduled_for or now)
    server = server or mail_server(config, resolve)
    if server is not None and config.recipients:
        sender_of(config, server)  # like the password: told at once, before any work
    reached = _channels(config, channels or {}, resolve or load_block)
    archive = archive or archive_of(config)
    outbox = outbox_of(config, archive)
    collected = collect(config, period, archive)
    tell(f"read {len(collected.runs)} runs of {period} from {collected.store}")
    report = build(config, collected, now=now)
    late = lateness(config, period, now) if date_from is None and config.date_from is None else None
    if late is not None and config.late != "send":
        report = marked(report, late)
    rendered = render(config, report)
    if preview is not None:
        return DeliveryOutcome(report, rendered, _preview(report, rendered, preview), problems=rendered.problems)
    ledger = ledger_of(config, report, archive)
    if dry_run:
        page, text = report_keys(report)
        told = _dry(config, ledger if server else None, server, now)
        return DeliveryOutcome(report, rendered, Stored(page, text), tuple(told), problems=rendered.problems)
    stored = store(config, report, rendered, archive)
    tell(stored.error or f"stored {stored.page_path or stored.page_key}")

    def note(result: EmailResult) -> None:
        if tracker is not None:  # at once: what was sent before a crash is in the log too
            tracker.record_email_results([result])

    if to:
        emails = _test_copy(config, report, rendered, to, now=now, outbox=outbox, server=server, on_result=note)
    elif late is not None and config.late == "skip" and not resend:
        emails = _skipped(config, ledger, f"late: it is made {words(late)}", now)
        for result in emails:
            note(result)
    else:
        emails = send(
            config,
            report,
            rendered,
            now=now,
            outbox=outbox,
            server=server,
            progress=progress,
            ledger=ledger,
            resend=resend,
            on_result=note,
        )
        words_ = Note(rendered.subject, brief(report, stored.page_url))
        emails += notify_all(reached, words_, now=now, ledger=ledger, resend=resend, progress=tell, on_result=note)
    problems = (*rendered.problems, *([stored.error] if stored.error else []))
    return DeliveryOutcome(report, rendered, stored, tuple(emails), outbox if server is None else None, problems)


def _channels(config: ReportConfig, given: Mapping[str, Channel], resolve: ResolveBlock) -> dict[str, Channel]:
    return {**{name: resolve(name) for name in config.channels if name not in given}, **given}


def _preview(report: Report, rendered: Rendered, preview: Path) -> Stored:
    page, text = report_keys(report)
    path = preview / page.rsplit("/", 1)[-1] if preview.is_dir() else preview
    try:
        path.write_text(rendered.page, encoding="utf-8")
    except OSError as exc:
        raise DeliveryError(f"the preview {path} can't be written: {exc.strerror or exc}") from None
    return Stored(page, text, page_path=path)


def _test_copy(
    config: ReportConfig,
    report: Report,
    rendered: Rendered,
    to: Sequence[str | Person],
    *,
    now: datetime,
    outbox: Path,
    server: SmtpServer | None,
    on_result: Callable[[EmailResult], None],
) -> list[EmailResult]:
    """The mail to others than the configured ones, under an id of its own, so that no client takes it for the real."""
    people = tuple(Person.model_validate(person) for person in to)
    letter_ = letter(config, report, rendered)
    letter_ = replace(letter_, subject=f"[test] {letter_.subject}", period=f"{letter_.period} test {now.isoformat()}")
    only = config.model_copy(update={"recipients": people, "cc": ()})
    return deliver(letter_, only, now=now, outbox=outbox, server=server, on_result=on_result)


def _result(person: Person, reason: str, now: datetime) -> EmailResult:
    return EmailResult(
        agent_id=person.agent_id,
        agent_name=person.name,
        email=person.email,
        status="skipped",
        reason=reason if person.email else "No email configured",
        at=now,
    )


def _skipped(config: ReportConfig, ledger: Ledger | None, reason: str, now: datetime) -> list[EmailResult]:
    """Results for a report that is not due, noted in the ledger too."""
    for person in everybody(config):
        if ledger is not None and person.email:
            ledger.skip(person.email, reason)
    return [_result(person, reason, now) for person in everybody(config)]


def _dry(config: ReportConfig, ledger: Ledger | None, server: SmtpServer | None, now: datetime) -> list[EmailResult]:
    """What would be done for each."""
    results = []
    for person in everybody(config):
        would = "would be sent" if server is not None else "would be kept in the outbox"
        try:
            entry = ledger.look(person.email) if ledger is not None and person.email else None
        except StoreError as exc:
            would = f"can't be told: {exc}"
        else:
            if entry is not None and entry.state not in {"deferred", "skipped", "claimed"}:
                would = f"the ledger says {entry.state}{f' ({entry.reason})' if entry.reason else ''}"
        results.append(_result(person, f"dry run: {would}", now))
    return results
