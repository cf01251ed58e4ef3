"""The documents' models: the RunTracker seed's fields by their names, and additive ones with defaults.

`SCHEMA_VERSION` 1. Its history:

    1   2026-11   the seed's fields, and the additive ones below

A document without `schema_version` is the seed's own and loads.
"""

from __future__ import annotations

from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

SCHEMA_VERSION = 1


def _aware(value: Any) -> Any:
    """Read a datetime without time zone as UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return value
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=timezone.utc)
    return value


Moment = Annotated[datetime, BeforeValidator(_aware)]
"""An aware datetime; one without time zone is UTC."""
_MOMENT: TypeAdapter[datetime | None] = TypeAdapter(Moment | None)


def moment_of(value: Any) -> datetime | None:
    """The moment that a value stands for; None where it stands for none."""
    try:
        return _MOMENT.validate_python(value)
    except ValidationError:
        return None


class RunStatus(str, Enum):
    """How a run stands."""

    RUNNING = "running"
    SUCCESS = "success"
    PARTIAL_SUCCESS = "partial_success"
    FAILED = "failed"
    ABORTED = "aborted"


class FileStatus(str, Enum):
    """How a file came out."""

    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"


class Model(BaseModel):
    """Base of the documents' models: unknown fields of a newer version are let pass."""

    model_config = ConfigDict(extra="ignore", validate_assignment=False)


class Attempt(Model):
    """One try at a file, or at a run.

    Attributes:
        number: 1 for the first.
        started_at, ended_at: aware UTC; None where unknown.
        status: how this try came out (a `FileStatus` or `RunStatus` value, or `crashed`).
        error_type, error_message: what it failed with.
    """

    number: int = 1
    started_at: Moment | None = None
    ended_at: Moment | None = None
    status: str | None = None
    error_type: str | None = None
    error_message: str | None = None


class EmailResult(Model):
    """One email to one person. `status` is sent, failed or skipped.

    Beyond the seed: `outcome` is the mail server's own word: sent, deferred, rejected, unknown.
    """

    schema_version: int = SCHEMA_VERSION
    run_id: str | None = None
    agent_id: str | None = None
    agent_name: str | None = None
    email: str | None = None
    status: str = "sent"
    reason: str | None = None
    outcome: str | None = None
    message_id: str | None = None
    at: Moment | None = None


class FileProcessingLog(Model):
    """What became of one file in one run.

    Beyond the seed: the Prefect task run, start and end, every attempt with its error, the tail of the
    traceback, `error_fingerprint` (equal for equal errors, see `documents.fingerprint`), `reason` (why it was
    skipped) and `metrics`.
    """

    schema_version: int = SCHEMA_VERSION
    run_id: str = ""
    file_path: str
    file_type: str | None = None
    agent_id: str | None = None
    status: FileStatus
    error_type: str | None = None
    error_message: str | None = None
    processing_time_ms: int | None = None
    output_path: str | None = None
    reason: str | None = None
    task_name: str | None = None
    task_run_id: str | None = None
    task_run_name: str | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None
    attempts: list[Attempt] = Field(default_factory=list)
    traceback: str | None = None
    error_fingerprint: str | None = None
    metrics: dict[str, float] = Field(default_factory=dict)


class ErrorGroup(Model):
    """Failed files of one run that share a fingerprint: count and one example."""

    fingerprint: str
    error_type: str | None = None
    message: str | None = None
    count: int = 0
    example_path: str | None = None
    example_message: str | None = None
    first_seen: Moment | None = None
    last_seen: Moment | None = None


class Rollup(Model):
    """What a report needs of a run's rows, so that it reads none. Version 1.

    Attributes:
        files: count by status.
        file_types: count by file type and status.
        errors: the groups, largest first, at most `MAX_GROUPS`; `errors_cut` says how many more there are.
        durations_ms: count, sum, min, max, p50, p95 over the files' processing times.
    """

    version: int = 1
    files: dict[str, int] = Field(default_factory=dict)
    file_types: dict[str, dict[str, int]] = Field(default_factory=dict)
    errors: list[ErrorGroup] = Field(default_factory=list)
    errors_cut: int = 0
    durations_ms: dict[str, float] = Field(default_factory=dict)


class FailedTask(Model):
    """A task run of the flow that did not end well, whether tracked as a file or not."""

    task_run_id: str | None = None
    name: str | None = None
    state: str | None = None
    error_message: str | None = None
    duration_ms: int | None = None


class RunMetadata(Model):
    """One run. The first block of fields is the seed's; the rest is additive.

    Attributes:
        role: what the run does for others: `report` (a delivery report), `alert` (messages about the run
            `parent_run_id`), `upkeep` (recover); reports leave it out.
        parent_run_id: the run inside which this one ran.
        run_count: attempts of the flow so far; `attempts` tells each.
        parameters: masked.
        task_counts: Prefect task runs of the flow by state name.
        tracking_errors: what tracking itself could not do, by cause, counted.
        events_lost: events that could be kept nowhere; `tracking_errors` has their causes.
        generation: how often the documents were sealed (0: not yet).
        reason: why the run ended as it did, where that needs words ("recovered: its process died").
        items_parameter: the flow's parameter that takes its files, so that it can be run again with some of them.
        retry_of: the run whose failed files this one was started again for.
        never_began: files among the skipped that never began, as the run ended before.
        scheduled_for: when a schedule wanted it to begin; None for a run that no schedule asked for.
    """

    run_id: str
    command: str = ""
    subcommand: str | None = None
    config_path: str | None = None
    target_date: str | None = None
    started_at: Moment
    completed_at: Moment | None = None
    status: RunStatus = RunStatus.RUNNING
    total_files: int = 0
    success_count: int = 0
    failed_count: int = 0
    skipped_count: int = 0
    emails_sent: int = 0
    emails_failed: int = 0
    emails_skipped: int = 0
    email_results: list[EmailResult] = Field(default_factory=list)
    error_message: str | None = None

    schema_version: int = SCHEMA_VERSION
    error_type: str | None = None
    traceback: str | None = None
    reason: str | None = None
    role: str | None = None
    parent_run_id: str | None = None
    items_parameter: str | None = None
    retry_of: str | None = None
    scheduled_for: Moment | None = None
    flow_name: str | None = None
    flow_id: str | None = None
    flow_run_name: str | None = None
    deployment_id: str | None = None
    deployment_name: str | None = None
    state: str | None = None
    run_count: int = 1
    attempts: list[Attempt] = Field(default_factory=list)
    tags: list[str] = Field(default_factory=list)
    parameters: dict[str, Any] = Field(default_factory=dict)
    host: str | None = None
    pid: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    duration_ms: int | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    task_counts: dict[str, int] = Field(default_factory=dict)
    failed_tasks: list[FailedTask] = Field(default_factory=list)
    tracking_errors: dict[str, int] = Field(default_factory=dict)
    events_lost: int = 0
    never_began: int = 0
    rollup: Rollup | None = None
    generation: int = 0
