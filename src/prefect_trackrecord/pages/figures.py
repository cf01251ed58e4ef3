"""What renderings of a report need beside its own words: notes under the totals, and the geometry of bars.

Reports are handed in by rooms above this one, so they are known here by their attributes only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from prefect_trackrecord.pages import words

FILE_PARTS = (("success", "ok"), ("skipped", "skip"), ("failed", "bad"))
RUN_PARTS = (
    ("success", "ok"),
    ("partial_success", "warn"),
    ("running", "skip"),
    ("aborted", "gone"),
    ("failed", "bad"),
)
LABELS = {"partial_success": "in part", "success": "ok"}


def note(report: Any, key: str) -> str:
    """What stands under a total."""
    runs, files, emails = report.runs_by, report.files_by, report.emails_by
    if key == "runs":
        names = (("partial_success", "in part"), ("failed", "failed"), ("aborted", "aborted"))
        parts = [f"{runs[name]:,} {word}" for name, word in names if runs[name]]
        if runs["running"]:
            parts.append(f"{runs['running']:,} not ended")
        return ", ".join(parts)
    if key == "run_success_rate":
        return f"{runs['success']:,} of {sum(runs.values()) - runs['running']:,} that ended"
    if key == "files":
        return f"{files['success']:,} ok, {files['skipped']:,} skipped" if files["skipped"] else ""
    if key == "files_failed":
        return f"{words.share(report.figure('file_success_rate').value)} of those tried came through"
    if key == "emails_failed":
        return f"{emails['sent']:,} sent, {emails['skipped']:,} skipped"
    p95 = report.figure("run_p95")
    if key == "run_p50" and p95.value is not None and not p95.shown:
        return f"95 of 100 within {words.duration(p95.value)}"
    return ""


def anchor(report: Any, key: str) -> str:
    """The id of the page's section that a total is explained by."""
    wanted = {"run_p50": "slowest", "run_p95": "slowest", "records": "records", "emails_failed": "mail"}
    name = wanted.get(key) or ("errors" if key.startswith("file") else "flows")
    there = {
        "slowest": report.slowest.total,
        "records": report.records,
        "mail": report.undelivered.total,
        "errors": report.groups.total or report.ungrouped,
    }
    return name if there.get(name, True) else "flows" if report.flows.total else "totals"


def run_anchor(run_id: str) -> str:
    """The id of a run's line on the page."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", run_id):
        return f"run-{run_id}"
    return f"run-{hashlib.sha256(run_id.encode('utf-8', 'replace')).hexdigest()[:16]}"


def seer(report: Any, base: str | None) -> Callable[[Any], str | None]:
    """A function that says where a line's run is seen: in the Prefect UI, or else on the page at `base`."""
    on_page = {run.run_id for run in report.runs.items} if base is not None else set()

    def seen(line: Any) -> str | None:
        if line is None or line.link:
            return line.link if line is not None else None
        return f"{base}#{run_anchor(line.run_id)}" if line.run_id in on_page else None

    return seen


@dataclass(frozen=True)
class Segment:
    """A part of a day's bar: its share of the longest bar in percent."""

    style: str
    label: str
    value: int
    percent: float


@dataclass(frozen=True)
class Bar:
    """A day's bar."""

    day: Any
    total: int
    segments: tuple[Segment, ...]
    text: str

    @property
    def percent(self) -> float:
        """The bar's length in percent of the longest one."""
        return sum(s.percent for s in self.segments)


def counted(report: Any) -> str:
    """What the bars count: files where there are any, else runs."""
    return "files" if sum(report.files_by.values()) else "runs"


def bars(report: Any, days: Sequence[Any] | None = None) -> list[Bar]:
    """A bar per day. A part that is not 0 is at least 1.5 % long, so that one failure in thousands is seen."""
    of = counted(report)
    parts = FILE_PARTS if of == "files" else RUN_PARTS
    shown = list(report.days if days is None else days)
    longest = max((sum(getattr(day, of).values()) for day in report.days), default=0)
    found = []
    for day in shown:
        values = getattr(day, of)
        segments = tuple(
            Segment(style, LABELS.get(name, name), values[name], _percent(values[name], longest))
            for name, style in parts
            if values.get(name)
        )
        over = sum(s.percent for s in segments) / 100
        if over > 1:
            segments = tuple(Segment(s.style, s.label, s.value, s.percent / over) for s in segments)
        text = ", ".join(f"{s.value:,} {s.label}" for s in segments)
        found.append(Bar(day, sum(values.values()), segments, text or "nothing"))
    return found


def _percent(value: int, longest: int) -> float:
    return max(1.5, 100 * value / longest)


@dataclass(frozen=True)
class Rect:
    """A rectangle of the chart."""

    x: float
    y: float
    width: float
    height: float
    style: str


@dataclass(frozen=True)
class Column:
    """A day of the chart: its rectangles, where its label stands, and whether it is written."""

    bar: Bar
    rects: tuple[Rect, ...]
    center: float
    left: float
    step: float
    labelled: bool


WIDTH, HEIGHT = 1000, 150


def columns(report: Any) -> list[Column]:
    """The page's chart: a column per day in a box of `WIDTH` by `HEIGHT`."""
    found = bars(report)
    step = WIDTH / max(len(found), 7)
    width = min(step * 0.62, 56)
    every = -(-len(found) // 16)
    result = []
    for n, bar in enumerate(found):
        x, y, rects = n * step + (step - width) / 2, float(HEIGHT), []
        for segment in bar.segments:
            height = segment.percent * HEIGHT / 100
            y -= height
            rects.append(Rect(round(x, 2), round(y, 2), round(width, 2), round(height, 2), segment.style))
        result.append(
            Column(bar, tuple(rects), round(x + width / 2, 2), round(n * step, 2), round(step, 2), n % every == 0)
        )
    return result
