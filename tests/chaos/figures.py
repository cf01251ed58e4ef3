"""The kill matrix's figures: of one run, of several added up, and as the tables of docs/kill-matrix.md.

python tests/chaos/figures.py docs/kill-matrix.json docs/kill-matrix.md
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MUST_BE_ZERO = ("lost", "running", "damaged", "disagree", "errors in recovery")
COUNTS = ("kills", "rounds", "rounds that failed", "came too late", "killed because it hung", "acknowledged")
BEGIN, END = "<!-- figures: made by tests/chaos/figures.py -->", "<!-- end of figures -->"
_WORDS = {"acknowledged": "acknowledged outcomes", "killed because it hung": "killed as well because they hung"}


def figures_of(table: Mapping[str, Counter[str]], *, seed: int, sabotage: bool, seconds: int) -> dict[str, Any]:
    """One run's figures; `table` has the counts by `victim store`."""
    total: Counter[str] = sum(table.values(), Counter())
    return {
        "seeds": [seed],
        "sabotage": sabotage,
        "seconds": seconds,
        **{name: total[name] for name in (*COUNTS, *MUST_BE_ZERO)},
        "by": {where: dict(counts) for where, counts in sorted(table.items())},
    }


def add(path: Path, found: dict[str, Any]) -> None:
    """Add a run's figures to the file's: the matrix and its control each for itself."""
    held: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    name = "control" if found["sabotage"] else "matrix"
    before = held.get(name)
    if before is not None:
        where = {*before["by"], *found["by"]}
        table = {one: Counter(before["by"].get(one, {})) + Counter(found["by"].get(one, {})) for one in where}
        seconds = before["seconds"] + found["seconds"]
        found = figures_of(table, seed=0, sabotage=found["sabotage"], seconds=seconds) | {
            "seeds": sorted({*before["seeds"], *found["seeds"]})
        }
    path.write_text(json.dumps({**held, name: found}, indent=2) + "\n")


def tables(held: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    matrix = held["matrix"]
    lines = ["| figure | |", "|---|---|"]
    seeds = ", ".join(map(str, matrix["seeds"]))
    lines.append(f"| kills | {matrix['kills']:,}, in {matrix['rounds']:,} rounds (seeds {seeds}) |")
    lines += [f"| {_WORDS.get(name, name)} | {matrix[name]:,} |" for name in (*COUNTS[2:], *MUST_BE_ZERO)]
    lines += ["", "| victim | store | kills | acknowledged outcomes |", "|---|---|---|---|"]
    for where, counts in matrix["by"].items():
        victim, store = where.split()
        lines.append(f"| {victim} | {store} | {counts.get('kills', 0):,} | {counts.get('acknowledged', 0):,} |")
    if (control := held.get("control")) is not None:
        wrong = ", ".join(f"{name} {control[name]:,}" for name in MUST_BE_ZERO if control[name])
        lines += ["", f"**The control**: {control['kills']} kills, {control['acknowledged']:,} acknowledged; {wrong}."]
    return "\n".join(lines)


def main() -> None:
    """Write the tables into the page."""
    source, page = map(Path, sys.argv[1:])
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{tables(json.loads(source.read_text()))}\n\n{END}{after}")


if __name__ == "__main__":
    main()
