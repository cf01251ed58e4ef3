"""The markdown artifact that a run leaves on its flow run, and its one line in the log. Pure.

Within what Prefect's pages bear (see docs): no raw HTML, local paths as code, far below 0.1 MB.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prefect_trackrecord.documents.models import FileProcessingLog, RunMetadata, RunStatus
from prefect_trackrecord.pages.words import plural

MAX_FAILED = 25
MAX_ROWS = 500
MAX_GROUPS = 5
MAX_TRACE = 4_000
WIDTH = 24
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


def run_key(run_id: str) -> str:
    """The key of the artifact that shows one run while it goes on and when it has ended."""
    return slug("trackrecord-run", run_id)


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
            f"{plural(run.total_files, 'file')} ({run.success_count:,} succeeded, {run.failed_count:,} failed, "
            f"{run.skipped_count:,} skipped)"
        )
    if sent := run.emails_sent + run.emails_failed + run.emails_skipped:
        parts.append(f"{plural(sent, 'email')} ({run.emails_sent:,} sent, {run.emails_failed:,} failed)")
    if run.task_counts:
        parts.append(plural(sum(run.task_counts.values()), "task run"))
    return ", ".join(parts) or "no files"


@dataclass(frozen=True)
class Links:
    """What a run's artifact may link to; http(s) only, as Prefect's pages strip other links.

    Attributes:
        ui: the Prefect UI; None where unknown.
        pages: further pages, each with its name.
    """

    ui: str | None = None
    pages: tuple[tuple[str, str], ...] = ()

    def task_run(self, task_run_id: str | None) -> str | None:
        """A task run's page."""
        if not task_run_id or not self.ui or not self.ui.startswith(("http://", "https://")):
            return None
        return f"{self.ui.rstrip('/')}/runs/task-run/{task_run_id}"


def live(counts_: Mapping[str, int], last_failed: str | None, name: str | None) -> str:
    """The text of a run that goes on: its files so far."""
    good, bad, skipped = (counts_.get(status, 0) for status in ("success", "failed", "skipped"))
    rows = [("files", f"{good:,}", f"{bad:,}", f"{skipped:,}", f"{good + bad + skipped:,}")]
    out = [f"# {_VERDICTS[RunStatus.RUNNING]}", "", f"**{escape(name or 'This run')}** goes on.", ""]
    out += _table(("", "succeeded", "failed", "skipped", "so far"), rows)
    if last_failed:
        out += ["", f"Failed last: {code(last_failed)}"]
    return "\n".join([*out, ""])


def bar(good: int, all_: int, which: str = "the files") -> str:
    """A bar of text, which both of Prefect's pages show alike: `█████░░░░░ 50 %`."""
    full = round(WIDTH * good / all_)
    full = min(max(full, 1 if good else 0), WIDTH - 1 if good < all_ else WIDTH)
    share = good / all_
    percent = "100" if good == all_ else f"{min(share * 100, 99.9):.1f}".removesuffix(".0")
    return f"`{'█' * full}{'░' * (WIDTH - full)}` {percent} % of {which} came through"


def table(failed: Sequence[FileProcessingLog]) -> str:
    """The failures table, as JSON text; within what both pages bear. Paths begin below `table_folder`."""
    folder = table_folder(failed)
    rows = [
        {
            "file": _cut(row.file_path[len(folder) :]),
            "error": _cut(row.error_type or ""),
            "message": _cut(row.error_message or ""),
            "attempts": len(row.attempts) or 1,
            "took (ms)": row.processing_time_ms if row.processing_time_ms is not None else "",
            "ended": row.ended_at.isoformat(timespec="seconds") if row.ended_at else "",
            "task run": row.task_run_name or "",
        }
        for row in failed[:MAX_ROWS]
    ]
    return json.dumps(rows, ensure_ascii=False)


def table_folder(failed: Sequence[FileProcessingLog]) -> str:
    """The folder that all files of the failures table are in, with its slash; a long path leaves no room beside it."""
    paths = [row.file_path for row in failed[:MAX_ROWS]]
    return _common_folder([*paths, paths[0]]) if paths else ""


def table_description(run: RunMetadata, failed: Sequence[FileProcessingLog]) -> str:
    """One sentence about the failures table."""
    shown = min(len(failed), MAX_ROWS)
    of = plural(run.failed_count, "failed file")
    folder = table_folder(failed)
    where = f", in {code(folder)}" if folder else ""
    return f"{of if shown == run.failed_count else f'{shown:,} of {of}'} of run {run.run_id}{where}."


def file_markdown(row: FileProcessingLog) -> str:
    """The text about one failed file, for its task run."""
    out = [f"# ❌ {escape(row.error_type or 'failed')}", "", code(row.file_path), ""]
    if row.error_message:
        out += [escape(row.error_message), ""]
    if len(row.attempts) > 1:
        out += ["## Attempts", ""]
        out += [
            f"{a.number}. **{escape(a.status or '')}** {escape(a.error_type or '')} {escape(a.error_message or '')}"
            for a in row.attempts[:MAX_FAILED]
        ]
        out.append("")
    if row.traceback:
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", row.traceback)), default=0))
        out += ["## Traceback", "", fence, row.traceback[-MAX_TRACE:].strip("\n"), fence, ""]
    return "\n".join(out)


def _cut(text: str) -> str:
    line_ = " ".join(text.split())
    return line_ if len(line_) <= MAX_CELL else line_[: MAX_CELL - 1] + "…"


def _groups(run: RunMetadata) -> list[str]:
    """The most frequent errors, where there is more than one file to a group or more than one group."""
    groups = run.rollup.errors if run.rollup else []
    if run.failed_count < 2 or not groups:
        return []
    more = len(groups) + (run.rollup.errors_cut if run.rollup else 0) - MAX_GROUPS
    told = [
        f"- **{group.count:,} × {escape(group.error_type or 'failed')}** {escape(group.message or '')}".rstrip()
        for group in groups[:MAX_GROUPS]
    ]
    return ["", "## Errors", "", *told] + ([f"- and {more:,} more kinds"] if more > 0 else [])


def markdown(run: RunMetadata, failed: Sequence[FileProcessingLog], place: str, links: Links | None = None) -> str:
    """The artifact's text.

    Args:
        run: the sealed run.
        failed: its first failed files.
        place: where its documents are.
        links: what it may link to.
    """
    links = links or Links()
    out = [f"# {_VERDICTS[run.status]}", "", f"**{escape(run.flow_run_name or run.command)}**: {counts(run)}", ""]
    if run.error_message and (run.error_type or not run.reason):  # a cancelled run has no error but its reason
        out += [f"**{escape(run.error_type or 'Error')}**: {escape(run.error_message[:1_000])}", ""]
    if run.reason:
        out += [escape(run.reason[:1].upper() + run.reason[1:]), ""]
    if run.total_files:
        which = "the files that it came to" if run.status is RunStatus.ABORTED else "the files"
        out += [bar(run.success_count + run.skipped_count, run.total_files, which), ""]
    out += _table(("", "succeeded", "failed", "skipped", "in all"), _sums(run))
    out += _groups(run)
    if failed:
        out += ["", f"## Failed files ({len(failed):,} of {run.failed_count:,})", ""]
        folder = _common_folder([r.file_path for r in failed])
        if folder:
            out += [f"in {code(folder)}", ""]
        for row in failed:
            link = links.task_run(row.task_run_id)
            out += _item(row.file_path[len(folder) :], row.error_type, row.error_message, link)
    files = {row.task_run_id for row in failed}
    others = [t for t in run.failed_tasks if t.task_run_id not in files]
    if others and run.failed_count <= len(failed):  # else they may be files that are not shown
        shown = others[:MAX_FAILED]
        out += ["", f"## Task runs that did not end well ({len(shown):,} of {len(others):,})", ""]
        for task in shown:
            out += _item(task.name or "", task.state, task.error_message, links.task_run(task.task_run_id))
    if run.tracking_errors:
        out += ["", "## What tracking could not do", ""]
        out += [f"- {count:,} x {escape(cause)}" for cause, count in sorted(run.tracking_errors.items())]
    out += ["", "## Where it is kept", "", f"Run {code(run.run_id)} in {code(place)}", ""]
    out += [f"- [{escape(name)}]({url})" for name, url in links.pages] + ([""] if links.pages else [])
    out += ["```", f"trackrecord runs show {run.run_id}"]
    if run.failed_count and run.items_parameter and run.deployment_id:
        out.append(f"trackrecord retry {run.run_id}")
    out += ["```", ""]
    return "\n".join(out)


def _item(name: str, kind: str | None, message: str | None, link: str | None) -> list[str]:
    """One failure as a list's item: tables run out of Prefect's narrow column where a path is long."""
    path = name if len(name) <= MAX_PATH else "…" + name[-(MAX_PATH - 1) :]
    where = f" [task run]({link})" if link else ""
    return [f"- {code(path)}{where}", f"  **{escape(kind or 'failed')}** {escape(message or '')}".rstrip()]


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
