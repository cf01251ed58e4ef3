"""The options that most commands have, and how their helps are broken into lines."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, TypeVar

from cyclopts import Parameter

Storage = Annotated[
    str | None,
    Parameter(
        help="A folder, a URL such as s3://bucket/path, or trackrecord-storage/<block name>. Where left out: "
        "TRACKING_PATH, then the setting PREFECT_INTEGRATIONS_TRACKRECORD_STORAGE, then a folder under the Prefect "
        "home, just as where flows are tracked."
    ),
]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON, with every field.")]
F = TypeVar("F", bound=Callable[..., int])


def in_paragraphs(command: F) -> F:
    """Join the lines of each paragraph and argument of a command's help: only the terminal's width is to break them."""
    parts = []
    for part in (inspect.getdoc(command) or "").split("\n\n"):
        lines: list[str] = []
        for line in part.splitlines():
            goes_on = line.startswith(8 * " ") if part.startswith("Args:") else bool(lines)
            if goes_on:
                lines[-1] += f" {line.strip()}"
            else:
                lines.append(line)
        parts.append("\n".join(lines))
    command.__doc__ = "\n\n".join(parts)
    return command
