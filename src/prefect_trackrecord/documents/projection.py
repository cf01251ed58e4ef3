"""Runs as reports need them: only the fields that sums and lists are made of.

Where msgspec is installed (the extra `fast`) it decodes just these and skips the rest, in a third of the time that the
model takes; picking them out of a dict, in Python, would take longer than the model. A document that has a field in
another shape than the package writes it is left to the model, which accepts, mends or refuses it. Asking for a field
that is left out is an AttributeError.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, cast

from pydantic import BaseModel

from prefect_trackrecord.documents.models import EmailResult, ErrorGroup, Rollup, RunMetadata, RunStatus

LEFT_OUT = frozenset(
    (
        *("parameters", "versions", "attempts", "failed_tasks", "task_counts", "host", "pid"),
        *("generation", "schema_version", "config_path", "target_date", "run_count"),
    )
)
FIELDS = tuple(name for name in RunMetadata.model_fields if name not in LEFT_OUT)
_ROLLUP = ("version", "files", "errors", "errors_cut")
_EMAIL = tuple(name for name in EmailResult.model_fields if name != "at")
_KEPT: Any = {**dict.fromkeys(FIELDS, True), "rollup": set(_ROLLUP), "email_results": {"__all__": set(_EMAIL)}}
_NAMES = (FIELDS, _ROLLUP, _EMAIL, tuple(ErrorGroup.model_fields))
VERSION = f"1-{zlib.crc32(repr([sorted(names) for names in _NAMES]).encode()):08x}"
"""Of the lines that `to_line` writes: another one where fields have other meanings (the first part) or names."""


def facts(data: bytes) -> RunMetadata:
    """The run of a document, at least with the fields in `FIELDS`; to be read only.

    Raises:
        ValidationError: the document can't be read.
    """
    try:
        return _decode(data)
    except Exception:  # noqa: BLE001 - anything odd: the model knows what to do, or to say
        return RunMetadata.model_validate_json(data)


def to_line(run: RunMetadata) -> bytes | None:
    """The facts on one line, for `of_lines`; None where they can't be told so."""
    try:
        if type(run) is not RunMetadata:
            return cast("bytes", _encode(run))
        line = run.model_dump_json(include=_KEPT, exclude_defaults=True).encode()
        of_lines(line)
    except Exception:  # noqa: BLE001 - a number that JSON has no word for, or whatever else a foreign document holds
        return None
    return line


def of_lines(lines: bytes) -> list[RunMetadata]:
    """The runs of such lines.

    Raises:
        ValueError: one of them can't be read.
    """
    if _decode_lines is not None:
        try:
            return cast("list[RunMetadata]", _decode_lines(lines))
        except Exception as exc:
            raise ValueError(str(exc)) from exc
    return [RunMetadata.model_validate_json(line) for line in lines.split(b"\n")]


def _codec() -> tuple[Any, Any, Any]:
    """Of a document, of lines and to a line, with something that has a run's attributes; models without msgspec."""
    try:
        import msgspec
    except ImportError:
        return RunMetadata.model_validate_json, None, None

    def struct(model: type[BaseModel], names: tuple[str, ...], **kinds: Any) -> Any:
        fields: list[Any] = []
        for name in names:
            field = model.model_fields[name]
            kind = kinds.get(name, field.annotation)
            if field.is_required():
                fields.append((name, kind))
            elif name in _LISTS:  # an empty tuple costs nothing
                fields.append((name, tuple[kind, ...], ()))  # type: ignore[valid-type]
            elif field.default_factory is not None:
                fields.append((name, kind, msgspec.field(default_factory=cast("Any", field.default_factory))))
            else:
                fields.append((name, kind, field.default))
        how: dict[str, Any] = {"kw_only": True, "gc": False, "omit_defaults": True}
        return msgspec.defstruct(model.__name__, fields, namespace={"model_copy": _copy}, **how)

    def _copy(run: Any, *, update: dict[str, Any]) -> Any:
        return msgspec.structs.replace(run, **update)

    moment = Annotated[datetime, msgspec.Meta(tz=True)]  # the model gives one to those that have no time zone
    maybe = moment | None
    group = struct(ErrorGroup, tuple(ErrorGroup.model_fields), first_seen=maybe, last_seen=maybe)
    rollup = struct(Rollup, _ROLLUP, errors=group)
    email = struct(EmailResult, _EMAIL)
    run = struct(
        RunMetadata,
        FIELDS,
        started_at=moment,
        completed_at=maybe,
        scheduled_for=maybe,
        status=RunStatus,
        rollup=rollup | None,
        email_results=email,
        tags=str,
    )
    decoder = msgspec.json.Decoder(run)
    return decoder.decode, decoder.decode_lines, msgspec.json.Encoder().encode


_LISTS = ("errors", "email_results", "tags")
_decode: Callable[[bytes], RunMetadata]
_decode, _decode_lines, _encode = _codec()
