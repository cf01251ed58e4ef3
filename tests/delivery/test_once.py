"""What `once` says and notes in every case: who sends, who does not, and what the ledger holds afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from prefect_trackrecord.delivery.ledger import LEASE, Claim, Ledger
from prefect_trackrecord.delivery.ledger_entry import Entry, to_bytes
from prefect_trackrecord.delivery.once import Handed, once
from prefect_trackrecord.errors import StoreUnavailableError
from prefect_trackrecord.store import open_store

NOW = datetime(2025, 1, 27, 7, tzinfo=timezone.utc)
WHO = "a@example.com"
SENT = Handed("sent", "sent")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(open_store(tmp_path / "store"), "voice", "p1", clock=lambda: NOW)


def handing(handed: Handed) -> Callable[[Any], Handed]:
    def hand_over(sending: Callable[[], None] | None) -> Handed:
        if sending is not None:
            sending()
        return handed

    return hand_over


def forbidden(_: Any) -> Handed:
    raise AssertionError("a mail was sent")


def noted(ledger: Ledger) -> Entry:
    entry = ledger.look(WHO)
    assert entry is not None
    return entry


def taken_over(ledger: Ledger) -> None:
    """Another host's sender holds the mail now."""
    body = {"report": "voice", "period": "p1", "recipient": WHO, "claim": "other", "state": "claimed", "host": "far"}
    entry = Entry.model_validate({**body, "pid": 12, "claimed_at": NOW, "lease_until": NOW + LEASE})
    ledger.store.put(ledger.key(WHO), to_bytes(entry))


def away(*_: object, **__: object) -> str:
    raise StoreUnavailableError("the bucket is away")


def test_without_a_ledger_nothing_is_noted() -> None:
    seen: list[object] = []
    assert once(None, WHO, lambda sending: seen.append(sending) or SENT) == SENT
    assert seen == [None]


@pytest.mark.parametrize(
    ("handed", "state", "next_at"),
    [
        (SENT, "sent", None),
        (Handed("failed", "rejected", "550", final=True), "rejected", None),
        (Handed("failed", "deferred", "451", again=True), "deferred", NOW + timedelta(seconds=60)),
        (Handed("failed", "deferred", "no such host"), "deferred", NOW),  # nobody waits: the next call sends
        (Handed("failed", "unknown", "cut off"), "unknown", None),
        (Handed("skipped", None, "nobody was asked"), "unknown", None),  # its data may have left
    ],
)
def test_what_is_noted(ledger: Ledger, handed: Handed, state: str, next_at: datetime | None) -> None:
    assert once(ledger, WHO, handing(handed), message_id="<1@x>", wait=60) == handed
    entry = noted(ledger)
    assert (entry.state, entry.next_at, entry.final) == (state, next_at, handed.final)
    assert (entry.reason, entry.message_id, entry.settled_at) == (handed.reason, "<1@x>", NOW)


def test_without_a_wait_it_may_be_tried_at_once(ledger: Ledger) -> None:
    assert not Handed("failed").again
    assert not Handed("failed").final
    once(ledger, WHO, handing(Handed("failed", "deferred", "451")))
    assert noted(ledger).next_at == NOW
    assert once(ledger, WHO, handing(SENT)) == SENT


def test_what_was_sent_before(ledger: Ledger) -> None:
    once(ledger, WHO, handing(SENT), message_id="<1@x>")
    found = once(ledger, WHO, forbidden)
    assert found == Handed("skipped", "sent", "sent already on 2025-01-27 07:00:00 UTC", message_id="<1@x>")
    assert once(ledger, WHO, handing(SENT), resend=True) == SENT


def test_what_was_refused_before(ledger: Ledger) -> None:
    once(ledger, WHO, handing(Handed("failed", "rejected", "550 no such user", final=True)), message_id="<1@x>")
    told = "550 no such user (on 2025-01-27 07:00:00 UTC; not tried again)"
    assert once(ledger, WHO, forbidden) == Handed("failed", "rejected", told, message_id="<1@x>")


@pytest.mark.parametrize("reason", ["451 later", None])
def test_what_waits_for_its_time(ledger: Ledger, reason: str | None) -> None:
    once(ledger, WHO, handing(Handed("failed", "deferred", reason, again=True)), wait=60)
    told = f"{reason or 'deferred'}; not before 2025-01-27 07:01:00 UTC"
    assert once(ledger, WHO, forbidden) == Handed("failed", "deferred", told, again=True)


def test_what_somebody_else_is_sending(ledger: Ledger) -> None:
    taken_over(ledger)
    assert once(ledger, WHO, forbidden) == Handed("skipped", None, "process 12 on far is sending it", again=True)


def test_a_claim_that_was_lost_in_the_middle(ledger: Ledger) -> None:
    def hand_over(sending: Callable[[], None] | None) -> Handed:
        taken_over(ledger)
        assert sending is not None
        sending()
        raise AssertionError("a mail was sent")

    held = set(Ledger._held)  # noqa: SLF001
    found = once(ledger, WHO, hand_over)
    assert (found.status, found.outcome, found.again) == ("skipped", None, True)
    assert "taken over by another sender" in (found.reason or "")
    assert noted(ledger).claim == "other"
    assert Ledger._held == held  # noqa: SLF001


def test_a_ledger_that_is_away(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(type(ledger.store), "create", away)
        found = once(ledger, WHO, forbidden)
    told = "not sent: the delivery ledger can't be used (the bucket is away)"
    assert found == Handed("failed", "deferred", told, again=True)


def test_a_ledger_that_goes_away_before_the_data(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(type(ledger.store), "replace", away)
        found = once(ledger, WHO, handing(SENT))
    told = "not sent: the delivery ledger can't be written (the bucket is away)"
    assert found == Handed("failed", "deferred", told, again=True)
    assert isinstance(ledger.claim(WHO), Claim), "nobody holds it"


@pytest.mark.parametrize("reason", ["slow", None])
def test_a_ledger_that_goes_away_after_the_data(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, reason: str | None
) -> None:
    def hand_over(sending: Callable[[], None] | None) -> Handed:
        assert sending is not None
        sending()
        monkeypatch.setattr(type(ledger.store), "replace", away)
        return Handed("sent", "sent", reason)

    found = once(ledger, WHO, hand_over)
    note = "the delivery ledger could not note it (the bucket is away)"
    assert found == Handed("sent", "sent", f"{reason}; {note}" if reason else note)
