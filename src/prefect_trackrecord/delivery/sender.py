"""Hands a letter over to everybody, and says truly what became of each mail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.config import PORTS, ReportConfig, SmtpConfig
from prefect_trackrecord.delivery.message import POLICY, Letter, build_message
from prefect_trackrecord.delivery.outbox import keep, outbox_name
from prefect_trackrecord.delivery.smtp import Mailer, SmtpServer
from prefect_trackrecord.documents.models import EmailResult
from prefect_trackrecord.errors import DeliveryError

NOBODY = Person(email="trackrecord@localhost", name="prefect-trackrecord")
"""The sender of mails that stay in the outbox and have no other."""

# What a hand-over gives: the seed's status, the server's outcome, and the reason.
Handed = tuple[str, str | None, str | None]
HandOver = Callable[[bytes, Person], Handed]


def smtp_server(config: SmtpConfig) -> SmtpServer:
    """The mail server of a configuration, with its password.

    Raises:
        ConfigFileError: the variable that should have the password is not set.
    """
    return SmtpServer(
        host=config.host,
        port=config.port or PORTS[config.security],
        security=config.security,
        username=config.username,
        password=config.secret,
        timeout=config.timeout,
        ca_file=config.ca_file,
        verify=config.verify,
    )


def everybody(config: ReportConfig) -> list[Person]:
    """Recipients, then those in Cc, each address once."""
    found: dict[str, Person] = {}
    for person in (*config.recipients, *config.cc):
        found.setdefault((person.email or f"\0{person.label}").lower(), person)
    return list(found.values())


def deliver(
    letter: Letter,
    config: ReportConfig,
    *,
    now: datetime,
    outbox: Path,
    server: SmtpServer | None = None,
    on_result: Callable[[EmailResult], None] | None = None,
) -> list[EmailResult]:
    """Mail the letter to everybody in the configuration, one mail each, over one session.

    A recipient's mail names that one under To; a mail to somebody in Cc names all recipients. Without a mail
    server every mail is kept in the outbox.

    Args:
        letter: what is mailed.
        config: recipients, sender, and the mail server.
        now: for the Date header and the results.
        outbox: the folder for mails that are not sent.
        server: another mail server than the configured one.
        on_result: called with each result as it is known.

    Returns:
        A result per person: `sent`; `failed` with the reason (`outcome` rejected, deferred, unknown);
        `skipped` for one without an address, and for a mail that is in the outbox.

    Raises:
        ConfigFileError: the variable that should have the SMTP password is not set.
    """
    if server is None and config.smtp is not None:
        server = smtp_server(config.smtp)
    results = []
    with _way_out(server, config, letter, outbox) as hand_over:
        for person in everybody(config):
            result = _deliver_one(letter, config, person, now, hand_over)
            results.append(result)
            if on_result is not None:
                on_result(result)
    return results


def _deliver_one(
    letter: Letter, config: ReportConfig, person: Person, now: datetime, hand_over: HandOver
) -> EmailResult:
    result = EmailResult(agent_id=person.agent_id, agent_name=person.name, email=person.email, at=now, status="skipped")
    if person.email is None:
        return result.model_copy(update={"reason": "No email configured"})
    message = build_message(
        letter,
        person,
        sender=config.from_ or NOBODY,
        to=[person] if person in config.recipients else config.recipients,
        cc=config.cc,
        reply_to=config.reply_to,
        date=now,
    )
    status, outcome, reason = hand_over(message.as_bytes(policy=POLICY), person)
    return result.model_copy(
        update={
            "status": status,
            "outcome": outcome,
            "reason": reason,
            "message_id": str(message["Message-ID"]),
        }
    )


@contextmanager
def _way_out(server: SmtpServer | None, config: ReportConfig, letter: Letter, outbox: Path) -> Iterator[HandOver]:
    """How a mail leaves: over one SMTP session, or into the outbox."""
    if server is None:
        yield lambda message, person: _keep(outbox, letter, message, person)
        return
    address = (config.from_ or NOBODY).email or ""
    with Mailer(server) as mailer:

        def send(message: bytes, person: Person) -> Handed:
            outcome = mailer.send(message, address, person.email or "")
            status = "sent" if outcome.outcome == "sent" else "failed"
            return status, outcome.outcome, None if status == "sent" else outcome.reason

        yield send


def _keep(outbox: Path, letter: Letter, message: bytes, person: Person) -> Handed:
    try:
        path = keep(outbox, outbox_name(letter.report, letter.period, person.email or ""), message)
    except DeliveryError as exc:
        return "failed", None, str(exc)
    return "skipped", None, f"kept in the outbox: {path}"
