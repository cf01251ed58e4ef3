"""`trackrecord recover`: closing what dead processes left open."""

from __future__ import annotations

from cyclopts import App

from prefect_trackrecord.cli.options import Json, Storage, in_paragraphs

command = App(
    name="recover",
    help_epilogue="Example:\n  trackrecord recover --storage s3://bucket/history\n\n"
    "Safe at any time, as often as you like; for example every hour from cron.",
)


@command.default
@in_paragraphs
def recover(*, storage: Storage = None, json: Json = False) -> int:
    """Close the runs that a dead process left open, and store the events that wait on this host.

    A run is closed as aborted if its process on this host is gone. What became of a Prefect flow run is asked of
    Prefect's API first. Never touches a run that is alive.
    """
    from prefect_trackrecord.cli.recover import recover as work

    return work(storage, json)
