"""What happens to runs, files and records, as Prefect events, so that automations can act on it.

How they are sent is in `events_queue`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from prefect import Flow
from prefect.client.schemas import FlowRun
from prefect.context import FlowRunContext

from prefect_trackrecord._prefect import runs
from prefect_trackrecord._prefect import settings as prefect_settings
from prefect_trackrecord._prefect.events_queue import emit, said_of
from prefect_trackrecord.documents.attempts import RECOVERED
from prefect_trackrecord.documents.models import EmailResult, FileProcessingLog, RunMetadata, RunStatus
from prefect_trackrecord.documents.silent import NO_END
from prefect_trackrecord.journal import watching
from prefect_trackrecord.journal.plain import mask_text
from prefect_trackrecord.settings import Settings

MAX_TEXT = 500
_ENDS = {
    RunStatus.SUCCESS: "completed",
    RunStatus.PARTIAL_SUCCESS: "partial",
    RunStatus.FAILED: "failed",
    RunStatus.ABORTED: "aborted",
}


def is_held(flow: Flow[..., Any] | None, flow_run: FlowRun) -> bool:
    """Whether failed files are told at the run's end: the flow may be retried, and they may yet come through."""
    return bool((flow.retries if flow is not None else 0) or flow_run.empirical_policy.retries)


def know(flow_run: FlowRun, flow: Flow[..., Any] | None = None) -> None:
    """Note of a flow run that is about to be told of what its history does not hold.

    Args:
        flow_run: as Prefect knows it.
        flow: its flow, where that is at hand.
    """
    said = said_of(str(flow_run.id), "")
    said.held = is_held(flow, flow_run)
    ids = {kind: getattr(flow_run, f"{kind.replace('-', '_')}_id", None) for kind in ("work-queue", "work-pool")}
    said.place = [{"prefect.resource.id": f"prefect.{k}.{v}", _ROLE: k} for k, v in ids.items() if v is not None]


def run_ended(run: RunMetadata, place: str, settings: Settings) -> None:
    """A run has ended: `trackrecord.run.completed`, `.partial`, `.failed` or `.aborted`.

    Args:
        run: the sealed run.
        place: where its history is.
        settings: whether events are wanted.
    """
    end = _ENDS.get(run.status)
    if end is not None:
        kind, once = f"trackrecord.run.{end}", f"{run.run_count}"
        emit(settings, kind, run.run_id, _resource(run, place), _related(run), _of_run(run, place), once)


def run_recovered(run: RunMetadata, place: str, settings: Settings) -> None:
    """Somebody else closed a run that could not do it itself: `trackrecord.run.recovered`."""
    payload = {**_of_run(run, place), "reason": run.reason or RECOVERED}
    kind, once = "trackrecord.run.recovered", f"{run.run_count}"
    emit(settings, kind, run.run_id, _resource(run, place), _related(run), payload, once)


def files_failed(run_id: str, rows: Sequence[FileProcessingLog], settings: Settings) -> None:
    """Failed files of a run that has ended, of which no event was sent when they failed.

    Their process was killed, or they never began; or the flow might have been retried (see `is_held`).

    Args:
        run_id: the run.
        rows: its failed files.
        settings: whether events are wanted.
    """
    said = said_of(run_id, "")
    untold = [
        row
        for row in rows
        if row.task_run_id and row.task_run_id not in said.task_runs and (said.held or _told_nothing(row))
    ]
    for n, row in enumerate(untold):
        if not file_failed(run_id, row.model_dump(), settings):
            said_of(run_id, "trackrecord.file.failed").left_out += len(untold) - n - 1
            return


def _told_nothing(row: FileProcessingLog) -> bool:
    """Whether its own process told no outcome of it."""
    return not row.attempts or (row.error_message or "").startswith(NO_END)


def file_failed(run_id: str, row: Mapping[str, Any], settings: Settings) -> bool:
    """A file has failed: `trackrecord.file.failed`, rationed; whether it was sent."""
    path = str(row.get("file_path"))
    resource = {
        "prefect.resource.id": f"trackrecord.run.{run_id}.file.{path}"[:MAX_TEXT],
        "prefect.resource.name": path[-MAX_TEXT:],
        "trackrecord.error-type": str(row.get("error_type") or ""),
    }
    related = [_run_of(run_id), *said_of(run_id, "").place]
    if row.get("task_run_id"):
        related.append({"prefect.resource.id": f"prefect.task-run.{row['task_run_id']}", _ROLE: "task-run"})
    payload = {
        "run_id": run_id,
        "file_path": path[-MAX_TEXT:],
        "file_type": row.get("file_type"),
        "error_type": row.get("error_type"),
        "error_message": mask_text(str(row.get("error_message") or ""))[:MAX_TEXT],
        "attempts": len(row.get("attempts") or ()),
    }
    once = f"{row['task_run_id']} {payload['attempts']}" if row.get("task_run_id") else None
    sent = emit(settings, "trackrecord.file.failed", run_id, resource, related, payload, once)
    if sent:
        said_of(run_id, "").task_runs.add(str(row.get("task_run_id")))
    return sent


def record_changed(change: watching.StatusChange) -> None:
    """A business record has come into another status: `trackrecord.record.status-changed`, rationed."""
    run = runs.find(change.run_id)
    if run is None and FlowRunContext.get() is None:
        return  # nobody's flow
    resource = {
        "prefect.resource.id": f"trackrecord.record.{change.record_type}.{change.record_id}"[:MAX_TEXT],
        "prefect.resource.name": change.record_id[:MAX_TEXT],
        "trackrecord.status": change.new,
    }
    payload = {
        "run_id": change.run_id,
        "process": change.process,
        "record_id": change.record_id[:MAX_TEXT],
        "record_type": change.record_type,
        "old_status": change.old,
        "new_status": change.new,
        "reason": mask_text(change.reason)[:MAX_TEXT],
    }
    kind = "trackrecord.record.status-changed"
    settings = run.archive.settings if run is not None else _settings()
    emit(settings, kind, change.run_id, resource, [_run_of(change.run_id)], payload)


def report_delivered(
    run_id: str | None, name: str, period: str, emails: Sequence[EmailResult], payload: dict[str, Any]
) -> None:
    """A delivery report is stored and its mails are handed over: `trackrecord.report.delivered`.

    Args:
        run_id: the delivery's own run.
        name: the report's short name.
        period: its days.
        emails: what became of each mail.
        payload: what else is told: its verdict, where its page is.
    """
    counts = {status: sum(1 for e in emails if e.status == status) for status in ("sent", "failed", "skipped")}
    resource = {
        "prefect.resource.id": f"trackrecord.report.{name}.{period}"[:MAX_TEXT],
        "prefect.resource.name": f"{name} {period}"[:MAX_TEXT],
        "trackrecord.delivered": "no" if counts["failed"] else "yes",
    }
    told = {"name": name, "period": period, "emails": counts, **payload}
    related = [_run_of(run_id)] if run_id else []
    emit(prefect_settings.current(), "trackrecord.report.delivered", run_id or name, resource, related, told)


_ROLE = "prefect.resource.role"


@functools.lru_cache(maxsize=1)
def _settings() -> Settings:
    """Read once: records change often."""
    return prefect_settings.current()


def _run_of(run_id: str) -> dict[str, str]:
    return {"prefect.resource.id": f"prefect.flow-run.{run_id}", _ROLE: "flow-run"}


def _resource(run: RunMetadata, place: str) -> dict[str, str]:
    return {
        "prefect.resource.id": f"trackrecord.run.{run.run_id}",
        "prefect.resource.name": run.flow_run_name or run.command or run.run_id,
        "trackrecord.status": run.status.value,
        "trackrecord.flow": run.flow_name or run.command,
        "trackrecord.role": run.role or "run",
        "trackrecord.storage": place,
    }


def _related(run: RunMetadata) -> list[dict[str, str]]:
    found = [_run_of(run.run_id)]
    if run.flow_id:
        found.append({"prefect.resource.id": f"prefect.flow.{run.flow_id}", _ROLE: "flow"})
    if run.deployment_id:
        found.append({"prefect.resource.id": f"prefect.deployment.{run.deployment_id}", _ROLE: "deployment"})
    found += said_of(run.run_id, "").place
    return found + [{"prefect.resource.id": f"prefect.tag.{tag}", _ROLE: "tag"} for tag in run.tags[:20]]


def _of_run(run: RunMetadata, place: str) -> dict[str, Any]:
    groups = run.rollup.errors[:3] if run.rollup else []
    return {
        "run_id": run.run_id,
        "flow": run.flow_name or run.command,
        "flow_run": run.flow_run_name,
        "status": run.status.value,
        "files": run.total_files,
        "succeeded": run.success_count,
        "failed": run.failed_count,
        "skipped": run.skipped_count,
        "emails_failed": run.emails_failed,
        "duration_ms": run.duration_ms,
        "error_type": run.error_type,
        "error_message": run.error_message[:MAX_TEXT] if run.error_message else None,
        "errors": [
            {"type": g.error_type, "message": (g.message or "")[:MAX_TEXT], "count": g.count, "example": g.example_path}
            for g in groups
        ],
        "retry_of": run.retry_of,
        "storage": place,
    }


watching.on_status(record_changed)
