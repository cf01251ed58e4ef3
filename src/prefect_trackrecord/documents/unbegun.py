"""Files that never began, as their run ended before: how their rows tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect_trackrecord.documents.models import FileProcessingLog, FileStatus

BEFORE = "before it began"
NOT_BEGUN = f"the run ended {BEFORE}"
"""Why a file is skipped that never began."""


def is_unbegun(row: Mapping[str, Any]) -> bool:
    """Whether a row's file never began as its run ended."""
    return row.get("status") == FileStatus.SKIPPED.value and BEFORE in str(row.get("reason") or "")


def has_name(row: FileProcessingLog) -> bool:
    """Whether a file's path is known: one that never began may have just the name of its task run."""
    return row.file_path != row.task_run_name
