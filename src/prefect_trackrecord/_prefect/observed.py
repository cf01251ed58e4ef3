"""What Prefect's own log lines tell of the task runs of a flow, tracked or not, in this process.

The API learns of task runs by events and lags behind: by seconds, for a flow of many tasks, at the run's end. The line
"Finished in state ..." is written in the flow's process as it happens and costs nothing to read.
"""

from __future__ import annotations

import ast
import functools
import logging
import re

from prefect_trackrecord._prefect import runs
from prefect_trackrecord._prefect.quiet import FILTER
from prefect_trackrecord._prefect.runs import TaskEnd

_STATE = re.compile(
    r"(?P<name>[^(]+)\("
    r"(?P<message>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")?"
    r"(?:, )?(?:type=(?P<type>[A-Z]+))?",
    re.DOTALL,
)


@functools.lru_cache(maxsize=256)
def state_of(text: str) -> tuple[str, str | None, bool]:
    """A state as Prefect prints it (`Failed('why')`, `Cached(type=COMPLETED)`): name, message, whether it is bad."""
    match = _STATE.match(text)
    if match is None:
        return text.strip() or "Unknown", None, True
    name, message = match["name"], match["message"]
    bad = (match["type"] or name.upper()) != "COMPLETED"
    try:
        return name, ast.literal_eval(message) if message else None, bad
    except (SyntaxError, ValueError):
        return name, message, bad


def _note(text: str, record: logging.LogRecord) -> None:
    run = runs.find(getattr(record, "flow_run_id", None))
    task_run_id = getattr(record, "task_run_id", None)
    if run is None or run.options is None or task_run_id is None:
        return
    run.note_task(task_run_id, TaskEnd(str(getattr(record, "task_run_name", "")), *state_of(text)))


FILTER.sink = _note
