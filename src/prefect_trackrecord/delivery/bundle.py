"""Several ledgers as one, for a mail that tells several things: claimed all together, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from prefect_trackrecord.delivery.ledger import Claim, Ledger
from prefect_trackrecord.delivery.ledger_entry import Entry, Resend, Standing, State
from prefect_trackrecord.errors import StoreError


class Bundle(Ledger):
    """The ledgers of all that one mail tells.

    Attributes:
        refused: whether something stood against one of the claims: part of what the mail tells is told already, or is
            being told by somebody else.
    """

    def __init__(self, ledgers: Sequence[Ledger]) -> None:
        first = ledgers[0]
        super().__init__(first.store, first.report, first.period, lease=first.lease, clock=first.clock)
        self._ledgers = tuple(ledgers)
        self.refused = False

    def claim(self, recipient: str, *, resend: Resend = False) -> Claim | Standing:
        """The right to send all of it to this recipient, or what stands against one part.

        Raises:
            StoreError: a ledger can't be read or written; none is claimed then.
        """
        claims: list[Claim] = []
        try:
            for ledger in self._ledgers:
                found = ledger.claim(recipient, resend=resend)
                if isinstance(found, Standing):
                    self.refused = True
                    _release(claims)
                    return found
                claims.append(found)
        except BaseException:
            _release(claims)
            raise
        return _Together(self, claims)

    def forget(self, claim: Claim | Entry) -> None:
        """The claims are no longer held by this process."""
        for one in claim.claims if isinstance(claim, _Together) else ():
            super().forget(one)


class _Together(Claim):
    """Claims that are settled alike."""

    def __init__(self, ledger: Bundle, claims: Sequence[Claim]) -> None:
        super().__init__(ledger, "", claims[0].entry, "")
        self.bundle, self.claims = ledger, tuple(claims)

    def sending(self) -> None:
        """As `Claim.sending`, for all: when one is lost the others are free again, for no data has left."""
        try:
            for claim in self.claims:
                claim.sending()
        except BaseException:
            self.bundle.refused = True
            for claim in self.claims:
                try:
                    claim.settle("deferred", reason="given up before it was sent", next_at=self.bundle.clock())
                except StoreError:
                    claim.release()
            raise

    def settle(
        self,
        state: State,
        *,
        reason: str | None = None,
        message_id: str | None = None,
        next_at: datetime | None = None,
        final: bool = False,
    ) -> None:
        """As `Claim.settle`, for all; the first error is raised when all were tried."""
        first: StoreError | None = None
        for claim in self.claims:
            try:
                claim.settle(state, reason=reason, message_id=message_id, next_at=next_at, final=final)
            except StoreError as exc:
                first = first or exc
        if first is not None:
            raise first

    def release(self) -> None:
        """As `Claim.release`, for all."""
        _release(self.claims)


def _release(claims: Sequence[Claim]) -> None:
    for claim in claims:
        claim.release()
