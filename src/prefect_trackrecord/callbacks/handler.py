"""What happens in a batch of files, and the base of those who hear of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from prefect_trackrecord.documents.models import FileStatus

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class BatchEvent:
    """A batch as it stands.

    Attributes:
        batch_id: tells batches apart.
        total_files: how many there will be; None where nobody knows.
        counts: files so far, by status.
        duration_ms: since the batch's start.
    """

    batch_id: str
    total_files: int | None = None
    counts: Mapping[FileStatus, int] = field(default_factory=dict)
    duration_ms: float = 0.0


@dataclass(frozen=True)
class FileEvent:
    """Something that happened to one file of a batch.

    Attributes:
        file_path: which file.
        index, total: its place, from 0, and how many files there are, where known.
        status: how it came out; None at its start.
        error: what it failed with: the exception, or a message.
        duration_ms: how long it took; measured from `on_file_start` where nobody said it.
        reason: why it was skipped.
        done, failed: files of the batch that have an outcome so far, this one's included, and those that failed.
    """

    batch_id: str
    file_path: PathLike
    index: int | None = None
    total: int | None = None
    status: FileStatus | None = None
    error: BaseException | str | None = None
    duration_ms: float | None = None
    output_path: PathLike | None = None
    file_type: str | None = None
    agent_id: str | None = None
    reason: str | None = None
    done: int = 0
    failed: int = 0


Key = tuple[str, str, int | None]
"""What tells a file of a batch from the others."""


def key_of(file: FileEvent) -> Key:
    """The file's key."""
    return (file.batch_id, os.fspath(file.file_path), file.index)


class CallbackHandler:
    """Hears what happens in a batch. Override what you need; the methods may be called from any thread."""

    def on_batch_start(self, batch: BatchEvent) -> None:
        """A batch begins."""

    def on_file_start(self, file: FileEvent) -> None:
        """A file's processing begins."""

    def on_file_end(self, file: FileEvent) -> None:
        """A file's processing ended, as `file.status` says."""

    def on_file_error(self, file: FileEvent) -> None:
        """A file failed, with `file.error`. `on_file_end` may or may not follow."""

    def on_batch_end(self, batch: BatchEvent) -> None:
        """A batch ended."""

    def on_handler_error(self, cause: str) -> None:
        """Some handler raised; told each time."""
