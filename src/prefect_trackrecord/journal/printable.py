"""Texts from files and people as a terminal or a log line may have them."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with everything that could steer a terminal, or that it can't show, written out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
