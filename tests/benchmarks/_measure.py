"""Interleaved measurements, and the table of what they say: ratios to a floor or a peer of the same run."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One line of the table; `ratio` is ours to the floor (less is better) or the peer's to ours (more is better)."""

    work: str
    against: str
    ours: str
    theirs: str
    ratio: float
    aim: str
    met: bool
    note: str = ""


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int, *, wall: bool = False) -> dict[str, float]:
    """The median seconds of each way, run in turn: processor time, which a busy machine spoils least, or wall time."""
    clock = time.perf_counter if wall else time.process_time
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            gc.collect()
            began = clock()
            kept = way()
            took[name].append(clock() - began)
            del kept
    return {name: statistics.median(found) for name, found in took.items()}


def floor_line(
    work: str, against: str, ours: float, floor: float, aim: float, unit: float, what: str, note: str = ""
) -> Line:
    """A line against a floor; times are divided by `unit` and shown as `what`."""
    ratio = ours / floor
    return Line(
        work,
        against,
        f"{ours / unit:,.2f} {what}",
        f"{floor / unit:,.2f} {what}",
        ratio,
        f"≤ {aim:g}",
        ratio <= aim,
        note,
    )


def peer_line(work: str, against: str, ours: float, peer: float, aim: float, note: str = "") -> Line:
    """A line against a peer; times in seconds."""
    ratio = peer / ours
    return Line(work, against, f"{ours:,.3f} s", f"{peer:,.3f} s", ratio, f"≥ {aim:g}", ratio >= aim, note)


def exponent(small: tuple[int, float], large: tuple[int, float]) -> float:
    """How time grows with size: 1 is in proportion."""
    return math.log(large[1] / small[1]) / math.log(large[0] / small[0])


def table(lines: list[Line]) -> str:
    """Markdown."""
    head = "| work | against | ours | theirs | ratio | aim | |\n|---|---|---|---|---|---|---|\n"
    rows = [
        f"| {x.work} | {x.against} | {x.ours} | {x.theirs} | **{x.ratio:.2f}** | {x.aim} | "
        f"{'met' if x.met else 'not met'}{': ' + x.note if x.note else ''} |"
        for x in lines
    ]
    return head + "\n".join(rows)
