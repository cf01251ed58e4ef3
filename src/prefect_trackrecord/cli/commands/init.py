"""`trackrecord init`: a starter in a project of one's own."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from prefect_trackrecord.cli.options import Json, in_paragraphs

command = App(
    name="init",
    help_epilogue="Example:\n  trackrecord init --timezone Europe/Berlin",
)


@command.default
@in_paragraphs
def init(folder: Path = Path("."), /, *, timezone: str = "UTC", history: str | None = None, json: Json = False) -> int:
    """Write a starter: prefect.yaml, the delivery report's configuration, an example flow, serve.py.

    Nothing that is there already is overwritten; a `report.yaml` is used as the report's configuration. Says which
    three commands come next.

    Args:
        folder: The project's folder.
        timezone: Whose days and hours the schedules mean.
        history: Folder or URL of the history. Where left out: where it has been so far, else the folder `history` in
            the project.
    """
    from prefect_trackrecord.cli.init import init as work

    return work(folder, timezone, history, json)
