"""Texts from files and people as a terminal or a log line may have them."""

from __future__ import annotations

import logging


def printable(text: str) -> str:
    """`text` with everything that could steer a terminal, or that it can't show, written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class _OneLine(logging.Filter):
    """Messages of foreign errors are in our lines: none of them may begin a line of its own, or steer a terminal."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if not text.isprintable():
            record.msg, record.args = printable(text), ()
        return True


logging.getLogger("prefect_trackrecord").addFilter(_OneLine())
