"""One line of the report from one run, group, file, flow or email."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from prefect_trackrecord.documents.models import EmailResult, RunMetadata
from prefect_trackrecord.history import (
    GroupChange,
    ItemChange,
    Numbers,
    duration_ms,
    file_counts,
    flow_key,
)
from prefect_trackrecord.report.rows import (
    FileLine,
    FlowLine,
    FlowNote,
    GroupLine,
    Listing,
    RunLine,
    Undelivered,
)

Link = Callable[[RunMetadata | None], str | None]


def linker(ui_url: str | None) -> Link:
    """A function that gives a run's address in the Prefect UI; None for runs that Prefect does not know."""
    base = (ui_url or "").rstrip("/")

    def link(run: RunMetadata | None) -> str | None:
        if run is None or not base.startswith(("http://", "https://")):
            return None
        by_prefect = run.flow_id or run.flow_name or run.flow_run_name
        return f"{base}/runs/flow-run/{quote(run.run_id, safe='')}" if by_prefect else None

    return link


def run_line(run: RunMetadata, link: Link) -> RunLine:
    """The line of a run."""
    files = file_counts(run)
    return RunLine(
        run_id=run.run_id,
        name=run.flow_run_name,
        flow=flow_key(run),
        status=run.status.value,
        started_at=run.started_at,
        completed_at=run.completed_at,
        duration_ms=duration_ms(run),
        files=files.total,
        files_failed=files["failed"],
        files_skipped=files["skipped"],
        error=run.error_message or run.error_type,
        reason=run.reason,
        link=link(run),
    )


def group_line(change: GroupChange, by_id: Mapping[str, RunMetadata], link: Link, limit: int) -> GroupLine:
    """The line of an error group, with its newest runs."""
    group = change.group
    newest = group.runs[: -limit - 1 : -1]
    runs = tuple(run_line(by_id[run_id], link) for _, run_id in newest)
    return GroupLine.model_validate(
        {
            "fingerprint": group.fingerprint,
            "state": change.state.value,
            "kind": group.kind,
            "error_type": group.error_type,
            "message": group.message,
            "count": group.count if change.in_window else 0,
            "previous": change.previous,
            "first_seen": change.first_seen,
            "last_seen": group.last_seen,
            "flows": tuple(sorted(group.flows)),
            "runs": Listing[RunLine](items=runs, total=len(group.runs)),
            "example_path": group.example_path,
            "example_message": group.example_message,
        }
    )


def file_line(change: ItemChange, by_id: Mapping[str, RunMetadata], link: Link) -> FileLine:
    """The line of a file that changed, or that fails still."""
    return FileLine.model_validate(
        {
            "path": change.path,
            "flow": change.flow,
            "state": change.state.value,
            "error_type": change.error_type,
            "error_message": change.error_message,
            "since": change.since,
            "run_id": change.run_id,
            "link": link(by_id.get(change.run_id)),
        }
    )


def flow_line(name: str, runs: Sequence[RunMetadata], link: Link, note: FlowNote | None = None) -> FlowLine:
    """The line of a flow over its runs, which are given oldest first."""
    numbers = Numbers.total(runs)
    return FlowLine(
        name=name,
        runs=numbers.runs.total,
        succeeded=numbers.runs["success"],
        partial=numbers.runs["partial_success"],
        failed=numbers.runs["failed"],
        aborted=numbers.runs["aborted"],
        running=numbers.runs["running"],
        files=numbers.files.total,
        files_failed=numbers.files["failed"],
        success_rate=numbers.success_rate,
        p50_ms=numbers.durations.p50,
        p95_ms=numbers.durations.p95,
        last=run_line(runs[-1], link),
        note=note,
    )


def undelivered(run: RunMetadata, result: EmailResult, link: Link) -> Undelivered:
    """The line of an email that was not sent."""
    return Undelivered(
        email=result.email,
        name=result.agent_name,
        agent_id=result.agent_id,
        status=result.status,
        outcome=result.outcome,
        reason=result.reason,
        flow=flow_key(run),
        run_id=run.run_id,
        link=link(run),
    )
