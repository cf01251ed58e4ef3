"""The documents' models under the seed's own path; they live in `documents.models`."""

from __future__ import annotations

from prefect_trackrecord.documents.models import (
    SCHEMA_VERSION,
    Attempt,
    EmailResult,
    ErrorGroup,
    FailedTask,
    FileProcessingLog,
    FileStatus,
    Rollup,
    RunMetadata,
    RunStatus,
)

__all__ = [
    "SCHEMA_VERSION",
    "Attempt",
    "EmailResult",
    "ErrorGroup",
    "FailedTask",
    "FileProcessingLog",
    "FileStatus",
    "Rollup",
    "RunMetadata",
    "RunStatus",
]
