"""What a run's artifacts say: the summary, its progress, one failed file; and its one line in the log. Pure.

Within what Prefect's pages bear (see docs): far below 0.1 MB.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from prefect_trackrecord._prefect import artifact_story as story
from prefect_trackrecord._prefect.artifact_links import Links
from prefect_trackrecord._prefect.artifact_markdown import (
    bar,
    code,
    common_folder,
    escape,
    fenced,
    item,
    short_path,
    table,
)
from prefect_trackrecord.documents.models import ErrorGroup, FileProcessingLog, RunMetadata, RunStatus
from prefect_trackrecord.documents.task_counts import task_sums
from prefect_trackrecord.pages.words import plural
from prefect_trackrecord.tracking.failed import Mended

MAX_FAILED = 25
MAX_GROUPS = 5
MAX_TRACE = 4_000
_PATTERN = re.compile(r"<\w+>")


def description(run: RunMetadata) -> str:
    """One sentence about the run; in a time line the verdict comes first."""
    return f"{story.VERDICTS[run.status]}: {escape(run.flow_run_name or run.command)}, {counts(run)}."


def line(run: RunMetadata, place: str) -> str:
    """The run's one line in the log."""
    return f"Track record: {run.status.value}, {counts(run)}; kept in {place} as run {run.run_id}"


def counts(run: RunMetadata) -> str:
    """The run's items in words."""
    parts = []
    if run.total_files:
        parts.append(
            f"{plural(run.total_files, 'file')} ({run.success_count:,} succeeded, {run.failed_count:,} failed, "
            f"{run.skipped_count:,} skipped{f', {run.never_began:,} of which never began' if run.never_began else ''})"
        )
    if sent := run.emails_sent + run.emails_failed + run.emails_skipped:
        parts.append(f"{plural(sent, 'email')} ({run.emails_sent:,} sent, {run.emails_failed:,} failed)")
    if run.task_counts:
        parts.append(plural(sum(run.task_counts.values()), "task run"))
    return ", ".join(parts) or "no files"


def live(
    counts_: Mapping[str, int],
    last_failed: str | None,
    name: str | None,
    *,
    now: datetime,
    expected: int | None = None,
    waiting: int = 0,
    items: int | None = None,
    stopped: str | None = None,
) -> str:
    """The text of a run that goes on: its files so far.

    Args:
        counts_: files by status.
        last_failed: the file that failed last.
        name: the flow run's.
        now: when they were counted.
        expected: how many files it will have; None where nobody knows.
        waiting: how many more wait or are worked on, so far as is known.
        items: how many items the flow was given, where it says so.
        stopped: that it is suspended, in Prefect's word; it goes on when it is resumed.
    """
    good, bad, skipped = (counts_.get(status, 0) for status in ("success", "failed", "skipped"))
    ended = good + bad + skipped
    rows = [("files", f"{good:,}", f"{bad:,}", f"{skipped:,}", f"{ended:,}")]
    as_of = f"{now.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    out = [
        f"# {f'⏸ {escape(stopped)}' if stopped else story.VERDICTS[RunStatus.RUNNING]}",
        "",
        f"**{escape(name or 'This run')}** {'waits to be resumed' if stopped else 'goes on'}, as of {as_of}.",
        "",
    ]
    if expected and expected >= ended:
        out += [f"{bar(ended, expected)}: {ended:,} of {plural(expected, 'file')} have ended", ""]
    else:
        parts = [f"{plural(ended, 'file')} so far"]
        parts += [f"{waiting:,} more wait or are worked on"] if waiting else []
        parts += [f"of {plural(items, 'item')}"] if items else []
        out += [", ".join(parts), ""]
    out += table(("", "succeeded", "failed", "skipped", "so far"), rows)
    if last_failed:
        out += ["", f"Failed last: {code(short_path(last_failed))}"]
    return "\n".join([*out, ""])


def file_description(row: FileProcessingLog) -> str:
    """One sentence about one failed file."""
    return f"{escape(row.error_type or 'Failed')}: {escape(row.file_path)}"


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
        out += ["## Traceback", "", *fenced(row.traceback[-MAX_TRACE:]), ""]
    return "\n".join(out)


def _groups(run: RunMetadata, failed: Sequence[FileProcessingLog]) -> list[str]:
    """The most frequent errors, where there is more than one file to a group or more than one group."""
    groups = run.rollup.errors if run.rollup else []
    if run.failed_count < 2 or not groups:
        return []
    more = len(groups) + (run.rollup.errors_cut if run.rollup else 0) - MAX_GROUPS
    told = [line_ for group in groups[:MAX_GROUPS] for line_ in _group(group, failed)]
    return ["", "## Errors", "", *told] + ([f"- and {more:,} more kinds"] if more > 0 else [])


def _group(group: ErrorGroup, failed: Sequence[FileProcessingLog]) -> list[str]:
    """An error that is told once for many files: its own words where they are the same, else what they share."""
    seen = [row.error_message for row in failed if row.error_fingerprint == group.fingerprint]
    pattern, example = group.message or "", group.example_message or ""
    if len(seen) >= group.count and len(set(seen)) == 1:
        message = escape(example)
    elif not re.search(r"\w", _PATTERN.sub("", pattern)) and example:  # all of it are particulars
        message = f"such as: {escape(example)}"
    else:
        message = escape(pattern)
    out = [f"- **{group.count:,} × {escape(group.error_type or 'failed')}** {message}".rstrip()]
    if group.example_path:  # in brackets, as one page makes one line of both
        out.append(f"  ({'first' if group.count > 1 else 'file'}: {code(short_path(group.example_path))})")
    return out


def markdown(
    run: RunMetadata,
    failed: Sequence[FileProcessingLog],
    place: str,
    links: Links | None = None,
    *,
    before: Sequence[story.Told] = (),
    first: story.Told | None = None,
    mended: Mended | None = None,
) -> str:
    """The summary's text.

    Args:
        run: the sealed run.
        failed: its first failed files.
        place: where its documents are.
        links: what it may link to.
        before: the flow's runs before it.
        first: the run that it tried again.
        mended: what came of that one's failed files.
    """
    links = links or Links()
    # its first two blocks stay where they are: `story.with_retry` puts what comes later below them
    out = [f"# {story.VERDICTS[run.status]}", "", f"**{escape(run.flow_run_name or run.command)}**: {counts(run)}", ""]
    out += story.retry_line(run, first, links, mended)
    out += _why(run)
    if run.total_files:
        aborted = run.status is RunStatus.ABORTED and not run.never_began
        which = "the files that it came to" if aborted else "the files"
        came = run.success_count + run.skipped_count - run.never_began
        out += [f"{bar(came, run.total_files)} of {which} came through", ""]
    if run.never_began:
        out += [f"**{plural(run.never_began, 'file')} never began**: the run ended before.", ""]
    out += _sums(run)
    out += _groups(run, failed)
    if failed:
        out += ["", f"## Failed files ({len(failed):,} of {run.failed_count:,})", ""]
        folder = common_folder([r.file_path for r in failed])
        if folder:
            out += [f"in {code(folder)}", ""]
        for row in failed:
            url = links.task_run(row.task_run_id)
            out += item(row.file_path[len(folder) :], row.error_type, row.error_message, url)
    if run.failed_count <= len(failed):  # else they may be files that are not shown
        out += _other_tasks(run, {row.task_run_id for row in failed}, links)
    if run.tracking_errors:
        out += ["", "## What tracking could not do", ""]
        out += [f"- {count:,} x {escape(cause)}" for cause, count in sorted(run.tracking_errors.items())]
    out += story.before(before, links)
    out += ["", "## Where it is kept", "", f"Run {code(run.run_id)} in {code(place)}", ""]
    out += [f"- [{escape(name)}]({url})" for name, url in links.pages] + ([""] if links.pages else [])
    return "\n".join([*out, "```", *links.commands(run), "```", ""])


def _why(run: RunMetadata) -> list[str]:
    """The run's own error, and why it ended so; each said once."""
    error = run.error_message or ""
    out = []
    if error and (run.error_type or not run.reason):  # a cancelled run has no error but its reason
        out += [f"**{escape(run.error_type or 'Error')}**: {escape(error[:1_000])}", ""]
    if run.reason and not (out and error.strip() in run.reason):
        out += [escape(run.reason[:1].upper() + run.reason[1:]), ""]
    return out


def _other_tasks(run: RunMetadata, files: set[str | None], links: Links) -> list[str]:
    """The task runs that ended badly and are none of the failed files."""
    others = [task for task in run.failed_tasks if task.task_run_id not in files]
    if not others:
        return []
    shown = others[:MAX_FAILED]
    out = ["", f"## Task runs that did not end well ({len(shown):,} of {len(others):,})", ""]
    if run.status is RunStatus.ABORTED and run.success_count:
        out += ["One that was stopped as the run ended may have brought its file through just before.", ""]
    for task in shown:
        out += item(task.name or "", task.state, task.error_message, links.task_run(task.task_run_id))
    return out


def _sums(run: RunMetadata) -> list[str]:
    rows: list[tuple[str, int, int, int, int]] = [
        ("files", run.success_count, run.failed_count, run.skipped_count, run.total_files)
    ]
    if sums := run.emails_sent + run.emails_failed + run.emails_skipped:
        rows.append(("emails", run.emails_sent, run.emails_failed, run.emails_skipped, sums))
    tasks = task_sums(run)
    if tasks.all:
        rows.append(("task runs", tasks.succeeded, tasks.failed, tasks.cached, tasks.all))
    if not tasks.open:
        return table(
            ("", "succeeded", "failed", "skipped", "in all"), [(name, *map(_count, rest)) for name, *rest in rows]
        )
    cells = [
        (name, *map(_count, rest[:3]), _count(tasks.open) if name == "task runs" else "", _count(rest[3]))
        for name, *rest in rows
    ]
    return table(("", "succeeded", "failed", "skipped", "not ended", "in all"), cells)


def _count(number: int) -> str:
    return f"{number:,}"
