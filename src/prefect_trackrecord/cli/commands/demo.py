"""`trackrecord demo`: a history, its records, its report and its mail within seconds."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from prefect_trackrecord.cli.options import Json, in_paragraphs

command = App(
    name="demo",
    help_epilogue="Example:\n  trackrecord demo --output /tmp/trackrecord-demo",
)


@command.default
@in_paragraphs
def demo(*, output: Path = Path("trackrecord-demo"), json: Json = False) -> int:
    """Track two runs over real files, keep their records, and write the report and its mail; needs no server.

    It compiles some of your interpreter's own modules, and two copies that it breaks. Of a Prefect flow it would look
    the same; nothing of yours is touched, and everything lies in one folder.

    Args:
        output: Where everything is written: a new or empty folder, or that of an earlier demo.
    """
    from prefect_trackrecord.cli.demo import demo as work

    return work(output, json)
