"""Capture of a run: the RunTracker seed's names, usable with no Prefect running.

The names are loaded when they are first used: who reads a history does not load what writes one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "Attempt": "documents.models",
    "EmailResult": "documents.models",
    "FileProcessingLog": "documents.models",
    "FileStatus": "documents.models",
    "RecoveredRun": "tracking.recovery",
    "RunMetadata": "documents.models",
    "RunStatus": "documents.models",
    "RunTracker": "tracking.run_tracker",
    "TrackingStorage": "tracking.storage",
    "current_tracker": "tracking.run_tracker",
    "recover": "tracking.recovery",
    "resolve_storage": "tracking.storage",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"prefect_trackrecord.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
