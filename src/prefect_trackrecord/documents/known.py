"""What this process wrote of a run and need not ask the store for. A wrong guess costs a round, never a document."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from prefect_trackrecord.errors import StoreError
from prefect_trackrecord.store.base import Blob, Store

logger = logging.getLogger("prefect_trackrecord")
_PATIENCE = 0.25


@dataclass(frozen=True)
class Known:
    """What is known of a run's objects.

    Attributes:
        segments: by name, those that were brought into the store; what it lists under another etag is read again.
        documents: by key, the etag that a document has; None for one that is not there.
    """

    segments: Mapping[str, Blob] = field(default_factory=dict)
    documents: Mapping[str, str | None] = field(default_factory=dict)


class Announcement:
    """A run's document as it starts, on its way into the store.

    Args:
        key: the document's.
        body: its bytes.
    """

    def __init__(self, key: str, body: bytes) -> None:
        self._key, self._body = key, body
        self._turn = threading.Lock()
        self._begun = self._dropped = False
        self._etag: str | None = None

    def write(self, store: Store) -> None:
        """Write it, unless a document is there already or the run has ended meanwhile; never raises a `StoreError`."""
        with self._turn:
            if self._dropped:
                return
            self._begun = True
            try:
                self._etag = store.create(self._key, self._body)
            except StoreError as exc:
                logger.debug("%s is not announced: %s", self._key, exc)
            self._body = b""

    def settle(self) -> dict[str, str | None]:
        """The run has ended: what is not on its way yet need not be written. What is known of the document then."""
        if not self._turn.acquire(timeout=_PATIENCE):
            return {}
        try:
            self._dropped = True
            return {self._key: self._etag} if self._etag or not self._begun else {}
        finally:
            self._turn.release()
