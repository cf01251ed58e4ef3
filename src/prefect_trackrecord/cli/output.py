"""What the commands print: tables on a terminal, tab-separated rows elsewhere, JSON; complaints on standard error."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Literal

from prefect_trackrecord.errors import DamagedDocumentError, TrackRecordError, UsageError
from prefect_trackrecord.journal.printable import printable

COLORS = {
    "success": "green",
    "partial_success": "yellow",
    "failed": "red",
    "aborted": "red",
    "running": "cyan",
    "skipped": "dim",
}


ROWS = 50
"""How many rows a terminal shows where nobody says how many."""


def say(text: str = "") -> None:
    """A line on standard output, without anything that could steer the terminal."""
    sys.stdout.write("\n".join(printable(line) for line in text.split("\n")) + "\n")


def say_exactly(text: str) -> None:
    """A text on standard output as it is, for a program, with a NUL after it."""
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(text) + b"\0")


def note(text: str) -> None:
    """A line on standard error that is no complaint; where that takes none, what is done counts."""
    with contextlib.suppress(OSError):
        sys.stderr.write("\n".join(printable(line) for line in text.split("\n")) + "\n")


def complain(error: str | Exception) -> None:
    """What went wrong, on standard error, with the stable code of an error of ours."""
    code = f" {error.code}" if isinstance(error, TrackRecordError) else ""
    note(f"error{code}: {error}")


def complain_of_damage(damaged: Iterable[DamagedDocumentError]) -> None:
    """The documents that could not be read, by key."""
    for error in damaged:
        note(f"not read: {error}")


def is_terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout.isatty()


def most(limit: int | None, what: str, as_data: bool) -> int:
    """How many rows are shown, 0 for all: what `--limit` says, else what a person reads; a program gets all.

    Args:
        limit: as given.
        what: what the rows are.
        as_data: whether it is no table, but for a program also on a terminal.

    Raises:
        UsageError: it is no such number.
    """
    if limit is None:
        return ROWS if is_terminal() and not as_data else 0
    if limit < 0:
        raise UsageError(f"--limit {limit}: a number of {what}, or 0 for all")
    return limit


def dump(value: Any) -> None:
    """JSON on standard output, as strict as readers of it are: a number that is none (NaN, infinite) is null.

    What the output's encoding has no letter for is escaped as JSON does it.
    """
    escaped = not (sys.stdout.encoding or "").lower().startswith("utf")
    try:
        text = json.dumps(value, indent=2, ensure_ascii=escaped, default=str, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), indent=2, ensure_ascii=escaped, default=str, allow_nan=False)
    sys.stdout.write(text + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


DURATIONS = {"took"}
LONG = {"command", "file", "message", "reason", "to"}
PATH = "file"
MOST = {"command": 60}
LEAST = 12


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, named: bool = False) -> None:
    """Rows under their columns; on a terminal numbers and durations stand right, columns in `LONG` may wrap.

    Where a terminal is too narrow for that, each row is told in some lines: no word is cut, and paths are whole on
    their line, to be copied.

    Args:
        columns: their names.
        rows: a value for each column; None is shown as nothing.
        named: such lines name every column, of which nobody knows what they mean.
    """
    given = [list(row) for row in rows]
    texts = [[printable("" if value is None else str(value)) for value in row] for row in given]
    if not is_terminal():
        for row in [list(columns), *texts]:
            sys.stdout.write("\t".join(row) + "\n")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    texts = [[_cut(name, cell) for name, cell in zip(columns, row, strict=True)] for row in texts]
    console = Console(file=sys.stdout)
    numbers = {
        name
        for n, name in enumerate(columns)
        if name in DURATIONS or all(isinstance(row[n], int | float | None) for row in given)
    }
    if _least_width(columns, texts) > console.width:
        for row in texts:
            cells = list(zip(columns, row, strict=True))
            for line in _all_named(cells) if named else _told(cells, numbers, console.width):
                console.print(Text.assemble(*line), soft_wrap=True)
        return
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for name in columns:
        justify: Literal["left", "right"] = "right" if name in numbers else "left"
        least = LEAST if name in LONG else None
        shown.add_column(
            name, justify=justify, no_wrap=name not in LONG or name == PATH, overflow="fold", min_width=least
        )
    for row in texts:
        shown.add_row(*(Text(cell, style=COLORS.get(cell, "")) for cell in row))
    console.print(shown)


def _cut(name: str, cell: str) -> str:
    """A cell without what would fill the screen; a path stays whole."""
    most = None if name == PATH else MOST.get(name, 500)
    return cell if most is None or len(cell) <= most else f"{cell[:most]}..."


def _least_width(columns: Sequence[str], texts: Sequence[Sequence[str]]) -> int:
    """What a table of these needs, if what may wrap wraps as narrow as it can."""
    from rich.cells import cell_len  # a Chinese letter takes two

    least = 2 * (len(columns) - 1)
    for name, *column in zip(columns, *texts, strict=True):
        width = max(map(cell_len, (name, *column)))
        least += min(width, LEAST) if name in LONG and name != PATH else width
    return least


Line = list[tuple[str, str]]


def _told(cells: Sequence[tuple[str, str]], numbers: Collection[str], width: int) -> Iterator[Line]:
    """A row in lines: what is short in the first, numbers by name in another, what is long in one of its own."""
    named = {name for name, _ in cells if name in LONG and name not in MOST}
    plain = [(cell, COLORS.get(cell, "")) for name, cell in cells if cell and name not in named and name not in numbers]
    counts = [(name, cell) for name, cell in cells if cell and name in numbers]
    yield from _filled([[part] for part in plain], width)
    yield from _filled([[(f"{name} ", "dim"), (cell, "")] for name, cell in counts], width, "  ")
    for name, cell in cells:
        if cell and name in named:
            yield [(f"  {name:<8} ", "dim"), (cell, "")]


def _filled(parts: Sequence[Line], width: int, indent: str = "") -> Iterator[Line]:
    """Lines of as many parts as there is room for, those after the first indented."""
    from rich.cells import cell_len

    line: Line = []
    room = 0
    for part in parts:
        size = 2 + sum(cell_len(text) for text, _ in part)
        if line and size > room:
            yield line
            line, indent = [], "  "
        if not line:
            line, room = [(indent, "")], width - len(indent) + 2
        else:
            line.append(("  ", ""))
        line += part
        room -= size
    if line:
        yield line


def _all_named(cells: Sequence[tuple[str, str]]) -> Iterator[Line]:
    """A row in lines, a value in each, and an empty one."""
    from rich.cells import cell_len, set_cell_size

    wide = max(cell_len(name) for name, _ in cells)
    for name, cell in cells:
        yield [(f"{set_cell_size(name, wide)}  ", "dim"), (cell, "")]
    yield []


def when(moment: datetime | None) -> str:
    """A moment in UTC, to the second."""
    return "" if moment is None else f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}Z"


def how_long(ms: float | None) -> str:
    """A duration in words: `850 ms`, `12.3 s`, `4 min 05 s`, `2 h 07 min`."""
    if ms is None:
        return ""
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
