"""The report in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect_trackrecord.history import Numbers
from prefect_trackrecord.pages.words import plural
from prefect_trackrecord.report.model import Level, Verdict
from prefect_trackrecord.report.rows import MetricLine

MAX_PARTS = 6
"""A verdict that says everything is read by nobody."""


def judge(
    numbers: Numbers,
    *,
    period: str,
    never_finished: int,
    still_running: int,
    groups_by: Mapping[str, int],
    unread: int,
    missed: int = 0,
    idle: int = 0,
    stuck: int = 0,
    metrics: Sequence[MetricLine] = (),
) -> Verdict:
    """The verdict over the window's numbers.

    `bad`: a run failed, was aborted, never finished, or is missing; or a threshold says so. `warn`: files failed,
    emails were not delivered, a run succeeded and did nothing, records are stuck, tracking lost something, or
    documents could not be read. `empty`: nothing ran, and nothing should have. Else `ok`.
    """
    runs, files = numbers.runs, numbers.files
    broken = runs["failed"] + runs["aborted"] + never_finished + missed + sum(m.level == "bad" for m in metrics)
    lost = unread + numbers.tracking_errors.total
    shaky = files["failed"] + numbers.emails["failed"] + lost + idle + stuck + len(metrics)
    level: Level = "bad" if broken else "warn" if shaky or runs["partial_success"] else "ok"
    if not runs.total and level == "ok":
        level = "empty"
    parts = [part for part in (_runs(numbers, never_finished), _files(numbers), _emails(numbers)) if part]
    parts += _watched(missed, idle, stuck, metrics)
    if still_running:
        parts.append(f"{_are(still_running, 'run')} still running")
    if unread:
        parts.append(f"{plural(unread, 'document')} could not be read")
    if numbers.tracking_errors.total:
        parts.append(f"tracking itself had {plural(numbers.tracking_errors.total, 'error')}")
    if not runs.total:
        parts = [f"nothing ran on {period}" if " to " not in period else f"nothing ran from {period}", *parts]
    if len(parts) > MAX_PARTS:
        parts = [*parts[: MAX_PARTS - 1], f"{len(parts) - MAX_PARTS + 1} more findings are below"]
    return Verdict(
        level=level,
        sentence=_sentence(parts),
        detail=_detail(groups_by),
        short=_short(numbers, never_finished, missed),
    )


def _watched(missed: int, idle: int, stuck: int, metrics: Sequence[MetricLine]) -> list[str]:
    parts = []
    if missed:
        parts.append(f"{plural(missed, 'scheduled run')} did not come")
    if idle:
        parts.append(f"{plural(idle, 'run')} succeeded with nothing to do")
    if stuck:
        parts.append(f"{_are(stuck, 'record')} stuck")
    if metrics:
        names = sorted({m.name.replace("_", " ") for m in metrics})
        some = _and(names) if len(names) <= 3 else f"{len(names)} metrics"
        parts.append(f"{some} {'is' if len(names) == 1 else 'are'} out of bounds")
    return parts


def _runs(numbers: Numbers, never_finished: int) -> str:
    runs = numbers.runs
    bad = []
    if runs["failed"]:
        bad.append(f"{runs['failed']:,} failed")
    if runs["aborted"]:
        bad.append(f"{_was(runs['aborted'])} aborted")
    if never_finished:
        bad.append(f"{never_finished:,} never finished")
    if bad:
        return f"of {plural(runs.total, 'run')}, {_and(bad)}"
    if not numbers.ended:
        return ""
    if runs["partial_success"]:
        if numbers.ended == 1:
            return "the one run finished only in part"
        if runs["partial_success"] == numbers.ended:
            return f"all {numbers.ended:,} runs finished only in part"
        return f"{runs['partial_success']:,} of {plural(numbers.ended, 'run')} finished only in part"
    if numbers.ended == 1:
        return "the one run succeeded"
    return f"all {numbers.ended:,} runs succeeded"


def _files(numbers: Numbers) -> str:
    files = numbers.files
    if files["failed"]:
        return f"{files['failed']:,} of {plural(files.total, 'file')} failed"
    if not files.total:
        return ""
    skipped = f", {files['skipped']:,} skipped" if files["skipped"] else ""
    return f"no file failed ({plural(files.total, 'file')}{skipped})"


def _emails(numbers: Numbers) -> str:
    failed = numbers.emails["failed"]
    return f"{_was(failed, 'email')} not delivered" if failed else ""


def _detail(groups_by: Mapping[str, int]) -> str:
    new, recurring = groups_by.get("new", 0), groups_by.get("recurring", 0)
    fixed, gone = groups_by.get("fixed", 0), groups_by.get("gone", 0)
    parts = []
    if new:
        parts.append(f"{_are(new, 'error')} new")
    if recurring:
        parts.append(f"{recurring:,} {'keeps' if recurring == 1 else 'keep'} recurring")
    if fixed:
        parts.append(f"{_was(fixed)} fixed")
    if gone:
        parts.append(f"{_was(gone)} not seen again")
    if parts and not new:
        first, rest = parts[0].split(" ", 1)
        parts[0] = f"{first} error{'' if first == '1' else 's'} {rest}"
    return _sentence([_and(parts)] if parts else [])


def _short(numbers: Numbers, never_finished: int, missed: int) -> str:
    """Counts for a subject: of files where there are any, else of runs."""
    if not numbers.runs.total:
        return f"{plural(missed, 'run')} missing" if missed else "no runs"
    if numbers.files.total:
        text = f"{numbers.files['failed']:,} failed, {numbers.files['success']:,} ok"
        broken = numbers.runs["failed"] + numbers.runs["aborted"] + never_finished
        return f"{plural(broken, 'broken run')}, {text}" if broken and not numbers.files["failed"] else text
    bad = numbers.runs["failed"] + numbers.runs["aborted"] + never_finished
    return f"{plural(bad, 'run')} failed, {numbers.runs['success'] + numbers.runs['partial_success']:,} ok"


def _are(count: int, noun: str) -> str:
    return f"{plural(count, noun)} {'is' if count == 1 else 'are'}"


def _was(count: int, noun: str = "") -> str:
    return f"{plural(count, noun) if noun else f'{count:,}'} {'was' if count == 1 else 'were'}"


def _and(parts: list[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def _sentence(parts: list[str]) -> str:
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""
