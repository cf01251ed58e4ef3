"""What an alert says: one incident with its newest run, as a frozen model; `pages.alert` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Literal

from prefect_trackrecord.documents.models import FileProcessingLog, FileStatus, Moment, RunMetadata, RunStatus
from prefect_trackrecord.history import file_counts
from prefect_trackrecord.report.incidents import Incident
from prefect_trackrecord.report.lines import linker, run_line
from prefect_trackrecord.report.rows import FlowNote, Frozen, Listing, RunLine

MAX_FILES = 50
MAX_TRACEBACK = 15
MAX_DUE = 6
_WORDS = {
    "failed": "failed",
    "late": "is late",
    "missed": "did not run",
    "slow": "was slow",
    "stuck": "seems stuck",
}


class AlertFile(Frozen):
    """A file that failed, or a task."""

    path: str
    error: str | None = None


class Alert(Frozen):
    """One message about one incident.

    Attributes:
        state: `alert`, or `recovery` for the notice that it is well again.
        headline: what happened, in a few words; also the mail's subject.
        sentence: the same in one sentence, with the numbers.
        since: when the incident began; `until` when it ended.
        count: bad runs (or moments of the schedule) in it so far.
        due: the newest of those moments, the latest first.
        run: the newest bad run; for a recovery the run that made it well.
        error: its error, whole; `traceback` the last lines.
        files: the files that failed in it, and `tasks` the task runs that did.
    """

    state: Literal["alert", "recovery"]
    kind: Literal["failed", "late", "missed", "slow", "stuck"]
    flow: str
    headline: str
    sentence: str
    since: Moment
    until: Moment | None = None
    count: int = 1
    due: tuple[Moment, ...] = ()
    run: RunLine | None = None
    error: str | None = None
    traceback: str | None = None
    files: Listing[AlertFile] = Listing[AlertFile]()
    tasks: Listing[AlertFile] = Listing[AlertFile]()
    note: FlowNote | None = None
    generated_at: Moment


def build_alert(
    incident: Incident,
    run: RunMetadata | None,
    *,
    now: datetime,
    rows: Sequence[FileProcessingLog] = (),
    note: FlowNote | None = None,
    ui_url: str | None = None,
    recovery: bool = False,
) -> Alert:
    """The message about an incident: an alert, or the notice that it is well again.

    Args:
        incident: which.
        run: its newest bad run, or the one that made it well; None where none came.
        now: the present.
        rows: the run's file rows.
        note: what people wrote about the flow.
        ui_url: base of links into the Prefect UI.
        recovery: whether it is the notice of recovery, for a closed incident.
    """
    failed = [row for row in rows if row.status is FileStatus.FAILED] if not recovery else []
    tasks = [t for t in run.failed_tasks if t.error_message or t.name] if run is not None and not recovery else []
    return Alert(
        state="recovery" if recovery else "alert",
        kind=incident.kind,
        flow=incident.flow,
        headline=_recovered(incident) if recovery else _headline(incident, run),
        sentence=_end(incident) if recovery else _sentence(incident, run, now),
        since=incident.opened_at,
        until=incident.closed_at,
        count=len(incident.bad),
        due=_due(incident),
        run=run_line(run, linker(ui_url)) if run is not None else None,
        error=_error(run) if run is not None and not recovery else None,
        traceback=_tail(run.traceback) if run is not None and not recovery else None,
        files=Listing[AlertFile](
            items=tuple(AlertFile(path=r.file_path, error=_joined(r.error_type, r.error_message)) for r in failed)[
                :MAX_FILES
            ],
            total=len(failed),
        ),
        tasks=Listing[AlertFile](
            items=tuple(AlertFile(path=t.name or "task", error=t.error_message) for t in tasks[:MAX_FILES]),
            total=len(tasks),
        ),
        note=note,
        generated_at=now,
    )


def _due(incident: Incident) -> tuple[datetime, ...]:
    if incident.family != "schedule":
        return ()
    found = []
    for moment in incident.bad[: -MAX_DUE - 1 : -1]:
        with suppress(ValueError):  # by another's hand
            found.append(datetime.fromisoformat(moment))
    return tuple(found)


def _headline(incident: Incident, run: RunMetadata | None) -> str:
    what = _WORDS[incident.kind]
    if incident.kind == "failed" and run is not None:
        files = file_counts(run)
        error = _joined(run.error_type, run.error_message)
        if run.status is RunStatus.ABORTED:
            what = "was aborted"
        elif files["failed"]:
            return f"{incident.flow}: {files['failed']:,} of {files.total:,} files failed"
        if error:
            return f"{incident.flow} {what}: {error}"
    return f"{incident.flow} {what}"


def _recovered(incident: Incident) -> str:
    return f"{incident.flow} is well again"


def _sentence(incident: Incident, run: RunMetadata | None, now: datetime) -> str:
    count = len(incident.bad)
    if incident.kind in {"late", "missed"}:
        waiting = _span((now - incident.opened_at).total_seconds())
        if count > 1:
            return f"{count:,} scheduled runs in a row came late or not at all; the first was due {waiting} ago."
        return f"A run was due {waiting} ago, and " + ("came late." if run is not None else "has not begun.")
    if incident.kind == "stuck" and run is not None:
        return f"A run has been going on for {_span((now - run.started_at).total_seconds())}, far longer than usual."
    if incident.kind == "slow" and run is not None:
        took = _span((run.duration_ms or 0) / 1000)
        return f"A run took {took}, more than twice what 95 of 100 of its runs take."
    if count > 1:
        return f"{count:,} runs in a row failed or were aborted."
    reason = run.reason if run is not None else None
    what = {RunStatus.ABORTED: "was aborted", RunStatus.PARTIAL_SUCCESS: "came through in part"}
    said = what.get(run.status, "failed") if run is not None else "failed"
    return f"The run {said}{f': {reason}' if reason else ''}."


def _end(incident: Incident) -> str:
    lasted = _span(((incident.closed_at or incident.opened_at) - incident.opened_at).total_seconds())
    count = len(incident.bad)
    runs = "1 bad run" if count == 1 else f"{count:,} bad runs"
    return f"After {runs} in {lasted} a run came through."


def _span(seconds: float) -> str:
    minutes = max(0, round(seconds / 60))
    if minutes < 60:
        return f"{minutes} min" if minutes else "less than a minute"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} days"


def _joined(error_type: str | None, message: str | None) -> str | None:
    return ": ".join(part for part in (error_type, message) if part) or None


def _error(run: RunMetadata) -> str | None:
    return _joined(run.error_type, run.error_message) or run.reason


def _tail(traceback: str | None) -> str | None:
    lines = (traceback or "").rstrip().splitlines()
    return "\n".join(lines[-MAX_TRACEBACK:]) or None
