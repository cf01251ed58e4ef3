"""The email log of alerts: a small run of its own, begun with the first message that leaves.

A message about a run is no work of that run: it must neither change how it ended nor count among its mails.
"""

from __future__ import annotations

import threading
from types import TracebackType

from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import EmailResult
from prefect_trackrecord.tracking import RunTracker, TrackingStorage

ALERT_ROLE = "alert"


class AlertLog:
    """Notes what became of each message; a context manager, which ends the run.

    Args:
        archive: where the run is kept.
        about: the run that is told of, which stands as the parent; the current one where None.
    """

    def __init__(self, archive: Archive, about: str | None = None) -> None:
        self._archive, self._about = archive, about
        self._tracker: RunTracker | None = None
        self._lock = threading.Lock()

    def note(self, result: EmailResult) -> None:
        """Note one result at once; what was sent earlier is in the log of the one who sent it."""
        if (result.status, result.outcome) == ("skipped", "sent"):
            return
        with self._lock:
            if self._tracker is None:
                storage = TrackingStorage.around(self._archive)
                self._tracker = RunTracker("alert", storage=storage, role=ALERT_ROLE, parent_run_id=self._about).start()
        self._tracker.record_email_results([result])

    def __enter__(self) -> AlertLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if self._tracker is not None:
            self._tracker.__exit__(kind, exc, tb)
