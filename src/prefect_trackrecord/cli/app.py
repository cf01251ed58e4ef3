"""The commands and what they are called with; what they do is imported when one of them runs."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter

from prefect_trackrecord import __version__
from prefect_trackrecord.cli.output import complain
from prefect_trackrecord.errors import ConfigurationError, TrackRecordError

Status = Literal["running", "success", "partial_success", "failed", "aborted"]
Storage = Annotated[
    str | None,
    Parameter(
        help="A folder, a URL such as s3://bucket/path, or trackrecord-storage/<block name>. Where left out: "
        "TRACKING_PATH, then the setting PREFECT_INTEGRATIONS_TRACKRECORD_STORAGE, then a folder under the Prefect "
        "home, just as where flows are tracked."
    ),
]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON, with every field.")]

app = App(
    name="trackrecord",
    help="The track record of Prefect flows and other commands: what became of every run, file and email.",
    version=f"trackrecord {__version__}",
    help_format="plaintext",
    help_epilogue="Example:\n  trackrecord runs list --status failed\n\n"
    "Each command has a help of its own: trackrecord runs list --help",
)
runs = App(
    name="runs",
    help="Read the history of runs.",
    help_epilogue="Example:\n  trackrecord runs show 3f2a --failed",
)
app.command(runs)
records = App(
    name="records",
    help="Read the stories of business records.",
    help_epilogue="Example:\n  trackrecord records show INV-1041",
)
app.command(records)


@runs.command(
    name="list",
    help_epilogue="Example:\n  trackrecord runs list --from 2025-01-20 --to 2025-01-26 --status failed\n\n"
    "Without a terminal the rows are separated by tabs, with run ids in full:\n"
    "  trackrecord runs list | cut -f 1",
)
def list_runs(
    *,
    storage: Storage = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    command: str | None = None,
    status: Status | None = None,
    limit: int = 50,
    json: Json = False,
) -> int:
    """List runs, newest first.

    Args:
        from_: First day of their start, YYYY-MM-DD in UTC.
        to: Last day, included.
        command: Only runs of this command or flow.
        status: Only runs that stand so.
        limit: At most so many; 0 for all.
    """
    from prefect_trackrecord.cli.runs import list_runs as work

    return work(storage, from_, to, command, status, limit, json)


@runs.command(
    name="show",
    help_epilogue="Example:\n  trackrecord runs show 3f2a81c0 --failed\n\n"
    "As JSON, for example for the paths of the failed files:\n"
    "  trackrecord runs show 3f2a81c0 --failed --json | jq -r '.files[].file_path'",
)
def show_run(
    run_id: str,
    /,
    *,
    storage: Storage = None,
    failed: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
) -> int:
    """Show one run: how it ended, its files and emails, its errors.

    Args:
        run_id: The run's id, or as much of its beginning as tells it from others.
        failed: Show all failed files, and no others.
    """
    from prefect_trackrecord.cli.runs import show_run as work

    return work(storage, run_id, failed, json)


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


@app.command(
    help_epilogue="Example:\n  trackrecord recover --storage s3://bucket/history\n\n"
    "Safe at any time, as often as you like; for example every hour from cron."
)
def recover(*, storage: Storage = None, json: Json = False) -> int:
    """Close the runs that a dead process left open, and store the events that wait on this host.

    A run is closed as aborted if its process on this host is gone. What became of a Prefect flow run is asked of
    Prefect's API first. Never touches a run that is alive.
    """
    from prefect_trackrecord.cli.recover import recover as work

    return work(storage, json)


@app.command(
    help_epilogue="Example:\n  trackrecord delivery-report --config config/delivery_report_config.yaml "
    "--date-from 2025-01-20 --date-to 2025-01-26\n\n"
    "To see it without storing or sending anything:\n"
    "  trackrecord delivery-report --config report.yaml --window last-7-days --dry-run"
)
def delivery_report(
    *,
    config: Path,
    date_from: str | None = None,
    date_to: str | None = None,
    window: str | None = None,
    storage: Storage = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    preview: Path | None = None,
    to: Annotated[list[str] | None, Parameter(negative=())] = None,
    resend: Literal["all", "undelivered"] | None = None,
    json: Json = False,
) -> int:
    """Report on the runs of some days, store the report, and mail it to those who have not got it yet.

    Without a mail server in the configuration, the mails are left in an outbox folder.

    Args:
        config: The report's configuration, a YAML file.
        date_from: First day, YYYY-MM-DD in the report's time zone.
        date_to: Last day, included.
        window: Instead of dates: today, yesterday, last-7-days, previous-week or previous-month. Where neither is
            given the configuration says it.
        dry_run: Print the report and what would be sent; store nothing and send nothing.
        preview: Write the report's page to this file, or into this folder; store nothing else and send nothing.
        to: Send a test copy to this address only; may be given several times.
        resend: Send also to all who got it already, or to those whose mail was rejected.
    """
    from prefect_trackrecord.cli.delivery_report import Sending
    from prefect_trackrecord.cli.delivery_report import delivery_report as work

    sending = Sending(dry_run=dry_run, preview=preview, to=tuple(to or ()), resend=resend)
    return work(config, date_from, date_to, window, storage, sending, json)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors that a person can mend are told without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that can't show a letter is no reason to stop
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)  # on the handler: Prefect sets the level of its own loggers
    logging.basicConfig(handlers=[handler], format="%(levelname)s: %(message)s")
    try:
        code = app(
            list(arguments) if arguments is not None else None,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except CycloptsError as exc:
        complain(f"{exc}\nTry: {' '.join(['trackrecord', *(exc.command_chain or ())])} --help")
        return 2
    except ConfigurationError as exc:
        complain(exc)
        return 2
    except TrackRecordError as exc:
        complain(exc)
        return 1
    except BrokenPipeError:  # whoever read our output has seen enough; nothing must be flushed into it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
