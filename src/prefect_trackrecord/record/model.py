"""`ThoughtfulRecord`: a business record, as a pydantic model, that keeps its own story."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.journal.plain import text_of
from prefect_trackrecord.record import identity
from prefect_trackrecord.record.lifecycle import KINDS, Step, check, error_of, governed, refusal
from prefect_trackrecord.record.making import text_in
from prefect_trackrecord.record.status import RecordStatus, Status
from prefect_trackrecord.record.tracing import tracing

T = TypeVar("T", bound="ThoughtfulRecord")
_copying: ContextVar[bool] = ContextVar("trackrecord_copying", default=False)


class _Copies:
    """What pydantic's plugin for type checkers would else take for a second definition."""

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Any:
        """As pydantic's; Prefect copies parameters this way, so that it continues a record and changes nothing."""
        token = _copying.set(True)
        try:
            return super().model_construct(_fields_set, **values)  # type: ignore[misc]
        finally:
            _copying.reset(token)


class ThoughtfulRecord(_Copies, BaseModel):
    """A business record (an invoice, a claim, a call) that keeps its own story.

    Subclass it with the record's fields. One of them may be annotated `RecordStatus`. Constructing a record
    begins its story, or goes on with the one that its id and type have already; assigning its status and calling
    `log_trace` continue it.

    Attributes:
        id: names the record together with its type; never blank.
        record_type: the type, where it is to be another than the class's name.
        record_transitions: opt-in: which statuses may follow which.
        record_terminal: opt-in: statuses that only `reopen` leaves.
    """

    model_config = ConfigDict(
        strict=True,
        validate_assignment=True,
        extra="forbid",
        str_strip_whitespace=True,
        ser_json_inf_nan="constants",  # what is not a number must not look like what is not there
    )

    record_type: ClassVar[str | None] = None
    record_transitions: ClassVar[Mapping[str, Iterable[str]] | None] = None
    record_terminal: ClassVar[Iterable[str]] = ()

    id: str

    @field_validator("id")
    @classmethod
    def _id_is_not_blank(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.strip():
            raise ValueError("a record needs an id that is not blank")
        return value

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__.get("model_post_init")
        if own is not None:  # a class's own hook must not cost its records their story
            cls.model_post_init = _then_meet(own)  # type: ignore[method-assign]

    def model_post_init(self, context: Any, /) -> None:
        """Begin the record's story, or go on with it."""
        _meet(self)

    def __setattr__(self, name: str, value: Any) -> None:
        fields = type(self).__pydantic_fields__
        if name not in fields or "id" not in self.__dict__:
            super().__setattr__(name, value)
            return
        if name == identity.status_field(self):
            if value is not None:
                check(type(self), present_status(self), str(value))
            super().__setattr__(name, value)
            new = identity.status_of(self) or RecordStatus("")
            quietly(lambda: tracing.recorder().changed(self, new))
            return
        before = self.__dict__.get(name)
        super().__setattr__(name, value)
        after = self.__dict__.get(name)
        if name != "id" and not (type(before) is type(after) and _equal(before, after)):
            quietly(lambda: tracing.recorder().assigned(self, name, after))

    # --- the story ----------------------------------------------------------------------------------------

    def log_trace(self, action: str = "", reason: str = "", image: Any = "") -> None:
        """Keep what just happened to the record, with every field that changed since the last trace.

        Never raises; what can't be kept is said in the trace.

        Args:
            action: what happened.
            reason: why.
            image: a picture: a path, bytes, an open file, a figure (`savefig`) or a Pillow image (`save`).
        """
        try:
            tracing.recorder().trace(self, action, reason, image)
        except Exception as exc:  # noqa: BLE001 - tracking never breaks what it tracks
            _trouble(exc)

    def get_traces(self) -> list[dict[str, str]]:
        """The record's traces, those of earlier runs first, as `{action, reason, timestamp}`."""
        found: list[dict[str, str]] = []

        def collect() -> None:
            for trace in tracing.recorder().known(self).in_order():
                body = json.loads(trace)
                found.append({name: body.get(name, "") for name in ("action", "reason", "timestamp")})

        quietly(collect)
        return found

    def step(self, name: str) -> Step:
        """Trace a stage with its time and outcome: `with record.step("validate"): ...`."""
        return Step(
            name,
            lambda step: quietly(lambda: tracing.recorder().began(self, step)),
            lambda action, reason, told: quietly(lambda: tracing.recorder().trace(self, action, reason, None, told)),
        )

    def fail(
        self,
        exc: BaseException | str,
        *,
        kind: str = "application",
        code: str = "",
        status: RecordStatus | str | None = Status.FAILED,
        reason: str = "",
    ) -> None:
        """Keep a failure: the exception's type, message and traceback, and the status that follows from it.

        Args:
            exc: the exception, or what is wrong in words.
            kind: `business` (the data is to blame) or `application` (the program or its surroundings are).
            code: a short name of the failure, such as `DUPLICATE`; equal codes are counted together.
            status: the record's new status; None leaves it.
            reason: shown with the trace; the exception's message where left out.

        Raises:
            UsageError: there is no such kind.
        """
        if kind not in KINDS:
            raise UsageError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
        error = error_of(exc, kind, code)
        told: dict[str, Any] = {"error": error}
        if status is not None and identity.status_field(self):
            old = present_status(self)
            if why := refusal(type(self), old, str(status)):
                told["unstorable"] = {"status": why}
            else:
                setattr(self, identity.status_field(self), status)
        action = f"Failed: {code}" if code else "Failed"
        quietly(lambda: tracing.recorder().trace(self, action, reason or error["message"], None, told))

    def reopen(self, status: RecordStatus | str, reason: str = "") -> None:
        """Leave a terminal status on purpose; the story says so. Nothing happens where the record has this status.

        Raises:
            UsageError: the record has no status.
        """
        name = identity.status_field(self)
        if not name:
            raise UsageError(f"{type(self).__name__} has no field annotated RecordStatus")
        super().__setattr__(name, status)
        new = identity.status_of(self) or RecordStatus("")

        def reopened() -> None:
            recorder = tracing.recorder()
            if recorder.known(self).status != text_in(new):
                recorder.changed(self, new, reason=reason, kind="reopened")
                recorder.trace(self, "Reopened", reason, None)

        quietly(reopened)

    # --- the record as JSON -------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dict."""
        return self.model_dump()

    def to_json_str(self) -> str:
        """The fields as JSON text."""
        return self.model_dump_json(indent=4)

    def save_to_json_file(self, file_path: str | os.PathLike[str]) -> None:
        """Write the fields to a JSON file; its folder is made.

        Raises:
            OSError: it can't be written.
        """
        target = Path(file_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.to_json_str(), encoding="utf-8")

    @classmethod
    def load_from_json_file(cls: type[T], file_path: str | os.PathLike[str]) -> T:
        """The record of a JSON file.

        Raises:
            OSError: it can't be read.
            ValidationError: it holds no such record.
        """
        return cls.model_validate_json(Path(file_path).read_bytes())


def present_status(record: ThoughtfulRecord) -> str:
    """The status from which the next one counts.

    Where the class has rules, that is its record's: another object of it, or another process, may have given it
    one since, and a locked status must be locked for all of them.
    """
    status = str(identity.status_of(record) or "")
    if governed(type(record)):
        try:
            return tracing.recorder().known(record).status or status
        except Exception as exc:  # noqa: BLE001 - tracking never breaks what it tracks
            _trouble(exc)
    return status


def _then_meet(own: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def model_post_init(self: Any, context: Any, /) -> None:
        own(self, context)
        _meet(self)

    return model_post_init


def _meet(record: ThoughtfulRecord) -> None:
    names = identity.status_fields(type(record))
    if len(names) > 1:
        problem = PydanticCustomError(
            "status_fields",
            "a record may have one field annotated RecordStatus, this class has {names}",
            {"names": ", ".join(names)},
        )
        raise ValidationError.from_exception_data(
            type(record).__name__, [InitErrorDetails(type=problem, loc=(), input=text_of(record.__dict__))]
        )
    if names and type(value := record.__dict__.get(names[0])) is str:
        record.__dict__[names[0]] = RecordStatus.of(value)  # pydantic leaves defaults as they are
    quietly(lambda: tracing.recorder().meet(record, given=not _copying.get()))


def _equal(before: Any, after: Any) -> bool:
    try:
        return bool(before == after)
    except Exception:  # noqa: BLE001 - a foreign __eq__ may raise, or give an array
        return False


def quietly(do: Callable[[], None]) -> None:
    """Do something of tracking; an error is counted and logged, and goes no further."""
    try:
        do()
    except Exception as exc:  # noqa: BLE001 - tracking never breaks what it tracks
        _trouble(exc)


def _trouble(exc: Exception) -> None:
    tracing.limbo.trouble(f"something could not be kept: {type(exc).__name__}: {exc}")
