"""Mails that users' own flows send: handed over like a report, with the same true results, noted in the current run."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.ledger import Ledger
from prefect_trackrecord.delivery.ledger_entry import Resend
from prefect_trackrecord.delivery.message import Attachment, Letter
from prefect_trackrecord.delivery.sections import Checked, SmtpConfig
from prefect_trackrecord.delivery.sender import NOBODY, Post, post_all
from prefect_trackrecord.delivery.server import ResolveBlock, sender_of, server_from_environment, smtp_server
from prefect_trackrecord.delivery.smtp import SmtpServer
from prefect_trackrecord.documents.layout import DELIVERIES
from prefect_trackrecord.documents.models import EmailResult
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.journal.context import RunContext, current_run
from prefect_trackrecord.tracking import RunTracker

NAME = "emails"


class Email(Checked):
    """A mail to one person.

    Attributes:
        to: an address, `Name <address>`, or `{email, name, agent_id}`; one without an address gives a `skipped` result.
        subject, text: what it says.
        html: the same as HTML; made from the text where left out.
        attachments: files, as paths or as (name, bytes).
        sender, reply_to: instead of those given to `send_emails`.
        key: what makes it the same mail in a retry or a restart: to one person, one mail of a key is sent once. Without
            a key every call sends.
    """

    to: Person
    subject: str
    text: str
    html: str | None = None
    attachments: tuple[Path | tuple[str, bytes], ...] = ()
    sender: Person | None = None
    reply_to: Person | None = None
    key: str | None = Field(default=None, min_length=1)

    @field_validator("to", mode="before")
    @classmethod
    def _nobody_has_no_address(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and not value.get("email"):
            return {**value, "email": None}
        return value

    def letter(self) -> Letter:
        """What is mailed.

        Raises:
            UsageError: an attachment can't be read.
        """
        page = self.html or f"<pre style='white-space:pre-wrap;font:inherit'>{escape(self.text)}</pre>"
        period = self.key or uuid.uuid4().hex
        attachments = tuple(_attachment(item) for item in self.attachments)
        return Letter(self.subject, self.text, page, NAME, period, attachments)


def send_emails(
    messages: Iterable[Email | Mapping[str, Any]],
    tracker: RunTracker | None = None,
    *,
    sender: str | Person | None = None,
    reply_to: str | Person | None = None,
    smtp: SmtpServer | SmtpConfig | Mapping[str, Any] | None = None,
    outbox: Path | str | None = None,
    resend: Resend = False,
    resolve: ResolveBlock | None = None,
    now: datetime | None = None,
) -> list[EmailResult]:
    """Send mails, and note in the current run what became of each.

    Args:
        messages: `Email`s, or mappings with their fields. All are checked before the first is sent.
        tracker: the run that the results are noted in; the current one where left out, none where there is none.
        sender: who they are from; `TRACKRECORD_SMTP_SENDER` or the login where left out.
        reply_to: where answers go.
        smtp: the mail server, or `{"block": "email-server-credentials/prod"}`; that of the environment
            (`TRACKRECORD_SMTP_HOST`...) where left out. Without any the mails are kept in the outbox.
        outbox: that folder; `deliveries/outbox` in the run's local store, else `outbox` here, where left out.
        resend: see `delivery.ledger_entry.Resend`; for mails with a `key`.
        resolve: loads the block; Prefect is asked where left out.
        now: the present.

    Returns:
        A result for each message, in order: `sent`, `failed` (`outcome` rejected, deferred, unknown), or `skipped`.

    Raises:
        UsageError: a message is no mail: an address that is none, a missing subject, a file that can't be read.
        ConfigurationError: the mail server can't be used.
    """
    mails = [_checked(n, message) for n, message in enumerate(messages, 1)]
    letters = [mail.letter() for mail in mails]
    now = now or datetime.now(timezone.utc)
    run = current_run()
    server = _server(smtp, outbox is not None, resolve)
    answer_to = _person(reply_to)
    from_ = NOBODY if all(mail.sender for mail in mails) else _sender(sender, server)
    folder = Path(outbox).expanduser().absolute() if outbox is not None else _outbox(run)
    posts = [
        Post(
            letter,
            mail.to,
            mail.sender or from_,
            reply_to=mail.reply_to or answer_to,
            ledger=Ledger(run.archive.store, f"{NAME}-{run.run_id}", letter.period) if run and mail.key else None,
        )
        for mail, letter in zip(mails, letters, strict=True)
    ]
    into: RunTracker | None = tracker or (run.tracker if run is not None else None)

    def note(result: EmailResult) -> None:
        # At once: what was sent before a crash is in the log too. What an earlier try of this run sent is there.
        if into is not None and (result.status, result.outcome) != ("skipped", "sent"):
            into.record_email_results([result])

    return post_all(posts, server, now=now, outbox=folder, resend=resend, on_result=note)


def _checked(number: int, message: Email | Mapping[str, Any]) -> Email:
    if isinstance(message, Email):
        return message
    try:
        return Email.model_validate(dict(message))
    except (ValidationError, TypeError, ValueError) as exc:
        errors = exc.errors(include_url=False, include_input=False) if isinstance(exc, ValidationError) else []
        told = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in errors
        ) or str(exc)
        raise UsageError(f"message {number} is no mail: {told}") from None


def _person(value: str | Person | None) -> Person | None:
    try:
        return None if value is None else Person.model_validate(value)
    except ValidationError as exc:
        raise UsageError(exc.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")) from None


def _server(
    smtp: SmtpServer | SmtpConfig | Mapping[str, Any] | None, keep: bool, resolve: ResolveBlock | None
) -> SmtpServer | None:
    if isinstance(smtp, SmtpServer):
        return smtp
    if isinstance(smtp, Mapping):
        try:
            smtp = SmtpConfig.model_validate(dict(smtp))
        except ValidationError as exc:
            raise UsageError(f"smtp: {exc.errors(include_url=False, include_input=False)[0]['msg']}") from None
    if smtp is None:
        return None if keep else server_from_environment()
    return smtp_server(smtp, resolve)


def _sender(given: str | Person | None, server: SmtpServer | None) -> Person:
    """The sender of those mails that name none."""
    person = _person(given)
    if server is None:
        return person or NOBODY
    return person or sender_of(None, server)


def _outbox(run: RunContext | None) -> Path:
    root = run.archive.store.local_root if run is not None and run.archive is not None else None
    return root / DELIVERIES / "outbox" if root is not None else Path("outbox").absolute()


def _attachment(item: Path | Sequence[Any]) -> Attachment:
    if not isinstance(item, Path):
        return Attachment(item[0], item[1])
    try:
        return Attachment(item.name, item.read_bytes())
    except OSError as exc:
        raise UsageError(f"the attachment {item} can't be read: {exc.strerror or exc}") from None
