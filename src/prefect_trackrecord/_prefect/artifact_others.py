"""Asks Prefect what the summaries of other runs say, and changes that of a run that was tried again; bounded in time.

A run's end waits for it: one request, and a few more where the run tries another one again; only then the history is
read. On any trouble the summary does without.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

from prefect_trackrecord._prefect import artifact_keys, posting
from prefect_trackrecord._prefect import artifact_story as story
from prefect_trackrecord._prefect.api import QUICK
from prefect_trackrecord._prefect.artifact_links import Links
from prefect_trackrecord._prefect.bounded import Requests
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.errors import TrackRecordError
from prefect_trackrecord.store import within
from prefect_trackrecord.tracking.failed import Mended, mended

logger = logging.getLogger("prefect_trackrecord")
MAX_TEXTS = 20
MAX_CHAIN = 5
HISTORY = 5.0
"""Seconds that the history may take to tell what came of another run's files."""


@dataclass(frozen=True)
class Others:
    """What was found of other runs.

    Attributes:
        before: the flow's runs before this one.
        first: the run that this one tries again.
        texts: what stands on that run's page.
        mended: what came of that run's failed files; None where that can't be told.
    """

    before: list[story.Told] = field(default_factory=list)
    first: story.Told | None = None
    texts: list[dict[str, Any]] = field(default_factory=list)
    mended: Mended | None = None


def ask(prefect: Requests, run: RunMetadata, archive: Archive) -> Others:
    """What a run's summary needs of other runs' summaries. Never raises."""
    before: list[story.Told] = []
    texts: list[dict[str, Any]] = []
    try:
        newest = posting.timeline(prefect, artifact_keys.key(run), story.MAX_RUNS + 2, QUICK)
        before = story.runs_before(run, newest)
        if run.retry_of:
            texts = posting.of_run(prefect, run.retry_of, MAX_TEXTS, QUICK)
    except Exception as exc:  # noqa: BLE001 - the summary does without
        logger.debug("other runs' summaries are not known: %s: %s", type(exc).__name__, exc)
    came = _mended(archive, run.retry_of) if run.retry_of else None
    return Others(before, next(filter(None, map(story.told, texts)), None), texts, came)


def _mended(archive: Archive, run_id: str) -> Mended | None:
    try:
        with within(HISTORY):
            return mended(archive.run(run_id), archive)
    except (TrackRecordError, OSError) as exc:
        logger.debug("what came of the files of run %s is not known: %s", run_id, exc)
        return None


def tell_first(
    prefect: Requests, run: RunMetadata, found: Others, links: Links, archive: Archive, deadline: float
) -> None:
    """Say in the summary of the run that was tried again, and of the one that it tried again, what came of it.

    Never raises.
    """
    texts, came = found.texts, found.mended
    try:
        for _ in range(MAX_CHAIN):
            first = _tell(prefect, run, texts, links, came)
            if first is None or first.retry_of is None or time.monotonic() > deadline:
                break
            came = _mended(archive, first.retry_of)
            texts = posting.of_run(prefect, first.retry_of, MAX_TEXTS, QUICK)
    except Exception as exc:  # noqa: BLE001 - tracking never breaks the flow
        logger.debug("the run %s is not told that it was tried again: %s", run.retry_of, exc)


def _tell(
    prefect: Requests, run: RunMetadata, texts: list[dict[str, Any]], links: Links, came: Mended | None
) -> story.Told | None:
    """Change one run's summary, and what stands in the place of its progress; which run it was."""
    summary = next((row for row in texts if story.told(row)), None)
    if summary is None:
        return None
    first = story.told(summary)
    made = None if came is None else story.with_retry(summary, run, links, came)
    if first is None or made is None:
        return first
    text, metadata = made
    posting.update(prefect, summary["id"], text, summary.get("description") or "", metadata)
    for row in texts:
        if row.get("key") == artifact_keys.run_key(first.run_id):
            posting.update(prefect, row["id"], text, row.get("description") or "", row.get("metadata_") or {})
    return first
