"""Hands a letter over to everybody, and says truly what became of each mail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.config import PORTS, ReportConfig, SmtpConfig
from prefect_trackrecord.delivery.ledger import Ledger, Resend
from prefect_trackrecord.delivery.message import POLICY, Letter, build_message
from prefect_trackrecord.delivery.once import Handed, once
from prefect_trackrecord.delivery.outbox import keep, outbox_name
from prefect_trackrecord.delivery.patience import Patience
from prefect_trackrecord.delivery.smtp import Mailer, Outcome, SmtpServer
from prefect_trackrecord.documents.models import EmailResult
from prefect_trackrecord.errors import DeliveryError

NOBODY = Person(email="trackrecord@localhost", name="prefect-trackrecord")
"""The sender of mails that stay in the outbox and have no other."""

HandOver = Callable[[bytes, Person, Callable[[], None] | None], Handed]


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
        retry_for=config.retry_for,
        retry_first=config.retry_first,
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
    ledger: Ledger | None = None,
    resend: Resend = False,
    people: Sequence[Person] | None = None,
    on_wait: Callable[[int, float], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[EmailResult]:
    """Mail the letter to everybody in the configuration, one mail each, over one session.

    A recipient's mail names that one under To; a mail to somebody in Cc names all recipients. Without a mail
    server every mail is kept in the outbox. What is deferred is tried again, later and later, for as long as the
    server's `retry_for` says.

    Args:
        letter: what is mailed.
        config: recipients, sender, and the mail server.
        now: for the Date header and the results.
        outbox: the folder for mails that are not sent.
        server: another mail server than the configured one.
        on_result: called with each result as it is known.
        ledger: notes who got it, so that nobody gets it twice; not for the outbox, where writing a mail again
            replaces it.
        resend: what is sent although the ledger says that it was.
        people: only these.
        on_wait: called with how many mails will be tried again, and in how many seconds.
        sleep: waits.

    Returns:
        A result per person: `sent`; `failed` with the reason (`outcome` rejected, deferred, unknown); `skipped` for
        one without an address, for one who has it already, and for a mail that is in the outbox.

    Raises:
        ConfigFileError: the variable that should have the SMTP password is not set.
    """
    if server is None and config.smtp is not None:
        server = smtp_server(config.smtp)
    patience = Patience(server.retry_for if server else 0.0, server.retry_first if server else 0.0, sleep)
    chosen = everybody(config) if people is None else people
    results: dict[int, EmailResult] = {}
    waiting = list(enumerate(chosen))

    def done(place: int, result: EmailResult) -> None:
        results[place] = result
        if on_result is not None:
            on_result(result)

    while waiting:
        deferred: list[tuple[int, Person, EmailResult]] = []
        with _way_out(server, config, letter, outbox) as hand_over:
            for place, person in waiting:
                post = _Post(letter, config, now, hand_over, ledger if server else None, resend)
                result, again = post.deliver(person, patience.next_wait)
                if again and patience.next_wait:
                    deferred.append((place, person, result))
                else:
                    done(place, result)
        if deferred and on_wait is not None:
            on_wait(len(deferred), patience.next_wait)
        waiting = [(place, person) for place, person, _ in deferred]
        patience.wait(bool(waiting))
    return [results[place] for place in range(len(chosen))]


class _Post:
    """One mail to one person."""

    def __init__(
        self,
        letter: Letter,
        config: ReportConfig,
        now: datetime,
        hand_over: HandOver,
        ledger: Ledger | None,
        resend: Resend,
    ) -> None:
        self._letter, self._config, self._now = letter, config, now
        self._hand_over, self._ledger, self._resend = hand_over, ledger, resend

    def deliver(self, person: Person, wait: float) -> tuple[EmailResult, bool]:
        """What became of it, and whether it should be tried again after `wait` seconds."""
        result = EmailResult(
            agent_id=person.agent_id, agent_name=person.name, email=person.email, at=self._now, status="skipped"
        )
        if person.email is None:
            return result.model_copy(update={"reason": "No email configured"}), False
        message = build_message(
            self._letter,
            person,
            sender=self._config.from_ or NOBODY,
            to=[person] if person in self._config.recipients else self._config.recipients,
            cc=self._config.cc,
            reply_to=self._config.reply_to,
            date=self._now,
        )
        data, message_id = message.as_bytes(policy=POLICY), str(message["Message-ID"])
        handed = once(
            self._ledger,
            person.email,
            lambda before_data: self._hand_over(data, person, before_data),
            resend=self._resend,
            message_id=message_id,
            wait=wait,
        )
        update = {
            "status": handed.status,
            "outcome": handed.outcome,
            "reason": handed.reason,
            "message_id": handed.message_id or message_id,
        }
        return result.model_copy(update=update), handed.again


@contextmanager
def _way_out(server: SmtpServer | None, config: ReportConfig, letter: Letter, outbox: Path) -> Iterator[HandOver]:
    """How a mail leaves: over one SMTP session, or into the outbox."""
    if server is None:
        yield lambda message, person, _: _keep(outbox, letter, message, person)
        return
    address = (config.from_ or NOBODY).email or ""
    with Mailer(server) as mailer:
        yield lambda message, person, before: handed_over(mailer.send(message, address, person.email or "", before))


def handed_over(outcome: Outcome) -> Handed:
    """The server's word as a result."""
    if outcome.outcome == "sent":
        return Handed("sent", "sent")
    return Handed("failed", outcome.outcome, outcome.reason, again=outcome.outcome == "deferred", final=outcome.final)


def _keep(outbox: Path, letter: Letter, message: bytes, person: Person) -> Handed:
    try:
        path = keep(outbox, outbox_name(letter.report, letter.period, person.email or ""), message)
    except DeliveryError as exc:
        return Handed("failed", None, str(exc))
    return Handed("skipped", None, f"kept in the outbox: {path}")
