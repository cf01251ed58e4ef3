"""`trackrecord doctor`: what is wrong with this installation, and what to do."""

from __future__ import annotations

from cyclopts import App

from prefect_trackrecord.cli.options import Json, Storage, in_paragraphs

command = App(
    name="doctor",
    help_epilogue="Example:\n  trackrecord doctor --storage s3://bucket/history\n\n"
    "Exit code 0 where all is well, or there are warnings only; 1 where something does not work.",
)


@command.default
@in_paragraphs
def doctor(*, storage: Storage = None, json: Json = False) -> int:
    """Check versions, the storage, events left behind on this host, Prefect's API and the mail server.

    The storage is tried with objects of its own that are removed again. Nothing is mailed.
    """
    from prefect_trackrecord.cli.doctor import doctor as work

    return work(storage, json)
