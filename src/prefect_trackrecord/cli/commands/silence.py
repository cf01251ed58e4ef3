"""`trackrecord silence`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from prefect_trackrecord.cli.options import Json, Storage, in_paragraphs

command = App(
    name="silence",
    help_epilogue="Example:\n  trackrecord silence nightly-invoices 2h\n\n"
    "All flows:            trackrecord silence '*' 30m\n"
    "Which silences last:  trackrecord silence\n"
    "End one:              trackrecord silence nightly-invoices --end",
)


@command.default
@in_paragraphs
def silence(
    flow: str | None = None,
    lasting: str | None = None,
    /,
    *,
    end: Annotated[bool, Parameter(negative=())] = False,
    storage: Storage = None,
    json: Json = False,
) -> int:
    """Send no alerts about a flow for a while. What still lasts after that is told then.

    Args:
        flow: The flow as reports name it, or '*' for all; left out, the silences that last are listed.
        lasting: How long, such as 30m, 2h or 3d.
        end: End the silence now.
    """
    from prefect_trackrecord.cli.silence import silence as work

    return work(flow, lasting, storage, end, json)
