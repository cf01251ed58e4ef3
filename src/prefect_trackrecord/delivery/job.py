"""What becomes of a rendered report: its page and text go into the store, its mails to everybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.attachments import attachments
from prefect_trackrecord.delivery.config import ReportConfig
from prefect_trackrecord.delivery.ledger import Ledger
from prefect_trackrecord.delivery.ledger_entry import Resend
from prefect_trackrecord.delivery.message import Letter
from prefect_trackrecord.delivery.rendering import Rendered, page_url, report_keys
from prefect_trackrecord.delivery.sender import OnWait, deliver
from prefect_trackrecord.delivery.smtp import SmtpServer
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.layout import DELIVERIES
from prefect_trackrecord.documents.models import EmailResult
from prefect_trackrecord.errors import StoreError
from prefect_trackrecord.pages.words import plural
from prefect_trackrecord.report import Report

Progress = Callable[[str], None]


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
        unsubscribe=config.unsubscribe,
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
        on_wait=None if progress is None else waits_told(progress),
    )


def waits_told(progress: Progress) -> OnWait:
    """Tells in a line what is waited for: it may take minutes."""

    def tell(mails: int, seconds: float, why: str) -> None:
        progress(f"the mail server is asked again in {seconds:.0f} s for {plural(mails, 'mail')}: {why}")

    return tell
