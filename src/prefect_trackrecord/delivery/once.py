"""Hands one mail over under the ledger: claimed before, settled after, and the truth told in every case between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from prefect_trackrecord.delivery.ledger import Claim, Ledger, LostClaimError
from prefect_trackrecord.delivery.ledger_entry import Entry, Resend, Standing, State
from prefect_trackrecord.errors import StoreError


@dataclass(frozen=True)
class Handed:
    """What became of one mail.

    Attributes:
        status: the seed's sent, failed or skipped.
        outcome: sent, deferred, rejected, unknown; None where nobody was asked.
        reason: why, where it was not plainly sent.
        again: whether trying again later may help.
        final: rejected for good, see `smtp.Outcome`.
        message_id: of the mail that the ledger knows of, where that is an earlier one.
    """

    status: str
    outcome: str | None = None
    reason: str | None = None
    again: bool = False
    final: bool = False
    message_id: str | None = None


HandOver = Callable[[Callable[[], None] | None], Handed]
"""Sends the mail; calls what it is given right before the first byte of data leaves."""


def once(
    ledger: Ledger | None,
    recipient: str,
    hand_over: HandOver,
    *,
    resend: Resend = False,
    message_id: str | None = None,
    wait: float = 0.0,
) -> Handed:
    """Hand a mail over unless the ledger says that it was, and note there what became of it.

    Args:
        ledger: None for mails that nothing is noted of.
        recipient: whose mail it is.
        hand_over: sends it.
        resend: see `ledger_entry.Resend`.
        message_id: noted along.
        wait: seconds until a deferred mail is tried again.
    """
    if ledger is None:
        return hand_over(None)
    try:
        claim = ledger.claim(recipient, resend=resend)
    except StoreError as exc:
        reason = f"not sent: the delivery ledger can't be used ({exc})"
        return Handed("failed", "deferred", reason, again=True)
    if isinstance(claim, Standing):
        return _told(claim)
    try:
        handed = hand_over(claim.sending)
    except LostClaimError as exc:
        ledger.forget(claim)
        return Handed("skipped", None, f"not sent: {exc}", again=True)
    except StoreError as exc:
        claim.release()
        return Handed("failed", "deferred", f"not sent: the delivery ledger can't be written ({exc})", again=True)
    except BaseException:
        claim.release()
        raise
    return _settle(ledger, claim, handed, message_id, wait)


def _settle(ledger: Ledger, claim: Claim, handed: Handed, message_id: str | None, wait: float) -> Handed:
    states: dict[str | None, State] = {"sent": "sent", "rejected": "rejected", "deferred": "deferred"}
    delay = timedelta(seconds=wait if handed.again else 0)  # who does not try again leaves it to the next call
    next_at = ledger.clock() + delay if handed.outcome == "deferred" else None
    try:
        claim.settle(
            states.get(handed.outcome, "unknown"),
            reason=handed.reason,
            message_id=message_id,
            next_at=next_at,
            final=handed.final,
        )
    except StoreError as exc:
        note = f"the delivery ledger could not note it ({exc})"
        return replace(handed, reason=f"{handed.reason}; {note}" if handed.reason else note)
    return handed


def _told(standing: Standing) -> Handed:
    """What the ledger knows, as the result of this run, which did not send."""
    entry = standing.entry
    if standing.kind == "busy":
        return Handed("skipped", None, f"process {entry.pid} on {entry.host} is sending it", again=True)
    if standing.kind == "later":
        return Handed(
            "failed", "deferred", f"{entry.reason or 'deferred'}; not before {_at(entry.next_at)}", again=True
        )
    if entry.state == "sent":
        reason = f"sent already on {_at(entry.settled_at)}"
        return Handed("skipped", "sent", reason, message_id=entry.message_id)
    return Handed("failed", entry.state, _settled(entry), message_id=entry.message_id)


def _settled(entry: Entry) -> str:
    when = f" (on {_at(entry.settled_at)}; not tried again)" if entry.settled_at else ""
    return f"{entry.reason or entry.state}{when}"


def _at(moment: object) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "now"
