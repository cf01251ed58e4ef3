"""The table of a run's failed files, within what both of Prefect's pages bear. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from prefect_trackrecord._prefect.artifact_links import Links
from prefect_trackrecord._prefect.artifact_markdown import MAX_CELL, by_urls, code, common_folder
from prefect_trackrecord.documents.models import FileProcessingLog, RunMetadata
from prefect_trackrecord.pages.words import clip, middle, plural

MAX_ROWS = 300
"""One page draws them all at once, and looks for markup in each cell: more take it many seconds."""
MAX_NAME = 40
"""Characters of a file's name that leave room for error and message in the narrower page: no cell wraps there."""
MAX_PATH = 1_000
"""Characters of a file's whole path, in a column of its own."""
_JOINER = "\u2060"
_SPACE = "\ufeff"
"""Nothing to be seen, and a space to the page that looks for markup: no sign of emphasis has one beside it."""
_URL = re.compile(r"https?://[^\s<>\"'`]+")
_PARTED = (
    (re.compile(r"([<&])(?=[A-Za-z/!?#])"), rf"\1{_JOINER}"),  # tags and entities
    (re.compile(r"\\(?=[!-/:-@\[-`{-~])"), rf"\\{_JOINER}"),  # escapes
    (re.compile(r"\](?=[(\[:])"), f"]{_JOINER}"),  # links
    (re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|[*~]"), rf"{_SPACE}\g<0>{_SPACE}"),  # emphasis
    (re.compile(r"^(?=[-#+>=|]|\d+[.)])"), _JOINER),  # headings, lists, quotes, rules
)


def table(failed: Sequence[FileProcessingLog], links: Links | None = None) -> str:
    """The failures table, as JSON text. Files are named below `table_folder`, what is long comes last.

    Args:
        failed: the run's failed files.
        links: what may be linked to. One page makes a link of a URL, the other shows it to be copied.
    """
    links = links or Links()
    folder = table_folder(failed)
    page = "task run page" if links.task_run("any") else "task run id"
    rows = [
        {
            "file": cell(middle(row.file_path[len(folder) :], MAX_NAME)),
            "error": cell(row.error_type or ""),
            "message": cell(row.error_message or ""),
            "task run": cell(row.task_run_name or ""),
            page: links.task_run(row.task_run_id) or row.task_run_id or "",
            "attempts": len(row.attempts) or 1,
            "took (ms)": row.processing_time_ms if row.processing_time_ms is not None else "",
            "ended": row.ended_at.isoformat(timespec="seconds") if row.ended_at else "",
            "path": cell(middle(row.file_path, MAX_PATH), MAX_PATH),
        }
        for row in failed[:MAX_ROWS]
    ]
    return json.dumps(rows, ensure_ascii=False)


def cell(text: str, most: int = MAX_CELL) -> str:
    """A text as a cell: one page takes it for markdown, the other shows it as it is, so signs that nobody sees part it.

    Code can't be parted: where two backticks would make it, they get another sign that looks like them.
    """
    line = clip(text, most)
    if line.count("`") > 1:
        line = line.replace("`", "ˋ")
    return by_urls(line, _URL, str, _parted)


def _parted(text: str) -> str:
    for signs, by in _PARTED:
        text = signs.sub(by, text)
    return text


def table_folder(failed: Sequence[FileProcessingLog]) -> str:
    """The folder that all files of the failures table are in, with its slash; a long path leaves no room beside it."""
    paths = [row.file_path for row in failed[:MAX_ROWS]]
    return common_folder([*paths, paths[0]]) if paths else ""


def table_description(run: RunMetadata, failed: Sequence[FileProcessingLog]) -> str:
    """One sentence about the failures table."""
    shown = min(len(failed), MAX_ROWS)
    of = plural(run.failed_count, "failed file")
    folder = table_folder(failed)
    where = f", in {code(folder)}" if folder else ""
    return f"{of if shown == run.failed_count else f'{shown:,} of {of}'} of run {run.run_id}{where}."
