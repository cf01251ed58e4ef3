"""Lets the document of a run that was sealed say that it runs, as another attempt of it begins (Prefect's Retry).

Its rows and counts stay those of the earlier attempts until it is sealed again. The attempt's end goes first: a
document that is of this attempt already, or that changes meanwhile, is left alone.
"""

from __future__ import annotations

import logging
from typing import Any

from pydantic import ValidationError

from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.documents.saving import known_day
from prefect_trackrecord.documents.writing import dump_model
from prefect_trackrecord.errors import TrackRecordError
from prefect_trackrecord.store.base import Store

logger = logging.getLogger("prefect_trackrecord")
_OF_AN_END = ("completed_at", "duration_ms", "error_message", "error_type", "traceback", "reason", "state")
_OF_THE_START = ("run_count", "host", "pid", "versions")


def reopen(store: Store, run: RunMetadata) -> None:
    """Write it; never raises a `TrackRecordError`.

    Args:
        store: where the documents are.
        run: the run as this attempt of it starts.
    """
    try:
        day = known_day(store, run.run_id)
        key = layout.run_key(run.run_id, day) if day is not None else None
        blob = store.get(key) if key is not None else None
        if key is None or blob is None:
            return
        before = RunMetadata.model_validate_json(blob.data)
        if before.status is RunStatus.RUNNING or before.run_count >= run.run_count:
            return
        news: dict[str, Any] = {**dict.fromkeys(_OF_AN_END), **{name: getattr(run, name) for name in _OF_THE_START}}
        store.replace(key, dump_model(before.model_copy(update={**news, "status": RunStatus.RUNNING})), blob.etag)
    except (TrackRecordError, ValidationError) as exc:
        logger.debug("the document of run %s does not say that it runs again: %s", run.run_id, exc)
