"""`trackrecord records ...`: the stories of business records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from prefect_trackrecord.cli.options import Json, Storage, in_paragraphs

command = App(
    name="records",
    help="Read the stories of business records.",
    help_epilogue="Example:\n  trackrecord records show INV-1041",
)


@command.command(
    name="show",
    help_epilogue="Example:\n  trackrecord records show INV-1041 --type Invoice\n\n"
    "Of a program that keeps its records in a folder of its own:\n"
    "  trackrecord records show INV-1041 --folder temp/Records",
)
@in_paragraphs
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


@command.command(
    name="report",
    help_epilogue="Example:\n  trackrecord records report 3f2a81c0 --output invoices.html\n\n"
    "Of a program that keeps its records in a folder of its own:\n"
    "  trackrecord records report run_id --folder temp/Records",
)
@in_paragraphs
def report_records(
    run_id: str,
    /,
    *,
    output: Path | None = None,
    storage: Storage = None,
    folder: str | None = None,
    json: Json = False,
) -> int:
    """Write the page of a run's records as one file, pictures inside, that opens anywhere.

    Args:
        run_id: The run's id, or as much of its beginning as tells it from others.
        output: The file, or a folder for it; here where left out.
        folder: Instead of a history, the folder or URL that a program gave to configure_records_tracing.
    """
    from prefect_trackrecord.cli.record_files import write_report as work

    return work(storage, folder, run_id, output, json)


@command.command(
    name="pack",
    help_epilogue="Example:\n  trackrecord records pack 3f2a81c0 --output invoices.zip",
)
@in_paragraphs
def pack_records(
    run_id: str,
    /,
    *,
    output: Path | None = None,
    storage: Storage = None,
    folder: str | None = None,
    json: Json = False,
) -> int:
    """Pack a run's records into one archive to send around: page, log and pictures.

    Args:
        run_id: The run's id, or as much of its beginning as tells it from others.
        output: The file, or a folder for it; here where left out.
        folder: Instead of a history, the folder or URL that a program gave to configure_records_tracing.
    """
    from prefect_trackrecord.cli.record_files import write_archive as work

    return work(storage, folder, run_id, output, json)
