"""The report's totals, each with its value in the previous period."""

from __future__ import annotations

from prefect_trackrecord.history import Counts, Numbers
from prefect_trackrecord.report.model import Figure


def figures(
    now: Numbers, before: Numbers, compared: bool, records: tuple[int, int | None] | None = None
) -> tuple[Figure, ...]:
    """The totals, each with that of the previous period where anything ran then.

    Args:
        now: the numbers of the period.
        before: those of the previous one.
        compared: whether anything ran then.
        records: how many records there were in both, where records were read at all.
    """

    def figure(key: str, label: str, get: str, **options: object) -> Figure:
        value, previous = _measure(now, get), _measure(before, get) if compared else None
        return Figure.model_validate({"key": key, "label": label, "value": value, "previous": previous, **options})

    has_files = bool(now.files.total or before.files.total)
    has_emails = bool(now.emails.total or before.emails.total)
    return (
        figure("runs", "Runs", "runs"),
        figure("runs_succeeded", "Runs succeeded", "runs:success", shown=False, better="up"),
        figure("runs_partial", "Runs in part", "runs:partial_success", shown=False, better="down"),
        figure("runs_failed", "Runs failed", "runs:failed", shown=False, better="down"),
        figure("runs_aborted", "Runs aborted", "runs:aborted", shown=False, better="down"),
        figure("run_success_rate", "Runs without failure", "run_rate", kind="share", better="up"),
        figure("files", "Files", "files", shown=has_files),
        figure("files_succeeded", "Files succeeded", "files:success", shown=False, better="up"),
        figure("files_failed", "Files failed", "files:failed", better="down", shown=has_files),
        figure("files_skipped", "Files skipped", "files:skipped", shown=False),
        figure("file_success_rate", "Files without failure", "file_rate", kind="share", better="up", shown=False),
        figure("emails_sent", "Emails sent", "emails:sent", shown=False),
        figure("emails_failed", "Emails failed", "emails:failed", better="down", shown=has_emails),
        figure("emails_skipped", "Emails skipped", "emails:skipped", shown=False),
        figure("run_p50", "Run time, median", "p50", kind="duration", better="down"),
        figure("run_p95", "Run time, 95 of 100", "p95", kind="duration", better="down", shown=not has_emails),
    ) + _record_figures(records)


def _record_figures(records: tuple[int, int | None] | None) -> tuple[Figure, ...]:
    if records is None or not any(records):
        return ()
    return (Figure(key="records", label="Records", value=records[0], previous=records[1], shown=False),)


def _measure(numbers: Numbers, get: str) -> float | None:
    rates = {"run_rate": numbers.success_rate, "file_rate": numbers.file_success_rate}
    if get in rates:
        return rates[get]
    if get in {"p50", "p95"}:
        return numbers.durations.p50 if get == "p50" else numbers.durations.p95
    kind, _, status = get.partition(":")
    counts: Counts = getattr(numbers, kind)
    return counts[status] if status else counts.total
