"""Once per recipient and period: claims, dead senders, other hosts, retries, many at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from servers import Handler, free_port, smtp_server

from prefect_trackrecord.delivery import parse_config, run_delivery_report
from prefect_trackrecord.delivery.ledger import Claim, Ledger, LostClaimError
from prefect_trackrecord.delivery.ledger_entry import Entry, Standing
from prefect_trackrecord.delivery.once import Handed, once
from prefect_trackrecord.errors import StoreUnavailableError
from prefect_trackrecord.journal import liveness
from prefect_trackrecord.journal.liveness import boot_id, host_name
from prefect_trackrecord.store import StoreConfig, open_store
from prefect_trackrecord.tracking import RunTracker, TrackingStorage

NOW = datetime(2025, 1, 27, 7, tzinfo=timezone.utc)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Ledger:
    return Ledger(open_store(tmp_path / "store"), "voice", "p1", clock=clock)


def granted(found: Claim | Standing) -> Claim:
    assert isinstance(found, Claim), found.entry
    return found


def refused(found: Claim | Standing) -> Standing:
    assert isinstance(found, Standing)
    return found


def put(ledger: Ledger, **fields: Any) -> None:
    """An entry as another process left it."""
    body = {
        "report": "voice",
        "period": "p1",
        "recipient": "a@example.com",
        "claim": "other",
        "claimed_at": NOW,
        "lease_until": NOW + timedelta(minutes=15),
        **fields,
    }
    ledger.store.put(ledger.key("a@example.com"), Entry.model_validate(body).model_dump_json().encode())


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    return child.pid


def test_what_was_sent_is_not_claimed_again(ledger: Ledger) -> None:
    claim = granted(ledger.claim("A@example.com"))
    assert claim.entry.state == "claimed"
    claim.sending()
    claim.settle("sent", message_id="<1@x>")
    standing = refused(ledger.claim("a@EXAMPLE.com"))
    assert (standing.kind, standing.entry.state, standing.entry.message_id) == ("settled", "sent", "<1@x>")
    assert isinstance(ledger.claim("b@example.com"), Claim)
    assert isinstance(ledger.claim("a@example.com", resend="undelivered"), Standing)
    assert granted(ledger.claim("a@example.com", resend=True)).entry.tries == 2


def test_in_a_bucket_too(bucket: str, s3_server: Any, patient: Any) -> None:
    store = open_store(StoreConfig(f"s3://{bucket}/history", s3_server.options), settings=patient)
    ledger = Ledger(store, "voice", "p1")
    claims: list[Claim | Standing] = []
    threads = [threading.Thread(target=lambda: claims.append(ledger.claim("a@example.com"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (claim,) = (c for c in claims if isinstance(c, Claim))
    assert {c.kind for c in claims if isinstance(c, Standing)} == {"busy"}
    claim.sending()
    claim.settle("sent")
    assert refused(ledger.claim("a@example.com")).entry.state == "sent"


def test_an_open_claim_is_busy_for_everybody_else(ledger: Ledger) -> None:
    claim = granted(ledger.claim("a@example.com"))
    assert refused(ledger.claim("a@example.com", resend=True)).kind == "busy"
    claim.release()
    assert isinstance(ledger.claim("a@example.com"), Claim)


@pytest.mark.parametrize(("state", "free"), [("claimed", True), ("sending", False)])
def test_a_dead_sender_of_this_host(ledger: Ledger, state: str, free: bool) -> None:
    put(ledger, state=state, host=host_name(), boot=boot_id(), pid=dead_pid())
    found = ledger.claim("a@example.com")
    if free:
        assert granted(found).entry.tries == 2
        return
    assert refused(found).entry.state == "unknown"
    assert "may have arrived" in (refused(found).entry.reason or "")
    entry = ledger.look("a@example.com")
    assert entry is not None
    assert entry.state == "unknown"
    assert isinstance(ledger.claim("a@example.com"), Standing)
    assert isinstance(ledger.claim("a@example.com", resend="undelivered"), Claim)


def test_a_host_that_was_booted_since(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    put(ledger, state="claimed", host=host_name(), boot="an earlier one/of this machine", pid=1)
    monkeypatch.setattr(liveness, "boot_id", lambda: "this one/of another machine")
    assert refused(ledger.claim("a@example.com")).kind == "busy", "another machine may have this one's name"
    monkeypatch.setattr(liveness, "boot_id", lambda: "this one/of this machine")
    assert isinstance(ledger.claim("a@example.com"), Claim)


@pytest.mark.parametrize("state", ["claimed", "sending"])
def test_a_sender_of_another_host_is_given_its_lease(ledger: Ledger, clock: Clock, state: str) -> None:
    put(ledger, state=state, host="elsewhere", pid=1)
    assert refused(ledger.claim("a@example.com")).kind == "busy"
    clock.now += timedelta(minutes=16)
    found = ledger.claim("a@example.com")
    assert isinstance(found, Claim) if state == "claimed" else refused(found).entry.state == "unknown"


def test_who_lost_the_claim_does_not_send(ledger: Ledger) -> None:
    claim = granted(ledger.claim("a@example.com"))
    put(ledger, state="claimed", claim="taken over", host="elsewhere")
    with pytest.raises(LostClaimError):
        claim.sending()
    sent: list[str] = []

    def hand_over(before_data: Any) -> Handed:
        put(ledger, state="claimed", claim="quicker", host="elsewhere", lease_until=NOW - timedelta(1))
        before_data()
        sent.append("x")
        return Handed("sent", "sent")

    put(ledger, state="claimed", host="elsewhere", lease_until=NOW - timedelta(1))
    handed = once(ledger, "a@example.com", hand_over)
    assert (handed.status, handed.again, sent) == ("skipped", True, [])
    assert "taken over" in (handed.reason or "")


def test_one_held_for_dead_who_was_only_slow_puts_the_record_right(ledger: Ledger) -> None:
    claim = granted(ledger.claim("a@example.com"))
    claim.sending()
    put(ledger, **{**claim.entry.model_dump(), "state": "unknown"})
    claim.settle("sent", message_id="<1@x>")
    entry = ledger.look("a@example.com")
    assert entry is not None
    assert (entry.state, entry.message_id) == ("sent", "<1@x>")


def test_deferred_waits_for_its_time(ledger: Ledger, clock: Clock) -> None:
    granted(ledger.claim("a@example.com")).settle("deferred", reason="451", next_at=NOW + timedelta(seconds=30))
    assert refused(ledger.claim("a@example.com")).kind == "later"
    clock.now += timedelta(seconds=31)
    assert granted(ledger.claim("a@example.com")).entry.tries == 2


def test_rejected_for_good_or_not(ledger: Ledger) -> None:
    granted(ledger.claim("a@example.com")).settle("rejected", reason="550 no such user", final=True)
    assert refused(ledger.claim("a@example.com")).entry.reason == "550 no such user"
    granted(ledger.claim("b@example.com")).settle("rejected", reason="535 bad login")
    assert isinstance(ledger.claim("b@example.com"), Claim)


def test_skipped_is_noted_and_free(ledger: Ledger) -> None:
    ledger.skip("a@example.com", "nothing to tell")
    entry = ledger.look("a@example.com")
    assert entry is not None
    assert (entry.state, entry.reason) == ("skipped", "nothing to tell")
    claim = granted(ledger.claim("a@example.com"))
    claim.sending()
    claim.settle("sent")
    ledger.skip("a@example.com", "nothing to tell")
    assert isinstance(ledger.claim("a@example.com"), Standing)


def test_a_damaged_document_is_not_resent_blindly(ledger: Ledger) -> None:
    ledger.store.put(ledger.key("a@example.com"), b"{")
    standing = refused(ledger.claim("a@example.com"))
    assert standing.entry.state == "unknown"
    assert ledger.key("a@example.com") in (standing.entry.reason or "")
    assert isinstance(ledger.claim("a@example.com", resend="undelivered"), Claim)


def test_an_error_of_ours_in_the_middle_leaves_no_claim_behind(ledger: Ledger) -> None:
    def before(before_data: Any) -> Handed:
        raise KeyboardInterrupt

    def after(before_data: Any) -> Handed:
        before_data()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        once(ledger, "a@example.com", before)
    assert isinstance(ledger.claim("a@example.com"), Claim)
    with pytest.raises(KeyboardInterrupt):
        once(ledger, "b@example.com", after)
    assert refused(ledger.claim("b@example.com")).entry.state == "unknown"


def test_a_store_that_fails_at_each_step(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the data: not sent, deferred. After it: the result says what the ledger could not note."""
    sent: list[str] = []

    def hand_over(before_data: Any) -> Handed:
        before_data()
        sent.append("x")
        return Handed("sent", "sent")

    def fail(*args: Any) -> str:
        raise StoreUnavailableError("no space left")

    monkeypatch.setattr(ledger.store, "create", fail)
    first = once(ledger, "a@example.com", hand_over)
    assert (first.status, first.outcome, sent) == ("failed", "deferred", [])
    assert "no space left" in (first.reason or "")
    monkeypatch.undo()
    monkeypatch.setattr(ledger.store, "replace", fail)
    second = once(ledger, "b@example.com", hand_over)
    assert (second.outcome, sent) == ("deferred", [])
    monkeypatch.undo()
    assert once(ledger, "b@example.com", hand_over).outcome == "sent"
    real, calls = ledger.store.replace, []

    def fail_later(*args: Any) -> str:
        calls.append(args)
        return real(*args) if len(calls) == 1 else fail()

    monkeypatch.setattr(ledger.store, "replace", fail_later)
    third = once(ledger, "c@example.com", hand_over)
    assert (third.status, third.outcome) == ("sent", "sent")
    assert "could not note it" in (third.reason or "")
    monkeypatch.undo()
    assert once(ledger, "c@example.com", hand_over).outcome == "unknown"
    assert len(sent) == 2


# --- whole reports ------------------------------------------------------------------------------------


@pytest.fixture
def storage(tmp_path: Path) -> TrackingStorage:
    storage = TrackingStorage(base_path=tmp_path / "history")
    with RunTracker("check", storage=storage) as tracker:
        tracker.track_file("a", "failed", error_type="E", error_message="boom")
    return storage


def settings(port: int, **fields: Any) -> Any:
    smtp = {"host": "127.0.0.1", "port": port, "security": "none", "timeout": 5, "retry_for": 0}
    who = [f"r{n}@example.com" for n in range(4)]
    base = {"name": "voice", "window": "today", "sender": "r@example.com", "recipients": who, "smtp": smtp}
    return parse_config({**base, **fields})


def run(storage: TrackingStorage, config: Any, **more: Any) -> Any:
    return run_delivery_report(config, now=datetime.now(timezone.utc), archive=storage.archive, **more)


def results(found: Any) -> list[tuple[str, str | None]]:
    return [(r.status, r.outcome) for r in found.emails]


def test_a_second_run_sends_nothing_again_and_says_so(storage: TrackingStorage) -> None:
    handler = Handler()
    with smtp_server(handler) as port:
        first = run(storage, settings(port))
        second = run(storage, settings(port))
        assert results(first) == [("sent", "sent")] * 4
        assert results(second) == [("skipped", "sent")] * 4
        assert "sent already on" in second.emails[0].reason
        assert second.emails[0].message_id == first.emails[0].message_id
        assert len(handler.mails) == 4
        run(storage, settings(port), resend=True)
        assert len(handler.mails) == 8
        run(storage, settings(port, once=False))
        assert len(handler.mails) == 12


def test_only_who_has_not_got_it_is_tried_again(storage: TrackingStorage) -> None:
    handler = Handler()
    who = ["a@example.com", "later@example.com", "nobody@example.com", "drop@example.com"]
    with smtp_server(handler) as port:
        first = run(storage, settings(port, recipients=who))
        assert [o for _, o in results(first)] == ["sent", "deferred", "rejected", "unknown"]
        again = run(storage, settings(port, recipients=who))
        assert results(again) == [
            ("skipped", "sent"),
            ("failed", "deferred"),
            ("failed", "rejected"),
            ("failed", "unknown"),
        ]
        assert "not tried again" in again.emails[3].reason
        assert len(handler.mails) == 1


def test_nobody_is_there_then_somebody_is(storage: TrackingStorage) -> None:
    port = free_port()
    assert [o for _, o in results(run(storage, settings(port)))] == ["deferred"] * 4
    handler = Handler()
    with smtp_server(handler) as port:
        assert results(run(storage, settings(port))) == [("sent", "sent")] * 4


def test_25_at_once(storage: TrackingStorage) -> None:
    handler = Handler()
    found: list[Any] = []
    with smtp_server(handler) as port:
        config = settings(port)
        threads = [threading.Thread(target=lambda: found.append(run(storage, config))) for _ in range(25)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(to for _, to, _ in handler.mails) == [[f"r{n}@example.com"] for n in range(4)]
    assert len(found) == 25
    assert sum(r.status == "sent" for f in found for r in f.emails) == 4


def test_dry_run_to_and_preview_leave_no_trace(storage: TrackingStorage, tmp_path: Path) -> None:
    handler = Handler()
    store = storage.archive.store
    with smtp_server(handler) as port:
        dry = run(storage, settings(port), dry_run=True)
        assert {r.reason for r in dry.emails} == {"dry run: would be sent"}
        seen = run(storage, settings(port), preview=tmp_path / "page.html")
        assert seen.stored.page_path == tmp_path / "page.html"
        assert (tmp_path / "page.html").read_text(encoding="utf-8") == seen.rendered.page
        assert (seen.emails, handler.mails, store.list("reports"), store.list("deliveries")) == ((), [], [], [])
        copies = run(storage, settings(port), to=["me@example.com"])
        assert [(r.email, r.status) for r in copies.emails] == [("me@example.com", "sent")]
        assert store.list("deliveries") == []
        real = run(storage, settings(port))
        assert results(real) == [("sent", "sent")] * 4
        assert copies.emails[0].message_id not in {r.message_id for r in real.emails}
        assert b"[test]" in handler.mails[0][2]
        dry = run(storage, settings(port), dry_run=True)
        assert {r.reason for r in dry.emails} == {"dry run: the ledger says sent"}
        assert len(run(storage, settings(port), to=["me@example.com"]).emails) == 1
    assert len(handler.mails) == 6


@pytest.mark.parametrize(("late", "after", "marked", "sent"), [
    ("send", None, False, True), ("mark", None, True, True), ("skip", None, True, False),
    ("mark", "30d", False, True), ("skip", "1h", True, False),
])  # fmt: skip
def test_a_late_run_of_an_old_period(
    storage: TrackingStorage, late: str, after: str | None, marked: bool, sent: bool
) -> None:
    handler = Handler()
    now = datetime.now(timezone.utc)
    with smtp_server(handler) as port:
        config = settings(port, window="yesterday", late=late, late_after=after)
        found = run_delivery_report(config, now=now, scheduled_for=now - timedelta(days=3), archive=storage.archive)
        assert found.report.period.end == (now - timedelta(days=4)).date()
        assert ("late" in found.rendered.subject) is marked
        assert len(handler.mails) == (4 if sent else 0)
        if not sent:
            assert {r.status for r in found.emails} == {"skipped"}
            assert "late" in found.emails[0].reason
        in_time = run_delivery_report(config, now=now, archive=storage.archive)
        assert ("late" in in_time.rendered.subject) is (after == "1h" and now.hour >= 1)
