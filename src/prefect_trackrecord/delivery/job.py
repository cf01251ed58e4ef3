"""The delivery report from configuration to mail, in steps that a flow can wrap as tasks: collect, build, render,
store, send. `running.run_delivery_report` does them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from prefect_trackrecord import history
from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.attachments import attachments
from prefect_trackrecord.delivery.config import ReportConfig
from prefect_trackrecord.delivery.ledger import Ledger, Resend
from prefect_trackrecord.delivery.message import Letter
from prefect_trackrecord.delivery.sender import deliver
from prefect_trackrecord.delivery.smtp import SmtpServer
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.layout import DELIVERIES, report_key
from prefect_trackrecord.documents.models import EmailResult, RunMetadata
from prefect_trackrecord.errors import StoreError, TemplateError
from prefect_trackrecord.pages import MAX_EMAIL_BYTES, render_line, render_report
from prefect_trackrecord.pages.delivery_report import Format
from prefect_trackrecord.pages.own_templates import render_own
from prefect_trackrecord.report import FlowNote, Period, Report, build_report, chosen
from prefect_trackrecord.settings import current
from prefect_trackrecord.store.base import StoreConfig
from prefect_trackrecord.tracking import resolve_storage

Progress = Callable[[str], None]
LATER = timedelta(days=1)
"""How long after the period's end a run may come that was due in it."""


@dataclass(frozen=True)
class Collected:
    """What was read for a report: the period's runs, those of the equal period before, and files between them.

    Attributes:
        records, previous_records: the business records that these runs worked on.
        expected: when runs of each flow were to begin, by those who know schedules.
        later: runs after the period, for what was due at its end; read only where something was expected.
    """

    period: Period
    runs: history.History
    previous: history.History
    items: history.ItemChanges
    store: str
    records: history.Records | None = None
    previous_records: history.Records | None = None
    expected: Mapping[str, Sequence[datetime]] = field(default_factory=dict)
    later: tuple[RunMetadata, ...] = ()


@dataclass(frozen=True)
class Rendered:
    """A report in all its forms. `page` is the file in the store, `email` the HTML of the mail."""

    subject: str
    page: str
    text: str
    email: str
    markdown: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stored:
    """Where the page and the text are: keys in the store, and paths where the store is a local folder.

    `error` says why they could not be written; the mail goes out all the same.
    """

    page_key: str
    text_key: str
    page_path: Path | None = None
    text_path: Path | None = None
    page_url: str | None = None
    error: str | None = None


def archive_of(config: ReportConfig) -> Archive:
    """The archive that a configuration names, resolved as `track` does.

    Raises:
        ConfigurationError: it can't be used.
    """
    if config.storage and config.storage_options:
        return resolve_storage(StoreConfig(config.storage, config.storage_options)).archive
    return resolve_storage(config.storage).archive


def collect(
    config: ReportConfig,
    period: Period,
    archive: Archive,
    *,
    expected: Mapping[str, Sequence[datetime]] | None = None,
) -> Collected:
    """Read the runs of the period and of the one before, their files where they failed, and their records.

    Args:
        config: which runs.
        period: which days.
        archive: where from.
        expected: when runs of each flow (by `history.flow_key`) were to begin in the period, from schedules.

    Raises:
        StoreError: the store can't be listed. Single documents that can't be read are part of the result.
    """
    before = period.previous()
    runs = _read(config, archive, period)
    previous = _read(config, archive, before)
    items = history.item_changes(runs.runs, previous.runs, history.rows_of(archive))
    own = chosen(runs.runs, config.filters, config.include_reports)
    records = history.records_of(archive, own)
    earlier = history.records_of(archive, chosen(previous.runs, config.filters, config.include_reports))
    later: tuple[RunMetadata, ...] = ()
    if expected:
        later = tuple(history.runs_between(archive, period.until, period.until + LATER).runs)
    return Collected(
        period,
        runs,
        previous,
        items,
        archive.store.url,
        records=records,
        previous_records=earlier,
        expected=dict(expected or {}),
        later=later,
    )


def _read(config: ReportConfig, archive: Archive, period: Period) -> history.History:
    found = history.runs_between(archive, period.begin, period.until)
    kept = chosen(found.runs, config.filters, config.include_reports)
    ids = {run.run_id for run in kept}
    own = tuple(run for run in found.runs if run.run_id not in ids)
    whole = history.whole(archive, history.History(tuple(kept), found.damaged))
    # Those left out go along unread: the report says how many of them were its own.
    return history.History(tuple(sorted((*whole.runs, *own), key=lambda r: r.started_at)), whole.damaged)


def build(config: ReportConfig, collected: Collected, *, now: datetime) -> Report:
    """The report of what was collected."""
    return build_report(
        collected.runs.runs,
        collected.previous.runs,
        period=collected.period,
        now=now,
        name=config.slug,
        title=config.heading,
        filters=config.filters,
        damaged=collected.runs.damaged,
        items=collected.items,
        store=collected.store,
        ui_url=config.ui_url or current().ui_url,
        include_reports=config.include_reports,
        records=_any(collected.records),
        previous_records=_any(collected.previous_records),
        expected=collected.expected,
        later_runs=collected.later,
        thresholds=config.thresholds.rules(),
        notes=notes(config, (*collected.runs.runs, *collected.previous.runs)),
    )


def _any(records: history.Records | None) -> history.Records | None:
    """None where nobody keeps records: the report then has no part about them."""
    return records if records is not None and (records.states or records.damaged) else None


def notes(config: ReportConfig, runs: Sequence[RunMetadata]) -> dict[str, FlowNote]:
    """What the configuration says about each flow that ran; the first name or pattern that fits counts."""
    found = {}
    for flow, command in {history.flow_key(run): run.command for run in runs}.items():
        for pattern, info in config.flows.items():
            if fnmatchcase(flow, pattern) or fnmatchcase(command, pattern):
                found[flow] = FlowNote(**info.model_dump())
                break
    return found


def render(config: ReportConfig, report: Report) -> Rendered:
    """The report in all its forms.

    A template of one's own that fails on this report is replaced by the built-in one, and the problem told.
    """
    url = page_url(config, report)
    problems = []
    try:
        subject = render_line(config.subject, subject_words(report))
    except TemplateError as exc:
        subject = f"{report.title}: {report.verdict.short}"
        problems.append(f"subject: {exc}; the built-in one was taken")
    page = _form(config.templates.page, "html", report, None, problems)
    text = _form(config.templates.text, "text", report, url, problems)
    email = _form(config.templates.email, "email", report, url, problems)
    if len(email.encode()) > MAX_EMAIL_BYTES:
        problems.append(f"templates.email: its mail has {len(email.encode()):,} bytes; Gmail clips it near 102,000")
    markdown = _form(config.templates.markdown, "markdown", report, url, problems)
    return Rendered(subject, page, text, email, markdown, tuple(problems))


def _form(path: Path | None, form: Format, report: Report, url: str | None, problems: list[str]) -> str:
    """One form of the report by the user's own template, or else by the built-in one."""
    if path is not None:
        try:
            return render_own(report, path, form, page_url=url)
        except TemplateError as exc:
            name = "page" if form == "html" else form
            problems.append(f"templates.{name}: {exc}; the built-in one was taken")
    return render_report(report, form, page_url=url)


def subject_words(report: Report) -> dict[str, object]:
    """What a subject template knows."""
    return {
        "report": report,
        "title": report.title,
        "name": report.name,
        "short": report.verdict.short,
        "sentence": report.verdict.sentence,
        "level": report.verdict.level,
        "period": str(report.period),
        "date_from": str(report.period.start),
        "date_to": str(report.period.end),
    }


def report_keys(report: Report) -> tuple[str, str]:
    """The keys of the page and of the text; the same report and period give the same."""
    day = f"{report.period.end:%Y/%m/%d}"
    page, text = (report_key(report.name, report.period.key, suffix, day) for suffix in ("html", "txt"))
    return page, text


def page_url(config: ReportConfig, report: Report) -> str | None:
    """Where a browser finds the page; None without a `base_url`."""
    return f"{config.base_url.rstrip('/')}/{report_keys(report)[0]}" if config.base_url else None


def store(config: ReportConfig, report: Report, rendered: Rendered, archive: Archive) -> Stored:
    """Write the page and the text into the store; a store that can't be written is told in the result."""
    page, text = report_keys(report)
    url = page_url(config, report)
    try:
        archive.store.put(page, rendered.page.encode())
        archive.store.put(text, rendered.text.encode())
    except StoreError as exc:
        return Stored(page, text, error=f"the report could not be stored: {exc}")
    root = archive.store.local_root
    if root is None:
        return Stored(page, text, page_url=url)
    return Stored(page, text, root / page, root / text, url)


def letter(config: ReportConfig, report: Report, rendered: Rendered, name: str | None = None) -> Letter:
    """What is mailed; `name` is that of the mail's thread, the report's where left out."""
    file = report_keys(report)[0].rsplit("/", 1)[-1].removesuffix(".html")
    return Letter(
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.email,
        report=name or report.name,
        period=report.period.key,
        attachments=attachments(config.attached, report, rendered.page, file),
    )


def outbox_of(config: ReportConfig, archive: Archive) -> Path:
    """The folder for mails that are not sent: the configured one, one in a local store, or `outbox` here."""
    if config.outbox is not None:
        return config.outbox.expanduser().absolute()
    root = archive.store.local_root
    return root / DELIVERIES / "outbox" if root is not None else Path("outbox").absolute()


def ledger_of(config: ReportConfig, report: Report, archive: Archive) -> Ledger | None:
    """Who got this report for this period; None where the configuration wants no ledger."""
    return Ledger(archive.store, config.slug, report.period.key) if config.once else None


def send(
    config: ReportConfig,
    report: Report,
    rendered: Rendered,
    *,
    now: datetime,
    outbox: Path,
    server: SmtpServer | None = None,
    progress: Progress | None = None,
    ledger: Ledger | None = None,
    resend: Resend = False,
    people: Sequence[Person] | None = None,
    on_result: Callable[[EmailResult], None] | None = None,
    name: str | None = None,
) -> list[EmailResult]:
    """Mail the report to everybody; see `sender.deliver`.

    With the `ledger` of `ledger_of` nobody gets it twice, whoever else sends it too; `people` are some of
    `sender.everybody`, for a task per recipient. `on_result` is called with each result as it is known.
    `name` is that of the mails' thread.
    """

    def tell(result: EmailResult) -> None:
        if on_result is not None:
            on_result(result)
        if progress is not None:
            who = result.email or result.agent_name or result.agent_id or "somebody without an address"
            progress(f"{who}: {result.status}{f' ({result.reason})' if result.reason else ''}")

    def tell_wait(mails: int, seconds: float) -> None:
        if progress is not None:
            progress(f"{mails} of the mails can't be handed over now; they are tried again in {seconds:.0f} s")

    return deliver(
        letter(config, report, rendered, name),
        config,
        now=now,
        outbox=outbox,
        server=server,
        on_result=tell,
        ledger=ledger,
        resend=resend,
        people=people,
        on_wait=tell_wait,
    )
