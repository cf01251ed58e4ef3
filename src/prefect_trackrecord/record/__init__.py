"""Business records that keep their own story: what changed, when, why, with pictures; in one page at the end.

The names are T-Record's: `from prefect_trackrecord.record import ThoughtfulRecord, dump_records, ...`. What only
reads is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from prefect_trackrecord.record.model import ThoughtfulRecord
from prefect_trackrecord.record.status import RecordStatus, Status
from prefect_trackrecord.record.tracing import (
    configure_record_tracing,
    configure_records_tracing,
    dump_records,
    dump_records_html,
    pack_sharable_zip,
    save_records_to_html,
)

if TYPE_CHECKING:
    from prefect_trackrecord.record.entries import RecordEntry, StatusUpdate, Trace
    from prefect_trackrecord.record.loading import load_records
    from prefect_trackrecord.record.over_time import RecordHistory, record_history

_LATER = {
    "RecordEntry": "entries",
    "StatusUpdate": "entries",
    "Trace": "entries",
    "load_records": "loading",
    "RecordHistory": "over_time",
    "record_history": "over_time",
}

__all__ = [
    "RecordEntry",
    "RecordHistory",
    "RecordStatus",
    "Status",
    "StatusUpdate",
    "ThoughtfulRecord",
    "Trace",
    "configure_record_tracing",
    "configure_records_tracing",
    "dump_records",
    "dump_records_html",
    "load_records",
    "pack_sharable_zip",
    "record_history",
    "save_records_to_html",
]


def __getattr__(name: str) -> Any:
    home = _LATER.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
