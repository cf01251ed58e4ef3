"""Once per recipient and period: who has claimed a mail, and what became of it, one document for each.

The documents lie under `deliveries/<report>/<period>/<hash of the recipient>.json`. A sender claims by exclusive
create (or by compare-and-swap of an older claim), notes `sending` right before it hands the data over, and settles
with what the server said. Every step names the claim by an id of its own, and is a compare-and-swap: whoever lost
the claim meanwhile learns of it before a mail leaves.

    claimed    somebody is about to send. A dead holder's claim is taken over: no data had left.
    sending    the data is on its way. A dead holder's mail may have arrived: it becomes `unknown`.
    sent       the server took it. Not sent again.
    rejected   the server refused it. One for this recipient is not tried again; one that no recipient is to
               blame for (login, certificate, sender) is free at once.
    deferred   it has not arrived; may be tried again from `next_at` on.
    unknown    it may have arrived. Never sent again by itself.
    skipped    it was not due (nothing to tell, too late). Free at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from prefect_trackrecord.delivery.ledger_entry import Entry, Resend, Standing, State, from_bytes, to_bytes
from prefect_trackrecord.documents.layout import DELIVERIES, safe_part
from prefect_trackrecord.errors import ConflictError, DeliveryError, KeyExistsError, StoreError
from prefect_trackrecord.forking import ProcessLock
from prefect_trackrecord.journal.liveness import boot_id, host_name, is_alive, pid_namespace, start_ticks
from prefect_trackrecord.store.base import Store

LEASE = timedelta(minutes=15)
"""How long a claim of another host counts as held: nobody here can see whether its process lives."""

_MAX_RACES = 20


class LostClaimError(DeliveryError):
    """Somebody else took the claim over; what it was for must not be sent by this sender."""


class Claim:
    """The right to send one mail; ends with `settle`, or with `release`."""

    def __init__(self, ledger: Ledger, key: str, entry: Entry, etag: str) -> None:
        self._ledger, self._key, self.entry, self._etag = ledger, key, entry, etag

    def sending(self) -> None:
        """Note that the data goes out now.

        Raises:
            LostClaimError: somebody took the claim over.
            StoreError: it can't be noted; then the mail must not go out either.
        """
        now = self._ledger.clock()
        self._write(self.entry.model_copy(update={"state": "sending", "lease_until": now + self._ledger.lease}))

    def settle(
        self,
        state: State,
        *,
        reason: str | None = None,
        message_id: str | None = None,
        next_at: datetime | None = None,
        final: bool = False,
    ) -> None:
        """Note what became of the mail.

        Raises:
            StoreError: it can't be noted.
        """
        update: dict[str, object] = {
            "state": state,
            "settled_at": self._ledger.clock(),
            "reason": reason,
            "message_id": message_id,
            "next_at": next_at,
            "final": final,
        }
        try:
            self._write(self.entry.model_copy(update=update))
        except LostClaimError:
            self._correct(update)
        finally:
            self._ledger.forget(self)

    def release(self) -> None:
        """Give it up after an error of ours: free again, or `unknown` where the data may have left. Never raises."""
        with contextlib.suppress(StoreError):
            if self.entry.state == "claimed":
                self.settle("deferred", reason="given up before it was sent", next_at=self._ledger.clock())
            elif self.entry.state == "sending":
                self.settle("unknown", reason="the sender was interrupted while it sent the mail")

    def _write(self, entry: Entry) -> None:
        data = to_bytes(entry)
        try:
            self._etag = self._ledger.store.replace(self._key, data, self._etag)
        except ConflictError:
            raise LostClaimError(f"the claim on {entry.recipient} was taken over by another sender") from None
        self.entry = entry

    def _correct(self, update: dict[str, object]) -> None:
        """Somebody held us for dead and wrote `unknown` over our `sending`: we know better."""
        blob = self._ledger.store.get(self._key)
        found = from_bytes(blob.data) if blob is not None else None
        if blob is not None and found is not None and (found.claim, found.state) == (self.entry.claim, "unknown"):
            with contextlib.suppress(ConflictError):
                self._ledger.store.replace(self._key, to_bytes(found.model_copy(update=update)), blob.etag)


class Ledger:
    """The ledger of one report and period.

    Args:
        store: where it is kept.
        report: the report's name.
        period: the period's key.
        lease: how long a claim of another host counts as held.
        clock: the present.
    """

    _held: set[str] = set()  # noqa: RUF012 - claims that live in this process, whatever ledger they are of
    _lock = ProcessLock()

    def __init__(
        self,
        store: Store,
        report: str,
        period: str,
        *,
        lease: timedelta = LEASE,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self.store, self.report, self.period, self.lease, self.clock = store, report, period, lease, clock

    def key(self, recipient: str) -> str:
        """The key of a recipient's document; letter case does not matter."""
        digest = hashlib.sha256(recipient.strip().lower().encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return f"{DELIVERIES}/{safe_part(self.report)}/{safe_part(self.period)}/{digest}.json"

    def look(self, recipient: str) -> Entry | None:
        """What the ledger says of a recipient; None where it says nothing.

        Raises:
            StoreError: it can't be read.
        """
        blob = self.store.get(self.key(recipient))
        return None if blob is None else from_bytes(blob.data) or self._damaged(recipient)

    def claim(self, recipient: str, *, resend: Resend = False) -> Claim | Standing:
        """The right to send to this recipient, or why there is none.

        Raises:
            StoreError: the ledger can't be read or written.
        """
        key = self.key(recipient)
        for _ in range(_MAX_RACES):
            blob = self.store.get(key)
            old = None if blob is None else from_bytes(blob.data) or self._damaged(recipient)
            if old is not None and blob is not None and self._is_orphan(old) and old.state == "sending":
                old, etag = self._give_up(key, old, blob.etag)
                if old is None:
                    continue
            else:
                etag = blob.etag if blob is not None else ""
            standing = self._standing(old, resend)
            if standing is not None:
                return standing
            entry = self._new(recipient, old)
            with self._lock():
                self._held.add(entry.claim)
            try:
                etag = (
                    self.store.create(key, to_bytes(entry))
                    if old is None
                    else self.store.replace(key, to_bytes(entry), etag)
                )
                return Claim(self, key, entry, etag)
            except BaseException as exc:
                self.forget(entry)
                if not isinstance(exc, KeyExistsError | ConflictError):
                    raise
        raise ConflictError(f"{key} is changed all the time by others")

    def skip(self, recipient: str, reason: str) -> None:
        """Note that nothing is due for this recipient, unless something is noted already; never raises."""
        entry = self._new(recipient, None).model_copy(update={"state": "skipped", "reason": reason, "tries": 0})
        with contextlib.suppress(StoreError):
            self.store.create(self.key(recipient), to_bytes(entry))

    def forget(self, claim: Claim | Entry) -> None:
        """The claim is no longer held by this process."""
        entry = claim.entry if isinstance(claim, Claim) else claim
        with self._lock():
            self._held.discard(entry.claim)

    def _standing(self, old: Entry | None, resend: Resend) -> Standing | None:
        """What stands against a claim."""
        if old is None:
            return None
        if old.state in {"claimed", "sending"}:
            return None if self._is_orphan(old) else Standing("busy", old)
        if old.state == "deferred":
            waiting = old.next_at is not None and old.next_at > self.clock() and not resend
            return Standing("later", old) if waiting else None
        settled = old.state in {"sent", "unknown"} or (old.state == "rejected" and old.final)
        if not settled or resend is True or (resend == "undelivered" and old.state != "sent"):
            return None
        return Standing("settled", old)

    def _is_orphan(self, entry: Entry) -> bool:
        """Whether the holder of an open claim is gone."""
        alive = is_alive(entry.host, entry.boot, entry.pid, entry.ticks, entry.namespace)
        if alive and entry.pid == os.getpid():
            with self._lock():
                return entry.claim not in self._held
        return not alive if alive is not None else entry.lease_until <= self.clock()

    def _give_up(self, key: str, old: Entry, etag: str) -> tuple[Entry | None, str]:
        """Turn a dead sender's `sending` into `unknown`; None where somebody else was quicker."""
        reason = f"its sender (process {old.pid} on {old.host}) ended while it sent the mail; it may have arrived"
        entry = old.model_copy(update={"state": "unknown", "settled_at": self.clock(), "reason": reason})
        try:
            return entry, self.store.replace(key, to_bytes(entry), etag)
        except ConflictError:
            return None, ""

    def _new(self, recipient: str, old: Entry | None) -> Entry:
        now = self.clock()
        return Entry(
            report=self.report,
            period=self.period,
            recipient=recipient,
            state="claimed",
            claim=uuid.uuid4().hex,
            host=host_name(),
            boot=boot_id(),
            pid=os.getpid(),
            ticks=start_ticks(os.getpid()),
            namespace=pid_namespace(),
            claimed_at=now,
            lease_until=now + self.lease,
            tries=old.tries + 1 if old is not None else 1,
        )

    def _damaged(self, recipient: str) -> Entry:
        """What an unreadable document counts as: the mail may have been sent."""
        reason = f"{self.key(recipient)} in the store can't be read; the mail may have been sent"
        entry = self._new(recipient, None)
        return entry.model_copy(update={"state": "unknown", "reason": reason})
