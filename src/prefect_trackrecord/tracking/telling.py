"""What a run can be told as it goes on: files, emails, numbers.

Each call writes one event and returns; nothing here raises into the run that it tracks, except for a call that makes
no sense (a `UsageError`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents.models import FileStatus
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.journal.naming import told_apart
from prefect_trackrecord.journal.plain import MASK, clean, mask_text
from prefect_trackrecord.tracking.describing import (
    MAX_TEXT,
    TRACEBACK_TAIL,
    as_text,
    masked,
    number,
    text_or_none,
    traceback_tail,
)
from prefect_trackrecord.tracking.emails import email_rows

if TYPE_CHECKING:  # the type of what a flow's tracker gives; without Prefect there is none
    from prefect.client.schemas.objects import State

_WORDS = {status.value: status.value for status in FileStatus}


class Telling:
    """The calls of a tracker that say what happened."""

    _now: Callable[[], datetime]

    def _emit(self, event: ev.Event | bytes) -> bool:
        """Write an event, or one that is encoded already; whether it is stored or spooled."""
        raise NotImplementedError

    def track_file(
        self,
        file_path: str | os.PathLike[str],
        status: FileStatus | str = FileStatus.SUCCESS,
        *,
        error_type: str | None = None,
        error_message: str | None = None,
        output_path: str | os.PathLike[str] | None = None,
        file_type: str | None = None,
        agent_id: str | None = None,
        processing_time_ms: float | None = None,
        reason: str | None = None,
        traceback: str | BaseException | None = None,
        started_at: datetime | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> bool:
        """Say what became of one file. Said again of the same path, type and agent, it is another attempt.

        Args:
            file_path: which file; any text.
            status: success, failed or skipped.
            error_type, error_message, traceback: what it failed with.
            output_path: what was made of it.
            file_type: audio, transcript, report...
            agent_id: whose it is.
            processing_time_ms: how long it took, in milliseconds.
            reason: why it was skipped.
            started_at: when its processing began.
            metrics: numbers of it, by name.

        Returns:
            Whether the event is stored or spooled: True survives this process.

        Raises:
            UsageError: the tracker was not started.
            ValueError: `status` is no status.
        """
        now = self._now()
        word = _WORDS.get(status) if type(status) is str else None
        row: dict[str, Any] = {"file_path": masked(file_path), "status": word or FileStatus(status).value}
        given = (
            ("file_type", file_type),
            ("agent_id", agent_id),
            ("error_type", error_type),
            ("error_message", error_message),
            ("output_path", output_path),
            ("reason", reason),
        )
        for name, value in given:
            if value is not None:
                row[name] = text_or_none(value, MAX_TEXT)
        if traceback is not None:
            text = traceback_tail(traceback) if isinstance(traceback, BaseException) else as_text(traceback)
            row["traceback"] = mask_text(text[-TRACEBACK_TAIL:])
        if processing_time_ms is not None and (took := number(processing_time_ms)) is not None:
            row["processing_time_ms"] = round(took)
        if isinstance(started_at, datetime):
            row["started_at"] = started_at
        row["ended_at"] = now
        if metrics:
            row["metrics"] = self._finite(metrics)
        item = None
        if MASK in row["file_path"]:  # two that differ in a secret alone are two files
            item = f"{told_apart(row['file_path'], as_text(file_path))}\0{file_type or ''}\0{agent_id or ''}"
        return self._emit(ev.encode_file(now, row, item))

    def record_email_results(self, results: Mapping[str, Any] | Sequence[Any]) -> bool:
        """Say what became of emails.

        Args:
            results: `{"sent": [...], "failed": [...], "skipped": [...]}`, each entry a dict with any of `agent_id`,
                `agent_name`, `email`, `reason` (or `error`); or a list of `EmailResult`.

        Returns:
            Whether all of them are stored or spooled.

        Raises:
            UsageError: the tracker was not started.
        """
        now = self._now()
        stored = [self._emit(ev.EmailTracked(at=now, row=row)) for row in email_rows(results)]
        return all(stored)

    def metric(self, name: str, value: float, file: str | os.PathLike[str] | None = None) -> bool:
        """Note a number of the run, or of one of its files, for reports to compare; the last one of a name stays.

        A value that is no finite number is counted in the run's tracking errors instead, and False returned.

        Raises:
            UsageError: the tracker was not started.
        """
        path = None if file is None else masked(file)
        kept = self._finite({name: value})
        return all(
            [self._emit(ev.MetricTracked(at=self._now(), name=n, value=v, file=path)) for n, v in kept.items()]
            or [False]
        )

    def _finite(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        """The metrics that are finite numbers; the others are counted as tracking errors."""
        kept: dict[str, float] = {}
        for name, value in metrics.items():
            found = number(value)
            if found is None:
                self.tracking_failed(f"metric {as_text(name)} is no number: {text_or_none(value, 80)}")
            else:
                kept[masked(name)] = found
        return kept

    def final_state(self, data: Any = None, *, fail_over: float | None = None) -> State[Any]:
        """The Prefect state that tells how the run's items came out, for a flow to return.

        Args:
            data: what the flow returns.
            fail_over: the share of failed files above which the flow is to fail.

        Raises:
            UsageError: the run is no flow's; `complete` ends it.
        """
        raise UsageError("only the run of a tracked flow has a Prefect state; this run ends with complete()")

    def tracking_failed(self, cause: str, count: int = 1) -> None:
        """Count something that tracking itself could not do; it is shown in the run's metadata."""
        self._emit(ev.TrackingFailed(at=self._now(), cause=mask_text(clean(cause))[:300], count=count))
