"""A mail as an `EmailMessage`: pure, the same input gives the same bytes, and nothing can be injected."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.pages.words import clean, one_line

# Seven bits reach everybody; servers that take eight gain nothing worth a second form.
POLICY = SMTP.clone(cte_type="7bit")
MAX_SUBJECT = 250


@dataclass(frozen=True)
class Attachment:
    """A file of a mail."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Letter:
    """What is mailed, to whomever.

    Attributes:
        report: the report's name; mails of one report are one thread.
        period: the report's period as a key; with the recipient it makes the Message-ID.
        answers: the period of the mail of the same report that this one follows up, for In-Reply-To.
        unsubscribe: where to be taken off the list, a web or mailto address; for List-Unsubscribe.
    """

    subject: str
    text: str
    html: str
    report: str
    period: str
    attachments: tuple[Attachment, ...] = ()
    answers: str | None = None
    unsubscribe: str | None = None


def message_id(report: str, period: str, address: str, domain: str) -> str:
    """The Message-ID of one report, period and recipient: a resend has the same and is recognisable."""
    return f"<{_digest(report, period, address.lower())}@{domain}>"


def thread_id(report: str, domain: str) -> str:
    """What all mails of one report refer to, so that clients show them as a thread."""
    return f"<{_digest(report)}@{domain}>"


def header_text(text: str) -> str:
    """`text` as a header may hold it: one line, and no encoded word.

    Python's email package decodes an encoded word that stands in a value, line breaks in it and all, and
    before 3.12.5 writes those out as new headers.
    """
    return one_line(text).replace("=?", "= ?")


def build_message(
    letter: Letter,
    recipient: Person,
    *,
    sender: Person,
    to: Sequence[Person] = (),
    cc: Sequence[Person] = (),
    reply_to: Person | None = None,
    date: datetime,
) -> EmailMessage:
    """The mail for one recipient.

    Args:
        letter: what it says.
        recipient: whose mail it is.
        sender: who it is from.
        to: who stands under To; the recipient where left out.
        cc: who stands under Cc.
        reply_to: where answers go.
        date: of the header; aware.
    """
    domain = (sender.email or "").rpartition("@")[2] or "localhost"
    message = EmailMessage(policy=POLICY)
    message["Message-ID"] = message_id(letter.report, letter.period, recipient.email or "", domain)
    references = [thread_id(letter.report, domain)]
    if letter.answers is not None:
        references.append(message_id(letter.report, letter.answers, recipient.email or "", domain))
        message["In-Reply-To"] = references[-1]
    message["References"] = " ".join(references)
    message["Date"] = format_datetime(date)
    message["Subject"] = header_text(letter.subject)[:MAX_SUBJECT] or "Delivery report"
    message["From"] = sender.address
    message["To"] = [person.address for person in to if person.email] or [recipient.address]
    copies = [person.address for person in cc if person.email]
    if copies:
        message["Cc"] = copies
    if reply_to is not None:
        message["Reply-To"] = reply_to.address
    if letter.unsubscribe:
        message["List-Unsubscribe"] = f"<{header_text(letter.unsubscribe)}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(clean(letter.text))
    message.add_alternative(clean(letter.html), subtype="html")
    for attachment in letter.attachments:
        kind, _, subtype = (_type_of(attachment.name)).partition("/")
        message.add_attachment(attachment.data, maintype=kind, subtype=subtype, filename=header_text(attachment.name))
    for n, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_{_digest(message['Message-ID'], letter.text, str(n))}")
    return message


def _type_of(name: str) -> str:
    guessed, encoding = mimetypes.guess_type(name)
    return guessed if guessed and not encoding else "application/octet-stream"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]
