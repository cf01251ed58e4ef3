"""Reads runs and their rows back: sealed ones from their documents, others from what their journal says so far."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from prefect_trackrecord.documents import layout, window
from prefect_trackrecord.documents.kinds import FACTS
from prefect_trackrecord.documents.models import EmailResult, FileProcessingLog, RunMetadata, RunStatus
from prefect_trackrecord.errors import DamagedDocumentError, RunNotFoundError
from prefect_trackrecord.store.base import Store

if TYPE_CHECKING:
    from prefect_trackrecord.documents.fold import Documents


class Reading:
    """The read side of an archive."""

    @property
    def store(self) -> Store:
        """Where the documents are."""
        raise NotImplementedError

    @property
    def spool(self) -> Path:
        """What this host still keeps for the store."""
        raise NotImplementedError

    def runs(
        self,
        start: window.Bound = None,
        end: window.Bound = None,
        command: str | None = None,
        status: str | None = None,
    ) -> window.WindowResult:
        """The runs of a window and the documents that can't be read; see `window.read_window`."""
        return window.read_window(self.store, start, end, command, status)

    def facts(
        self,
        start: window.Bound = None,
        end: window.Bound = None,
        command: str | None = None,
        status: str | None = None,
    ) -> window.WindowResult:
        """As `runs`, in a fraction of the time and without some fields, for sums and lists; see `projection`."""
        return window.read_window(self.store, start, end, command, status, kind=FACTS)

    def run(self, run_id: str) -> RunMetadata:
        """One run; of a run whose documents are not made yet what its journal says so far.

        Raises:
            RunNotFoundError: there is none.
            DamagedDocumentError: its document can't be read.
        """
        from prefect_trackrecord.documents.saving import known_day

        day = known_day(self.store, run_id)
        if day is not None and (blob := self.store.get(layout.run_key(run_id, day))) is not None:
            key = layout.run_key(run_id, day)
            try:
                run = RunMetadata.model_validate_json(blob.data)
            except ValidationError as exc:
                way_out = "trackrecord recover makes it again from the journal"
                raise DamagedDocumentError(key, f"{window.first_line(exc)}; {way_out}") from None
            if run.status is not RunStatus.RUNNING:
                return run
        if (live := self._live(run_id)) is not None:
            return live.run
        if day is not None and blob is not None:
            return run
        raise RunNotFoundError(f"no run {run_id} in {self.store.url}; trackrecord runs list shows what is there")

    def _live(self, run_id: str) -> Documents | None:
        """What the journal says of a run so far, with what this host still keeps; None where it says nothing."""
        from prefect_trackrecord.documents.run_journal import RunJournal

        fold = RunJournal.read(self.store, run_id, self.spool).fold().fold
        return fold.documents(fold.end()) if fold.started and fold.tracked else None

    def files(self, run: RunMetadata) -> list[FileProcessingLog]:
        """A run's file rows; of a run that is still running those so far.

        Raises:
            DamagedDocumentError: the document can't be read.
        """
        if run.status is RunStatus.RUNNING and (live := self._live(run.run_id)) is not None:
            return window.FILE_ROWS.validate_python(list(live.files))
        return self._rows(run, layout.files_key, window.FILE_ROWS)

    def emails(self, run: RunMetadata) -> list[EmailResult]:
        """A run's email rows.

        Raises:
            DamagedDocumentError: the document can't be read.
        """
        return self._rows(run, layout.emails_key, window.EMAIL_ROWS)

    def _rows(self, run: RunMetadata, key: Callable[[str, str], str], adapter: Any) -> list[Any]:
        return window.read_rows(self.store, key(run.run_id, layout.day_of(run.started_at)), adapter)
