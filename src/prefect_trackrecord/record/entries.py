"""What `records_logs.json` holds, as models: the T-Record seed's fields by their names, and additive ones."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from prefect_trackrecord.record.document import moment


class _Entry(BaseModel):
    """Fields of a newer version are kept as they are; dumped, it is what the document holds."""

    model_config = ConfigDict(extra="allow")

    always: ClassVar[frozenset[str]] = frozenset()
    """The seed's fields, which are there in every entry; additive ones are where they say something."""

    @model_serializer(mode="wrap")
    def _as_in_the_document(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        keep = self.always | self.model_fields_set
        return {name: value for name, value in handler(self).items() if name in keep}


class StatusUpdate(_Entry):
    """One change of status. `kind` is `reopened` for one that left a locked status on purpose."""

    always = frozenset(("timestamp", "old_status", "old_status_color", "new_status", "new_status_color", "traceback"))

    timestamp: str
    old_status: str = ""
    old_status_color: str = ""
    new_status: str = ""
    new_status_color: str = ""
    traceback: str = ""
    category: str | None = None
    reason: str = ""
    kind: str = ""

    @property
    def at(self) -> datetime | None:
        """The timestamp as a datetime."""
        return moment(self.timestamp)


class Trace(_Entry):
    """One thing that happened to a record.

    Attributes:
        dict_updates: what changed since the trace before, by path; each has exactly `from` and `to`.
        dict_updates_kinds: of items of lists what else there is to say: `kind` and `position`; of a secret that
            changed, whose mask is the same: `masked`.
        image: `images/<name>` of the unchanged copy.
        step, outcome, duration_ms: of a trace that closes a step.
        error: `kind`, `code`, `type`, `message`, `traceback` of a failure.
        cut: what was left out for its size; `unstorable`: what could not be stored, and why.
    """

    always = frozenset(
        ("action", "reason", "timestamp", "dict_updates", "image", "caller_name", "traceback", "image_src_uri")
    )

    action: str = ""
    reason: str = ""
    timestamp: str
    dict_updates: dict[str, dict[str, Any]] = Field(default_factory=dict)
    image: str = ""
    caller_name: str = ""
    traceback: str = ""
    image_src_uri: str = ""
    dict_updates_kinds: dict[str, Any] = Field(default_factory=dict)
    step: str = ""
    outcome: str = ""
    duration_ms: float | None = None
    error: dict[str, Any] | None = None
    cut: dict[str, Any] | None = None
    unstorable: dict[str, Any] | None = None

    @property
    def at(self) -> datetime | None:
        """The timestamp as a datetime."""
        return moment(self.timestamp)


class RecordEntry(_Entry):
    """One record's story, as `records_logs.json` holds it.

    Attributes:
        record: the record's values as a JSON string.
        record_type: the class's name, or what it declares; empty in a history of T-Record's own.
        category: that of the status: pending, active, success, warning, failed, skipped, or None.
        attempts: how often work on it began.
        time_in_status: seconds in each status that it has left; `status_since` says since when it is in the
            present one.
        steps: name, outcome, start, length and error of each step; `current_step` is one that was begun only.
        error: the last failure, as in `Trace`; None after a later success.
        traced_record: the values at the last trace, where they changed since.
        unstorable: fields whose values could not be said in JSON and are kept as their repr.
    """

    always = frozenset(("record_id", "record", "status", "status_color", "status_updates", "traces", "record_type"))

    record_id: str
    record: str = ""
    status: str = ""
    status_color: str = ""
    status_updates: list[StatusUpdate] = Field(default_factory=list)
    traces: list[Trace] = Field(default_factory=list)
    record_type: str = ""
    created_at: str | None = None
    updated_at: str | None = None
    category: str | None = None
    attempts: int = 0
    time_in_status: dict[str, float] = Field(default_factory=dict)
    status_since: str | None = None
    steps: list[dict[str, Any]] = Field(default_factory=list)
    current_step: str | None = None
    error: dict[str, Any] | None = None
    traced_record: str | None = None
    unstorable: list[str] | None = None

    @property
    def values(self) -> dict[str, Any]:
        """The record's values; empty where they can't be read."""
        try:
            found = json.loads(self.record)  # orjson makes floats of integers beyond 64 bits
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}
