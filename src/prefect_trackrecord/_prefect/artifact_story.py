"""What a run's summary says of other runs: those before it, the one it tries again, and those that tried it again.

Each summary carries the few facts that others need of it in its artifact's metadata, so that a list of artifacts tells
which runs there were. What came of files that were tried again the history alone knows (`tracking.failed`). Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from prefect_trackrecord._prefect.artifact_links import Links
from prefect_trackrecord._prefect.artifact_markdown import link, table
from prefect_trackrecord.documents.models import RunMetadata, RunStatus, moment_of
from prefect_trackrecord.pages.words import plural
from prefect_trackrecord.tracking.failed import Mended

MAX_RUNS = 10
MAX_RETRIES = 10
STATUS = "status"
RETRIES = "retries"
VERDICTS = {
    RunStatus.SUCCESS: "✅ success",
    RunStatus.PARTIAL_SUCCESS: "⚠️ partial success",
    RunStatus.FAILED: "❌ failed",
    RunStatus.ABORTED: "🛑 aborted",
    RunStatus.RUNNING: "… running",
}


@dataclass(frozen=True)
class Told:
    """A run as its summary's metadata tells it.

    Attributes:
        run_id, name: the flow run.
        status: how it ended.
        started: when it began.
        files, failed: how many files it had, and how many of them failed.
        retry_of: the run that it tried again.
    """

    run_id: str
    name: str
    status: RunStatus
    started: datetime
    files: int
    failed: int
    retry_of: str | None = None


def metadata(run: RunMetadata) -> dict[str, str]:
    """What others need of a run, as its summary's metadata."""
    found = {
        STATUS: run.status.value,
        "name": _name(run),
        "started": run.started_at.isoformat(),
        "files": str(run.total_files),
        "failed": str(run.failed_count),
    }
    return {**found, "retry_of": run.retry_of} if run.retry_of else found


def told(row: Mapping[str, Any]) -> Told | None:
    """The run of which an artifact is the summary; None for any other artifact, and for one that says too little."""
    known = row.get("metadata_") or {}
    try:
        started = moment_of(known["started"])
        if started is None or not row.get("flow_run_id"):
            return None
        return Told(
            str(row["flow_run_id"]),
            str(known["name"]),
            RunStatus(known[STATUS]),
            started,
            int(known["files"]),
            int(known["failed"]),
            known.get("retry_of"),
        )
    except (KeyError, ValueError, TypeError):
        return None


def runs_before(run: RunMetadata, rows: Sequence[Mapping[str, Any]]) -> list[Told]:
    """The runs that began before a run did, newest first.

    Args:
        run: the run.
        rows: summaries of its flow as the API gives them, newest first; a run may have several.
    """
    found: dict[str, Told] = {}
    for row in rows:
        one = told(row)
        if one is not None and one.run_id != run.run_id and one.started < run.started_at:
            found.setdefault(one.run_id, one)
    return sorted(found.values(), key=lambda one: one.started, reverse=True)[:MAX_RUNS]


def before(runs: Sequence[Told], links: Links) -> list[str]:
    """The section about the runs before."""
    if not runs:
        return []
    rows = [
        (
            link(one.name, links.flow_run(one.run_id)),
            VERDICTS[one.status],
            f"{one.failed:,} of {one.files:,}" if one.files else "",
            f"{one.started.astimezone(timezone.utc):%Y-%m-%d %H:%M}",
        )
        for one in runs
    ]
    return ["", "## The runs before", "", *table(("run", "verdict", "failed files", "started (UTC)"), rows)]


def retry_line(run: RunMetadata, first: Told | None, links: Links, mended: Mended | None = None) -> list[str]:
    """What a run says that tries another one's failed files again.

    Args:
        run: the run.
        first: the one that it tries again.
        links: what may be linked to.
        mended: what came of that one's files; None where that can't be told.
    """
    if run.retry_of is None:
        return []
    of = link(first.name if first else run.retry_of, links.flow_run(run.retry_of))
    if mended is None:
        return [f"Retry of {of}.", ""]
    came = mended.came(run.run_id)
    return [f"Retry of {of}: {came:,} of {plural(came + len(mended.still), 'file')} came through now.", ""]


def with_retry(
    row: Mapping[str, Any], run: RunMetadata, links: Links, mended: Mended
) -> tuple[str, dict[str, str]] | None:
    """The text and metadata of a run's summary, with what a run came to that tried its failed files again.

    Args:
        row: the summary of the first run as the API gives it.
        run: the run that tried again.
        links: what may be linked to.
        mended: what came of the first run's failed files.

    Returns:
        None for an artifact that is no such summary.
    """
    first, text = told(row), row.get("data")
    if first is None or not isinstance(text, str) or not mended.failed:
        return None
    known: dict[str, str] = dict(row["metadata_"])
    retries: dict[str, str] = _names(known.get(RETRIES))
    had = bool(retries)
    retries[run.run_id] = _name(run)
    retries = dict(list(retries.items())[-MAX_RETRIES:])
    parts = text.split("\n\n")
    parts[2 : 3 if had else 2] = [_retries(mended, retries, links)]  # below the verdict, and the run with its counts
    return "\n\n".join(parts), {**known, RETRIES: json.dumps(retries)}


def _names(text: str | None) -> dict[str, str]:
    """The runs that tried one again so far, each with its name."""
    found = json.loads(text or "{}")
    return {run_id: one if isinstance(one, str) else str(one["name"]) for run_id, one in found.items()}


def _retries(mended: Mended, retries: Mapping[str, str], links: Links) -> str:
    came = len(mended.failed) - len(mended.still)
    of = plural(len(mended.failed), "file")
    if not mended.still:
        verdict = f"✅ **Fixed since**: its {of} came through when tried again"
    else:
        verdict = f"**Tried again**: {came:,} of its {of} came through"
    lines = [f"- {link(name, links.flow_run(run_id))}: {mended.came(run_id):,}" for run_id, name in retries.items()]
    return "\n".join([verdict, *lines])


def _name(run: RunMetadata) -> str:
    return (run.flow_run_name or run.command or run.run_id)[:200]
