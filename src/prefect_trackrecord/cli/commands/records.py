"""`trackrecord records ...`: the stories of business records."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from prefect_trackrecord.cli.root import Json, Storage, app

records = App(
    name="records",
    help="Read the stories of business records.",
    help_epilogue="Example:\n  trackrecord records show INV-1041",
)
app.command(records)


@records.command(
    name="show",
    help_epilogue="Example:\n  trackrecord records show INV-1041 --type Invoice\n\n"
    "Of a program that keeps its records in a folder of its own:\n"
    "  trackrecord records show INV-1041 --folder temp/Records",
)
def show_record(
    record_id: str,
    /,
    *,
    storage: Storage = None,
    folder: str | None = None,
    type_: Annotated[str | None, Parameter(name="--type")] = None,
    json: Json = False,
) -> int:
    """Show what became of a record: its statuses, traces, changes and errors in every run that touched it.

    Args:
        record_id: The record's id.
        folder: Instead of a history, the folder or URL that a program gave to configure_records_tracing.
        type_: Only a record of this type, where several have the same id.
    """
    from prefect_trackrecord.cli.records import show_record as work

    return work(storage, folder, record_id, type_, json)
