"""Reads and writes the usual file events in blocks, by msgspec (the extra `fast`), in a sixth of the time.

An outcome is usual where its row has none but the fields that captures write, of the types that they write. Anything
else is left to `rows`, which makes the same of usual outcomes, byte by byte; without msgspec it does everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, Literal

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import rows
from prefect_trackrecord.documents.models import SCHEMA_VERSION, FileStatus

try:
    import msgspec
except ImportError:
    msgspec = None  # type: ignore[assignment]

START = b'{"kind":"file'
STARTS = (b'{"kind":"file",', b'{"kind":"file.started",')
"""How lines begin that may be usual; those of what others infer begin as the first."""
_FAILED = FileStatus.FAILED.value
_MOST = 10**15
"""Up to here msgspec and orjson write numbers alike."""

get_row: Callable[[Any], Any] = attrgetter("row")
get_time: Callable[[Any], datetime] = attrgetter("at")


class Quick:
    """The decoder and the encoder.

    Attributes:
        outcome: the type of usual outcomes: `at`, `row`, `item`, `turn` as of `FileTracked`; the row's fields are
            attributes.
        beginning: that of usual beginnings, as of `FileStarted`.
    """

    def __init__(self) -> None:
        text: Any = str | None
        number: Any = Annotated[int, msgspec.Meta(ge=-_MOST, le=_MOST)]
        real: Any = Annotated[float, msgspec.Meta(ge=-_MOST, le=_MOST)]
        left_out: Any = msgspec.UNSET
        maybe: Any = text | msgspec.UnsetType
        how: Any = {"kw_only": True, "gc": False, "forbid_unknown_fields": True}
        attempt: Any = msgspec.defstruct(
            "Attempt", [*((name, maybe, left_out) for name in rows.ATTEMPT), ("number", number, 1)], **how
        )
        kinds: dict[str, Any] = {
            "file_path": str,
            "status": Literal["success", "failed", "skipped"],
            "processing_time_ms": number | None,
            "attempts": tuple[attempt, ...],
            "metrics": dict[str, number | real] | msgspec.UnsetType,
        }
        fields: list[Any] = []
        for name in rows.ORDER:
            needed = name in ("file_path", "status")
            default = None if name in rows.ALWAYS else () if name == "attempts" else left_out
            kind = kinds.get(name, text if name in rows.ALWAYS else maybe)
            fields.append((name, kind) if needed else (name, kind, default))
        moment: Any = Annotated[datetime, msgspec.Meta(tz=True)]
        place: list[Any] = [("at", moment), ("item", text, None), ("turn", number, 1)]
        # no row of an event has these fields; they are written with each, and no value is of this type
        never: Any = Annotated[str, msgspec.Meta(min_length=1, max_length=0)]
        first, last = ("run_id", never, msgspec.Raw(rows.RUN_ID)), ("schema_version", never, SCHEMA_VERSION)
        row: Any = msgspec.defstruct("Row", [first, *fields, last], **how)
        told: list[Any] = [(name, maybe, left_out) for name in rows.BEGUN]
        begun: Any = msgspec.defstruct("Begun", [("file_path", str), *told], **how)
        self.outcome: Any = msgspec.defstruct(
            "Outcome", [*place, ("row", row)], tag_field="kind", tag=ev.FileTracked.kind, **how
        )
        self.beginning: Any = msgspec.defstruct(
            "Beginning", [*place, ("row", begun)], tag_field="kind", tag=ev.FileStarted.kind, **how
        )
        self._names = {self.outcome: rows.ORDER, self.beginning: ("file_path", *rows.BEGUN)}
        self._decoder: Any = msgspec.json.Decoder(self.outcome | self.beginning)
        self._encoder: Any = msgspec.json.Encoder()

    def read(self, lines: bytes) -> list[Any] | None:
        """The outcomes and beginnings of whole lines; None where one of them is anything else."""
        count = lines.count(b"\n")
        if not lines.startswith(START) or lines.count(b"\n" + START) != count - 1:
            return None  # so no value goes on in the next line: none of them may hold an object with a `kind`
        try:
            found: list[Any] = self._decoder.decode_lines(lines)
        except (ValueError, RecursionError):
            return None
        return found if len(found) == count else None  # else one line held two

    def read_one(self, line: bytes) -> Any:
        """The outcome or beginning of one line; None where it is anything else."""
        try:
            return self._decoder.decode(line)
        except (ValueError, RecursionError):
            return None

    def write(self, found: Sequence[Any]) -> bytes:
        """Rows as JSON, one a line; those given as bytes are JSON already."""
        raw = msgspec.Raw
        lines: bytes = self._encoder.encode_lines([raw(row) if type(row) is bytes else row for row in found])
        return lines

    def write_usual(self, found: Sequence[Any]) -> bytes:
        """As `write`, of usual rows alone."""
        lines: bytes = self._encoder.encode_lines(found)
        return lines

    def complete(self, found: Sequence[Any]) -> list[int]:
        """Give rows what `rows.row_of` gives them: attempts their numbers, errors their fingerprints.

        Returns:
            The places of those that failed.
        """
        for row in [row for row in found if row.attempts]:
            for number, attempt in enumerate(row.attempts, 1):
                attempt.number = number
        failed = [place for place, row in enumerate(found) if row.status == _FAILED]
        for row in map(found.__getitem__, failed):
            if not row.error_fingerprint:
                row.error_fingerprint = rows.fingerprint(row.error_type, row.error_message, row.traceback or None)
        return failed

    def task_run(self, found: Any) -> str:
        """The task run that made a usual outcome or beginning, as text."""
        known = found.row.task_run_id
        return "None" if known is msgspec.UNSET else str(known)

    def event(self, found: Any) -> Any:
        """The event that a usual outcome or beginning stands for."""
        fields = {name: getattr(found.row, name) for name in self._names[type(found)]}
        row = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
        if "attempts" in row:
            row["attempts"] = [msgspec.to_builtins(attempt) for attempt in row["attempts"]]
        kind = ev.FileTracked if type(found) is self.outcome else ev.FileStarted
        return kind(found.at, row, found.item, found.turn)


quick: Quick | None = Quick() if msgspec is not None else None
