"""What each step of the ledger writes, and what it does when others are quicker."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from prefect_trackrecord.delivery.ledger import LEASE, Claim, Ledger
from prefect_trackrecord.delivery.ledger_entry import Entry, Standing, from_bytes, to_bytes
from prefect_trackrecord.errors import ConflictError, StoreUnavailableError
from prefect_trackrecord.store import open_store

NOW = datetime(2025, 1, 27, 7, tzinfo=timezone.utc)
WHO = "a@example.com"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(open_store(tmp_path / "store"), "voice", "p1", clock=lambda: NOW)


def claimed(ledger: Ledger, recipient: str = WHO) -> Claim:
    found = ledger.claim(recipient)
    assert isinstance(found, Claim)
    return found


def noted(ledger: Ledger) -> Entry:
    blob = ledger.store.get(ledger.key(WHO))
    assert blob is not None
    entry = from_bytes(blob.data)
    assert entry is not None, blob.data
    return entry


def elsewhere(ledger: Ledger, **fields: Any) -> Entry:
    """An entry as a process of another host left it."""
    body = {"report": "voice", "period": "p1", "recipient": WHO, "claim": "other", "claimed_at": NOW}
    entry = Entry.model_validate({**body, "host": "elsewhere", "lease_until": NOW + LEASE, **fields})
    ledger.store.put(ledger.key(WHO), to_bytes(entry))
    return entry


def test_where_a_recipients_document_lies(ledger: Ledger) -> None:
    digest = hashlib.sha256(WHO.encode()).hexdigest()[:32]
    assert ledger.key(f" {WHO.upper()} ") == f"deliveries/voice/p1/{digest}.json"


def test_a_document_as_it_is_read_by_others(ledger: Ledger) -> None:
    """A format that is kept: what is not known is left out, and what an older writer left out has its meaning."""
    body = {"report": "voice", "period": "p1", "recipient": WHO, "state": "claimed", "claim": "c"}
    times = {"claimed_at": "2025-01-27T07:00:00Z", "lease_until": "2025-01-27T07:15:00Z"}
    entry = from_bytes(orjson.dumps({**body, **times, "of_a_later_version": 1}))
    assert entry is not None
    assert orjson.loads(to_bytes(entry)) == {
        "version": 1,
        **body,
        **times,
        "tries": 1,
        "final": False,
        "host": "",
        "boot": "",
        "pid": 0,
        "ticks": 0,
        "namespace": "",
    }
    assert to_bytes(entry).startswith(b'{\n "version": 1,\n')
    with pytest.raises(ValidationError, match="frozen"):
        entry.state = "sent"
    assert from_bytes(b"{}") is None


def test_sending_is_noted_with_a_lease_of_its_own(ledger: Ledger) -> None:
    claim = claimed(ledger)
    assert (noted(ledger).state, noted(ledger).lease_until) == ("claimed", NOW + LEASE)
    ledger.clock = lambda: NOW + timedelta(minutes=5)
    claim.sending()
    assert (noted(ledger).state, noted(ledger).lease_until) == ("sending", NOW + timedelta(minutes=5) + LEASE)
    assert noted(ledger).claim == claim.entry.claim


@pytest.mark.parametrize(
    ("steps", "state", "word"), [((), "deferred", "before it was sent"), (("sending",), "unknown", "interrupted")]
)
def test_what_is_given_up(ledger: Ledger, steps: tuple[str, ...], state: str, word: str) -> None:
    claim = claimed(ledger)
    for step in steps:
        getattr(claim, step)()
    claim.release()
    assert noted(ledger).state == state
    assert word in (noted(ledger).reason or "")


def test_what_was_settled_is_not_given_up(ledger: Ledger) -> None:
    claim = claimed(ledger)
    claim.sending()
    claim.settle("sent", message_id="<1@x>")
    claim.release()
    assert (noted(ledger).state, noted(ledger).message_id) == ("sent", "<1@x>")


def test_a_claim_that_can_not_be_settled_is_held_no_more(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = claimed(ledger)

    def away(*_: object) -> str:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as patched:
        patched.setattr(type(ledger.store), "replace", away)
        claim.release()
    again = claimed(ledger)  # by this very process, whose pid is alive: only what it holds is busy
    assert (again.entry.tries, again.entry.pid) == (2, os.getpid())


def test_who_took_over_is_not_overwritten(ledger: Ledger) -> None:
    """Only an `unknown` over our own `sending` is put right; another's word about another mail stays."""
    claim = claimed(ledger)
    claim.sending()
    elsewhere(ledger, state="sending")
    claim.settle("sent")
    assert (noted(ledger).claim, noted(ledger).state) == ("other", "sending")
    claim = claimed_again(ledger)
    claim.sending()
    ledger.store.delete(ledger.key(WHO))
    claim.settle("sent")
    assert ledger.store.get(ledger.key(WHO)) is None


def claimed_again(ledger: Ledger) -> Claim:
    ledger.store.delete(ledger.key(WHO))
    return claimed(ledger)


def test_a_lease_ends_at_its_end(ledger: Ledger) -> None:
    entry = elsewhere(ledger, state="claimed")
    ledger.clock = lambda: entry.lease_until - timedelta(microseconds=1)
    assert isinstance(ledger.claim(WHO), Standing)
    ledger.clock = lambda: entry.lease_until
    assert claimed(ledger).entry.tries == 2


def test_somebody_else_gives_a_dead_sender_up(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our look and our write: what is there then counts."""
    entry = elsewhere(ledger, state="sending", lease_until=NOW)
    real: Callable[..., str] = type(ledger.store).replace
    raced: list[bool] = []

    def late(store: Any, key: str, data: bytes, etag: str | None) -> str:
        if not raced:
            raced.append(True)
            store.put(key, to_bytes(entry.model_copy(update={"state": "sent"})))
        return real(store, key, data, etag)

    monkeypatch.setattr(type(ledger.store), "replace", late)
    standing = ledger.claim(WHO)
    assert isinstance(standing, Standing)
    assert (standing.kind, standing.entry.state) == ("settled", "sent")


def test_races_without_end_are_an_error(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []
    held = set(Ledger._held)  # noqa: SLF001

    def beaten(_: Any, key: str, *__: object) -> str:
        tries.append(key)
        raise ConflictError("others")

    monkeypatch.setattr(type(ledger.store), "create", beaten)
    with pytest.raises(ConflictError, match="all the time"):
        ledger.claim(WHO)
    assert len(tries) == 20
    assert Ledger._held == held  # noqa: SLF001


def test_skipped_was_no_try(ledger: Ledger) -> None:
    ledger.skip(WHO, "nothing to tell")
    assert (noted(ledger).state, noted(ledger).tries, noted(ledger).reason) == ("skipped", 0, "nothing to tell")
    ledger.skip(WHO, "still nothing")
    assert noted(ledger).reason == "nothing to tell"
