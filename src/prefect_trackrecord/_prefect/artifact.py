"""The markdown artifact that a run leaves on its flow run, and its one line in the log. Pure.

Within what Prefect's pages bear (see docs): no raw HTML, local paths as code, far below 0.1 MB.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from prefect_trackrecord.documents.models import FileProcessingLog, RunMetadata, RunStatus

MAX_FAILED = 25
MAX_CELL = 300
MAX_PATH = 64  # characters of code that fit one line beside the page's margin
_VERDICTS = {
    RunStatus.SUCCESS: "✅ success",
    RunStatus.PARTIAL_SUCCESS: "⚠️ partial success",
    RunStatus.FAILED: "❌ failed",
    RunStatus.ABORTED: "🛑 aborted",
    RunStatus.RUNNING: "… running",
}
_BAD = ("Failed", "Crashed", "Cancelled", "TimedOut", "NotReady")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~&])")


def key(run: RunMetadata) -> str:
    """The artifact's key: the flow's, so that all its runs make one time line."""
    return slug("trackrecord", run.flow_name or run.command)


def slug(prefix: str, name: str) -> str:
    """An artifact's key of a name: lowercase letters, digits and dashes."""
    made = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"{prefix}-{made or 'run'}"[:200].rstrip("-")


def description(run: RunMetadata) -> str:
    """One sentence about the run."""
    return f"Track record of run {run.run_id}: {run.status.value.replace('_', ' ')}, {counts(run)}."


def line(run: RunMetadata, place: str) -> str:
    """The run's one line in the log."""
    return f"Track record: {run.status.value}, {counts(run)}; kept in {place} as run {run.run_id}"


def counts(run: RunMetadata) -> str:
    """The run's items in words."""
    parts = []
    if run.total_files:
        parts.append(
            f"{run.total_files:,} files ({run.success_count:,} succeeded, {run.failed_count:,} failed, "
            f"{run.skipped_count:,} skipped)"
        )
    if sent := run.emails_sent + run.emails_failed + run.emails_skipped:
        parts.append(f"{sent:,} emails ({run.emails_sent:,} sent, {run.emails_failed:,} failed)")
    if run.task_counts:
        parts.append(f"{sum(run.task_counts.values()):,} task runs")
    return ", ".join(parts) or "no files"


def markdown(run: RunMetadata, failed: Sequence[FileProcessingLog], place: str) -> str:
    """The artifact's text.

    Args:
        run: the sealed run.
        failed: its first failed files.
        place: where its documents are.
    """
    out = [f"# {_VERDICTS[run.status]}", "", f"**{escape(run.flow_run_name or run.command)}**: {counts(run)}", ""]
    if run.error_message:
        out += [f"**{escape(run.error_type or 'Error')}**: {escape(run.error_message[:1_000])}", ""]
    if run.reason:
        out += [escape(run.reason), ""]
    out += _table(("", "succeeded", "failed", "skipped", "in all"), _sums(run))
    if failed:
        out += ["", f"## Failed files ({len(failed):,} of {run.failed_count:,})", ""]
        folder = _common_folder([r.file_path for r in failed])
        if folder:
            out += [f"in {code(folder)}", ""]
        for row in failed:
            out += _item(row.file_path[len(folder) :], row.error_type, row.error_message)
    files = {row.task_run_id for row in failed}
    others = [t for t in run.failed_tasks if t.task_run_id not in files]
    if others and run.failed_count <= len(failed):  # else they may be files that are not shown
        shown = others[:MAX_FAILED]
        out += ["", f"## Task runs that did not end well ({len(shown):,} of {len(others):,})", ""]
        for task in shown:
            out += _item(task.name or "", task.state, task.error_message)
    if run.tracking_errors:
        out += ["", "## What tracking could not do", ""]
        out += [f"- {count:,} x {escape(cause)}" for cause, count in sorted(run.tracking_errors.items())]
    out += ["", "## Where it is kept", "", f"Run {code(run.run_id)} in {code(place)}", ""]
    out += ["```", f"trackrecord runs show {run.run_id}", "```", ""]
    return "\n".join(out)


def _item(name: str, kind: str | None, message: str | None) -> list[str]:
    """One failure as a list's item: tables run out of Prefect's narrow column where a path is long."""
    path = name if len(name) <= MAX_PATH else "…" + name[-(MAX_PATH - 1) :]
    return [f"- {code(path)}", f"  **{escape(kind or 'failed')}** {escape(message or '')}".rstrip()]


def _common_folder(paths: Sequence[str]) -> str:
    """The folder, with its slash, that all of several paths are in; "" where there is none worth telling."""
    if len(paths) < 2:
        return ""
    common = os.path.commonprefix(list(paths))  # noqa: RUF071 - cut back to a whole folder below
    folder = common[: common.rfind("/") + 1]
    return folder if len(folder) > len("/x/") else ""


def _sums(run: RunMetadata) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("files", f"{run.success_count:,}", f"{run.failed_count:,}", f"{run.skipped_count:,}", f"{run.total_files:,}")
    ]
    if sums := run.emails_sent + run.emails_failed + run.emails_skipped:
        rows.append(
            ("emails", f"{run.emails_sent:,}", f"{run.emails_failed:,}", f"{run.emails_skipped:,}", f"{sums:,}")
        )
    if run.task_counts:
        all_ = sum(run.task_counts.values())
        bad = max(len(run.failed_tasks), sum(run.task_counts.get(name, 0) for name in _BAD))
        cached = run.task_counts.get("Cached", 0) + run.task_counts.get("Skipped", 0)
        rows.append(("task runs", f"{all_ - bad - cached:,}", f"{bad:,}", f"{cached:,}", f"{all_:,}"))
    return rows


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def escape(text: str) -> str:
    """Text as text inside markdown, also inside a table: on one line, bounded, nothing of it is markup."""
    line_ = " ".join(text.split())
    if len(line_) > MAX_CELL:
        line_ = line_[: MAX_CELL - 1] + "…"
    return _SPECIAL.sub(r"\\\1", line_)


def code(text: str) -> str:
    """Text as code, also inside a table."""
    line_ = " ".join(text.split())
    if len(line_) > MAX_CELL:
        line_ = "…" + line_[-(MAX_CELL - 1) :]
    line_ = line_.replace("|", "\\|")
    if "`" not in line_:
        return f"`{line_}`"
    fence = "`" * (max(len(run) for run in re.findall(r"`+", line_)) + 1)
    return f"{fence} {line_} {fence}"
