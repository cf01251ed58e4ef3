"""Hands a letter over to everybody, and says truly what became of each mail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.config import ReportConfig
from prefect_trackrecord.delivery.ledger import Ledger
from prefect_trackrecord.delivery.ledger_entry import Resend
from prefect_trackrecord.delivery.message import POLICY, Letter, build_message
from prefect_trackrecord.delivery.once import Handed, once
from prefect_trackrecord.delivery.outbox import keep, outbox_name
from prefect_trackrecord.delivery.patience import Patience
from prefect_trackrecord.delivery.server import mail_server, sender_of
from prefect_trackrecord.delivery.smtp import Mailer, Outcome, SmtpServer
from prefect_trackrecord.documents.models import EmailResult
from prefect_trackrecord.errors import DeliveryError

NOBODY = Person(email="trackrecord@localhost", name="prefect-trackrecord")
"""The sender of mails that stay in the outbox and have no other."""

IN_OUTBOX = "kept in the outbox"
"""How the reason of a mail begins that was written to a file instead of being sent."""

OnWait = Callable[[int, float, str], None]
HandOver = Callable[[bytes, "Post", Callable[[], None] | None], Handed]


@dataclass(frozen=True)
class Post:
    """One mail to one person.

    Attributes:
        to, cc: who stand in its headers; the person alone where `to` is left out.
        ledger: notes that it was sent; None for nothing noted.
    """

    letter: Letter
    person: Person
    sender: Person
    to: Sequence[Person] = ()
    cc: Sequence[Person] = ()
    reply_to: Person | None = None
    ledger: Ledger | None = None


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
    on_wait: OnWait | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[EmailResult]:
    """Mail the letter to everybody in the configuration, one mail each.

    A recipient's mail names that one under To; a mail to somebody in Cc names all recipients. See `post_all` for the
    rest.

    Args:
        letter: what is mailed.
        config: recipients, sender, and the mail server.
        now: for the Date header and the results.
        outbox: the folder for mails that are not sent.
        server: another mail server than the configured one (or that of the environment).
        on_result: called with each result as it is known.
        ledger: notes who got it, so that nobody gets it twice.
        resend: what is sent although the ledger says that it was.
        people: only these.
        on_wait: called with how many mails will be tried again, in how many seconds, and why one of them was deferred.
        sleep: waits.

    Raises:
        ConfigurationError: the mail server's password or block can't be found, or nobody stands as the sender.
    """
    server = server or mail_server(config)
    sender = sender_of(config, server) if server else config.from_ or NOBODY
    posts = [
        Post(
            letter,
            person,
            sender,
            to=[person] if person in config.recipients else config.recipients,
            cc=config.cc,
            reply_to=config.reply_to,
            ledger=ledger,
        )
        for person in (everybody(config) if people is None else people)
    ]
    return post_all(
        posts, server, now=now, outbox=outbox, on_result=on_result, resend=resend, on_wait=on_wait, sleep=sleep
    )


def post_all(
    posts: Sequence[Post],
    server: SmtpServer | None,
    *,
    now: datetime,
    outbox: Path,
    on_result: Callable[[EmailResult], None] | None = None,
    resend: Resend = False,
    on_wait: OnWait | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> list[EmailResult]:
    """Hand the mails over in one SMTP session; without a mail server keep them in the outbox.

    What is deferred is tried again, later and later, for as long as the server's `retry_for` says. The outbox asks no
    ledger: writing a mail there again replaces it.

    Returns:
        A result per post: `sent`; `failed` with the reason (`outcome` rejected, deferred, unknown); `skipped` for one
        without an address, for one who has it already, and for a mail that is in the outbox.
    """
    patience = Patience(server.retry_for if server else 0.0, server.retry_first if server else 0.0, sleep)
    results: dict[int, EmailResult] = {}
    waiting = list(range(len(posts)))
    while waiting:
        deferred = []
        with _way_out(server, outbox) as hand_over:
            for place in waiting:
                results[place], again = _post(posts[place], now, hand_over, server, resend, patience.next_wait)
                if again and patience.next_wait:
                    deferred.append(place)
                elif on_result is not None:
                    on_result(results[place])
        if deferred and on_wait is not None:
            on_wait(len(deferred), patience.next_wait, results[deferred[-1]].reason or "")
        waiting = deferred
        patience.wait(bool(waiting))
    return [results[place] for place in range(len(posts))]


def _post(
    post: Post, now: datetime, hand_over: HandOver, server: SmtpServer | None, resend: Resend, wait: float
) -> tuple[EmailResult, bool]:
    """What became of a mail, and whether it should be tried again after `wait` seconds."""
    person = post.person
    result = EmailResult(agent_id=person.agent_id, agent_name=person.name, email=person.email, at=now, status="skipped")
    if person.email is None:
        return result.model_copy(update={"reason": "No email configured"}), False
    message = build_message(
        post.letter, person, sender=post.sender, to=post.to, cc=post.cc, reply_to=post.reply_to, date=now
    )
    data, message_id = message.as_bytes(policy=POLICY), str(message["Message-ID"])
    handed = once(
        post.ledger if server is not None else None,
        person.email,
        lambda before_data: hand_over(data, post, before_data),
        resend=resend,
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
def _way_out(server: SmtpServer | None, outbox: Path) -> Iterator[HandOver]:
    """How a mail leaves: over one SMTP session, or into the outbox."""
    if server is None:
        yield lambda message, post, _: _keep(outbox, message, post)
        return
    with Mailer(server) as mailer:
        yield lambda message, post, before: handed_over(
            mailer.send(message, post.sender.email or "", post.person.email or "", before),
            retry_names=server.retry_names,
        )


def handed_over(outcome: Outcome, *, retry_names: bool = True) -> Handed:
    """The server's word as a result; `retry_names` as in `SmtpServer`."""
    if outcome.outcome == "sent":
        return Handed("sent", "sent")
    again = outcome.outcome == "deferred" and (retry_names or not outcome.nameless)
    return Handed("failed", outcome.outcome, outcome.reason, again=again, final=outcome.final)


def _keep(outbox: Path, message: bytes, post: Post) -> Handed:
    name = outbox_name(post.letter.report, post.letter.period, post.person.email or "")
    try:
        path = keep(outbox, name, message)
    except DeliveryError as exc:
        return Handed("failed", None, str(exc))
    return Handed("skipped", None, f"{IN_OUTBOX}: {path}")
