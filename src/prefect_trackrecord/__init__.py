"""A track record for Prefect flows: what became of every run, file, record and email, and a report that says so.

The public names are loaded when they are first used, so that importing the package imports neither Prefect nor a
storage driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from prefect_trackrecord._prefect.alerting import notify_on_failure as notify_on_failure
    from prefect_trackrecord._prefect.blocks import TrackRecordStorage as TrackRecordStorage
    from prefect_trackrecord._prefect.delivery_block import TrackRecordDelivery as TrackRecordDelivery
    from prefect_trackrecord._prefect.hooks import hooks as hooks
    from prefect_trackrecord._prefect.track import track as track
    from prefect_trackrecord.callbacks import track_command as track_command
    from prefect_trackrecord.delivery import Email as Email
    from prefect_trackrecord.delivery import send_emails as send_emails
    from prefect_trackrecord.errors import TrackRecordError as TrackRecordError
    from prefect_trackrecord.record import RecordStatus as RecordStatus
    from prefect_trackrecord.record import Status as Status
    from prefect_trackrecord.record import ThoughtfulRecord as ThoughtfulRecord
    from prefect_trackrecord.record import configure_records_tracing as configure_records_tracing
    from prefect_trackrecord.record import dump_records as dump_records
    from prefect_trackrecord.record import load_records as load_records
    from prefect_trackrecord.record import pack_sharable_zip as pack_sharable_zip
    from prefect_trackrecord.record import record_history as record_history
    from prefect_trackrecord.record import save_records_to_html as save_records_to_html
    from prefect_trackrecord.tracking import (
        EmailResult as EmailResult,
    )
    from prefect_trackrecord.tracking import (
        FileProcessingLog as FileProcessingLog,
    )
    from prefect_trackrecord.tracking import (
        FileStatus as FileStatus,
    )
    from prefect_trackrecord.tracking import (
        RunMetadata as RunMetadata,
    )
    from prefect_trackrecord.tracking import (
        RunStatus as RunStatus,
    )
    from prefect_trackrecord.tracking import (
        RunTracker as RunTracker,
    )
    from prefect_trackrecord.tracking import (
        TrackingStorage as TrackingStorage,
    )
    from prefect_trackrecord.tracking import (
        current_tracker as current_tracker,
    )
    from prefect_trackrecord.tracking import (
        recover as recover,
    )
    from prefect_trackrecord.tracking.failed import failed_files as failed_files
    from prefect_trackrecord.tracking.values import param as param

_HOMES = {
    "track": "_prefect.track",
    "notify_on_failure": "_prefect.alerting",
    "param": "tracking.values",
    "hooks": "_prefect.hooks",
    "TrackRecordStorage": "_prefect.blocks",
    "TrackRecordDelivery": "_prefect.delivery_block",
    "track_command": "callbacks",
    "Email": "delivery",
    "send_emails": "delivery",
    "TrackRecordError": "errors",
    "RecordStatus": "record",
    "Status": "record",
    "ThoughtfulRecord": "record",
    "configure_records_tracing": "record",
    "dump_records": "record",
    "load_records": "record",
    "pack_sharable_zip": "record",
    "record_history": "record",
    "save_records_to_html": "record",
    "EmailResult": "tracking",
    "FileProcessingLog": "tracking",
    "FileStatus": "tracking",
    "RunMetadata": "tracking",
    "RunStatus": "tracking",
    "RunTracker": "tracking",
    "TrackingStorage": "tracking",
    "current_tracker": "tracking",
    "recover": "tracking",
    "failed_files": "tracking.failed",
}

__all__ = sorted([*_HOMES, "__version__"])  # noqa: PLE0605 - the list is made of the homes, so that it can't drift


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if name == "__version__":
        value: Any = _version()
    elif home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    else:
        value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("prefect-trackrecord")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0.0.0"


def __dir__() -> list[str]:
    return __all__
