"""Capture of a run: the RunTracker seed's names, usable with no Prefect running."""

from __future__ import annotations

from prefect_trackrecord.documents.models import (
    Attempt,
    EmailResult,
    FileProcessingLog,
    FileStatus,
    RunMetadata,
    RunStatus,
)
from prefect_trackrecord.tracking.recovery import RecoveredRun, recover
from prefect_trackrecord.tracking.run_tracker import RunTracker, current_tracker
from prefect_trackrecord.tracking.storage import TrackingStorage, resolve_storage

__all__ = [
    "Attempt",
    "EmailResult",
    "FileProcessingLog",
    "FileStatus",
    "RecoveredRun",
    "RunMetadata",
    "RunStatus",
    "RunTracker",
    "TrackingStorage",
    "current_tracker",
    "recover",
    "resolve_storage",
]
