"""Which record an object is, and which of its fields is the status."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from prefect_trackrecord.journal.naming import mask_name
from prefect_trackrecord.journal.plain import clean, mask_text
from prefect_trackrecord.record.status import RecordStatus, is_status_annotation

NO_ID = "(no id)"
_status_fields: dict[type[BaseModel], tuple[str, ...]] = {}


def key_of(record: BaseModel) -> tuple[str, str]:
    """The record's id and type. The type is declared (`record_type`) or the class's name, never its module.

    Prefect loads flow files under module names of its own making, so that a module says nothing. A secret in either
    is masked so that two records stay two.
    """
    record_id = record.__dict__.get("id")
    if type(record_id) is not str:
        record_id = NO_ID if record_id is None else str(record_id)
    if not record_id.isascii():
        record_id = clean(record_id)
    cls: Any = type(record)
    return mask_name(record_id) or NO_ID, mask_name(cls.record_type or cls.__name__)


def status_fields(cls: type[BaseModel]) -> tuple[str, ...]:
    """The fields annotated as status."""
    found = _status_fields.get(cls)
    if found is None:
        found = tuple(n for n, f in cls.model_fields.items() if is_status_annotation(f.annotation))
        if cls.__pydantic_complete__:
            _status_fields[cls] = found
    return found


def status_field(record: BaseModel) -> str:
    """The name of the field that holds the status; empty for a record without one."""
    names = status_fields(type(record))
    return names[0] if names else ""


def status_of(record: BaseModel) -> RecordStatus | None:
    """The record's status; None where it has none."""
    value: Any = record.__dict__.get(status_field(record))
    try:
        return RecordStatus.of(value)
    except ValueError:
        return None


def status_given(record: BaseModel) -> bool:
    """Whether the status was given when the record was constructed."""
    return status_field(record) in record.__pydantic_fields_set__


def adopt(record: BaseModel, status: RecordStatus) -> None:
    """Let the object have the status that its record is known to have, masked; no change of the record."""
    name = status_field(record)
    own = record.__dict__.get(name)
    if name and own != status and not (isinstance(own, str) and mask_text(str(own)) == status):
        record.__dict__[name] = status
