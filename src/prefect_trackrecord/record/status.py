"""A record's status: a text with a colour and a category, and the nineteen that everybody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, get_args, get_origin

from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

CATEGORIES = ("pending", "active", "success", "warning", "failed", "skipped")


class RecordStatus(str):
    """A status: a text that also knows the colour it is shown in and the category it counts for.

    Two are equal when their texts are, whatever their colours.

    Args:
        value: the text, such as `"In Progress"`.
        color: any CSS colour.
        category: one of `pending`, `active`, `success`, `warning`, `failed`, `skipped`; left out, that of the
            `Status` constant of this text, else none.
    """

    __slots__ = ("category", "color")
    _known: ClassVar[dict[str, RecordStatus]] = {}

    color: str
    category: str | None

    def __new__(cls, value: str, color: str = "transparent", category: str | None = None) -> RecordStatus:
        """See the class."""
        if category is not None and category not in CATEGORIES:
            raise ValueError(f"category must be one of {', '.join(CATEGORIES)}, not {category!r}")
        self = super().__new__(cls, value)
        self.color = color
        if category is None and (known := cls._known.get(str(value))) is not None:
            category = known.category
        self.category = category
        return self

    def __repr__(self) -> str:
        return f"RecordStatus({str(self)!r}, color={self.color!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (RecordStatus, (str(self), self.color, self.category))

    @classmethod
    def of(cls, value: Any) -> RecordStatus:
        """`value` as a status; a text that a `Status` constant has gets that one's colour.

        Raises:
            ValueError: it is no text.
        """
        if isinstance(value, RecordStatus):
            return value
        if isinstance(value, str):
            return cls._known.get(value) or cls(str(value))
        raise ValueError(f"a status must be a RecordStatus or a text, not {type(value).__name__}")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.of,
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, return_schema=core_schema.str_schema(), when_used="json-unless-none"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string"}


def is_status_annotation(annotation: Any) -> bool:
    """Whether a field so annotated holds the record's status: `RecordStatus`, also optional or `Annotated`."""
    if isinstance(annotation, type):
        return issubclass(annotation, RecordStatus)
    if get_origin(annotation) in (list, dict, set, tuple, frozenset):
        return False
    return any(is_status_annotation(part) for part in get_args(annotation))


class Status:
    """The statuses that most records go through."""

    EMPTY = RecordStatus("Empty", "white", "pending")
    SUCCESS = RecordStatus("Success", "limegreen", "success")
    EXCEPTION = RecordStatus("Exception", "crimson", "failed")
    WARNING = RecordStatus("Warning", "gold", "warning")
    PENDING = RecordStatus("Pending", "deepskyblue", "pending")
    RUNNING = RecordStatus("Running", "dodgerblue", "active")
    SKIPPED = RecordStatus("Skipped", "lightgrey", "skipped")
    FAILED = RecordStatus("Failed", "firebrick", "failed")
    COMPLETED = RecordStatus("Completed", "seagreen", "success")
    IN_PROGRESS = RecordStatus("In Progress", "cornflowerblue", "active")
    CANCELLED = RecordStatus("Cancelled", "darkorange", "skipped")
    RETRYING = RecordStatus("Retrying", "violet", "active")
    TIMEOUT = RecordStatus("Timeout", "orangered", "failed")
    STALE = RecordStatus("Stale", "darkgray", "warning")
    AWAITING_REVIEW = RecordStatus("Awaiting Review", "mediumslateblue", "pending")
    APPROVED = RecordStatus("Approved", "mediumseagreen", "success")
    REJECTED = RecordStatus("Rejected", "indianred", "failed")
    ON_HOLD = RecordStatus("On Hold", "khaki", "warning")
    RESTARTED = RecordStatus("Restarted", "mediumvioletred", "active")


RecordStatus._known.update(  # noqa: SLF001 - the table of the class above, filled once its constants exist
    {str(s): s for s in vars(Status).values() if isinstance(s, RecordStatus)}
)
