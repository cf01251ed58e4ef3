"""Keeps the log rows that Prefect writes around each of our hooks away from the console and the API.

Prefect logs two INFO lines for each hook it runs, and they are nearly the whole cost of a hook. The filter drops those
of our own hooks that went well; a hook that fails is still logged. It is installed when this module is imported, and
the hooks' modules import it, so every process that can run our hooks has it.

It also sees each task run's last line ("Finished in state ..."), the one sign of a task run that is not ours which
needs no request: `sink` is told of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

HOOK_NAME = "trackrecord"
LOGGERS = ("prefect.task_runs", "prefect.flow_runs", "prefect.engine")
_DROPPED = (f"Running hook '{HOOK_NAME}'", f"Hook '{HOOK_NAME}' finished running")
_FINISHED = "Finished in state "

Sink = Callable[[str, logging.LogRecord], None]


class QuietHooks(logging.Filter):
    """Lets everything pass but the two lines around our hooks."""

    sink: Sink | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is kept."""
        message = record.msg
        if not isinstance(message, str):
            return True
        if message.startswith(("Running hook", "Hook ")):
            if record.args:  # a runner logs a template, the engine the whole text
                message = record.getMessage()
            return not message.startswith(_DROPPED)
        if self.sink is not None and message.startswith(_FINISHED):
            self.sink(message[len(_FINISHED) :], record)
        return True


def _short_cut(logger: logging.Logger) -> None:
    """Drop the two lines before a record is made of them: that, and finding who logged, is most of what they cost."""
    log = logger.log

    def quick(level: int, msg: object, *args: Any, **more: Any) -> None:
        if not (type(msg) is str and msg.startswith(_DROPPED)):
            log(level, msg, *args, **more)

    # to those who look for the line that logged, this is a part of logging
    quick.__code__ = quick.__code__.replace(co_filename=logging.Logger.log.__code__.co_filename)
    logger.log = quick  # type: ignore[method-assign]


def install() -> QuietHooks:
    """Install the filter once per process; returns it."""
    found: QuietHooks | None = None
    for name in LOGGERS:
        logger = logging.getLogger(name)
        ours = next((f for f in logger.filters if isinstance(f, QuietHooks)), None)
        found = found or ours or QuietHooks()
        if ours is None:
            logger.addFilter(found)
            _short_cut(logger)
    assert found is not None
    return found


FILTER = install()
