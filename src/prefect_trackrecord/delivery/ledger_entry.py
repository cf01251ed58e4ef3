"""One recipient's document in the delivery ledger, and what it says about sending."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from prefect_trackrecord.documents.models import Moment

State = Literal["claimed", "sending", "sent", "rejected", "deferred", "unknown", "skipped"]
Resend = bool | Literal["undelivered"]
"""False: nothing twice. `undelivered`: what was rejected or is unknown once more. True: everything once more."""


class Entry(BaseModel):
    """One recipient's document.

    Attributes:
        claim: id of the claim that wrote it last.
        host, boot, pid, ticks, namespace: the process that holds or held the claim.
        lease_until: until when a claim of another host counts as held.
        tries: how often it was claimed.
        final: for `rejected`: whether trying again is no use.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int = 1
    report: str
    period: str
    recipient: str
    state: State
    claim: str
    host: str = ""
    boot: str = ""
    pid: int = 0
    ticks: int = 0
    namespace: str = ""
    claimed_at: Moment
    lease_until: Moment
    settled_at: Moment | None = None
    tries: int = 1
    next_at: Moment | None = None
    message_id: str | None = None
    reason: str | None = None
    final: bool = False


class Standing:
    """Why a mail can't be claimed: `entry` is what the ledger says, `kind` how it is to be taken.

    `kind` is `busy` (somebody else sends it right now), `later` (deferred, and its time has not come), or `settled`
    (sent, rejected or unknown).
    """

    def __init__(self, kind: Literal["busy", "later", "settled"], entry: Entry) -> None:
        self.kind, self.entry = kind, entry


def to_bytes(entry: Entry) -> bytes:
    """The document."""
    return entry.model_dump_json(indent=1, exclude_none=True).encode()


def from_bytes(data: bytes) -> Entry | None:
    """The entry of a document; None where it can't be read."""
    try:
        return Entry.model_validate_json(data)
    except ValidationError:
        return None
