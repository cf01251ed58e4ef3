"""A delivery from configuration to mail in one call; what the command line and the Prefect flow do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.channels import Channel
from prefect_trackrecord.delivery.collecting import Expect, archive_of, what_was_read
from prefect_trackrecord.delivery.config import ReportConfig
from prefect_trackrecord.delivery.job import outbox_of
from prefect_trackrecord.delivery.lateness import lateness
from prefect_trackrecord.delivery.ledger import Ledger
from prefect_trackrecord.delivery.ledger_entry import Resend
from prefect_trackrecord.delivery.performing import Delivery, DeliveryOutcome, write_preview
from prefect_trackrecord.delivery.routing import narrowed, parts
from prefect_trackrecord.delivery.server import ResolveBlock, load_block, mail_server, sender_of
from prefect_trackrecord.delivery.smtp import SmtpServer
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.report import Period
from prefect_trackrecord.tracking import RunTracker

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """A delivery that may begin: its configuration has been checked, nothing was read or sent."""

    delivery: Delivery
    period: Period
    channels: Mapping[str, Channel]


def prepare(
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
    channels: Mapping[str, Channel] | None = None,
    resolve: ResolveBlock | None = None,
) -> Prepared:
    """What is the same for all steps of a delivery; the arguments are those of `run_delivery_report`.

    Raises:
        DateRangeError: the dates can't be read, one is missing, or they run backwards.
        ConfigurationError: the store, the mail server's password, the sender or a channel can't be found.
    """
    period = config.period(date_from, date_to, scheduled_for or now)
    server = server or mail_server(config, resolve)
    if server is not None and config.recipients:
        sender_of(config, server)  # like the password: told at once, before any work
    reached = _channels(config, channels or {}, resolve or load_block)
    archive = archive or archive_of(config)
    late = lateness(config, period, now) if date_from is None and config.date_from is None else None
    ledger = Ledger(archive.store, config.slug, period.key) if config.once else None
    tell = progress or (lambda _: None)
    outbox = outbox_of(config, archive)
    delivery = Delivery(config, archive, ledger, server, outbox, now, late, resend, tell, tracker)
    return Prepared(delivery, period, reached)


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
    expect: Expect | None = None,
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
        expect: knows schedules, for runs that did not come; asked where the configuration's `schedules` says so.

    Raises:
        DateRangeError: the dates can't be read, one is missing, or they run backwards.
        ConfigurationError: the store or the mail server's password can't be found.
        StoreError: the history can't be read.
        UsageError: the preview can't be written.
    """
    prepared = prepare(
        config,
        date_from=date_from,
        date_to=date_to,
        now=now,
        archive=archive,
        tracker=tracker,
        server=server,
        progress=progress,
        scheduled_for=scheduled_for,
        resend=resend,
        channels=channels,
        resolve=resolve,
    )
    delivery, period = prepared.delivery, prepared.period
    collected = delivery.collect(period, expect)
    delivery.tell(f"read {what_was_read(config, collected)}")
    whole, *routed = parts(config)
    made = delivery.make(whole.config, collected)
    if preview is not None:
        return delivery.outcome(made, stored=write_preview(made, preview))
    if dry_run:
        results = delivery.would(whole, made)
        for part in routed:
            results += delivery.would(part, delivery.make(part.config, narrowed(collected, config, part.config)))
        return delivery.outcome(made, emails=results)
    stored = delivery.store(made)
    if to:
        return delivery.outcome(made, stored=stored, emails=delivery.test_copy(made, to))
    results = delivery.deliver(whole, made)
    results += delivery.tell_channels(prepared.channels, made, stored.page_url)
    for part in routed:
        other = delivery.make(part.config, narrowed(collected, config, part.config))
        delivery.store(other)
        results += delivery.deliver(part, other)
    return delivery.outcome(made, stored=stored, emails=results)


def _channels(config: ReportConfig, given: Mapping[str, Channel], resolve: ResolveBlock) -> dict[str, Channel]:
    return {**{name: resolve(name) for name in config.channels if name not in given}, **given}
