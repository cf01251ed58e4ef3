"""The roll-up of a run's file rows: counts, error groups and durations, so that a report reads no rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

from prefect_trackrecord.documents.fingerprint import normalise_message
from prefect_trackrecord.documents.models import FileStatus, Rollup, moment_of
from prefect_trackrecord.documents.unbegun import is_unbegun

MAX_GROUPS = 50
MAX_EXAMPLE = 500
_FAILED = FileStatus.FAILED.value
_type, _status = attrgetter("file_type"), attrgetter("status")
_took = attrgetter("processing_time_ms")


class Sums:
    """Takes file rows in, in any order, and sums them up; it grows with what is different among them only.

    Attributes:
        never_began: how many of those that came by `add` never began; a file's own process can't tell that.
    """

    def __init__(self) -> None:
        self.never_began = 0
        self._kinds: Counter[tuple[str | None, str]] = Counter()
        self._took: Counter[Any] = Counter()
        self._errors: dict[str, _Errors] = {}

    def add(self, row: dict[str, Any], place: int) -> None:
        """Take a row in.

        Args:
            row: fields of `FileProcessingLog`.
            place: the row's among all: the first one of equal errors is their example.
        """
        kind, status, ms = row.get("file_type"), row["status"], row.get("processing_time_ms")
        self._kinds[_text(kind), status] += 1
        if type(ms) in (int, float):
            self._took[ms] += 1
        if status == _FAILED:
            self._add_error(row, place)
        elif is_unbegun(row):
            self.never_began += 1

    def _add_error(self, row: dict[str, Any], place: int) -> None:
        seen = _text(row.get("ended_at")) or _text(row.get("started_at"))
        error = (row.get("error_type"), row.get("error_message"))
        self._count(str(row.get("error_fingerprint") or ""), *error, row.get("file_path"), seen, place)

    def add_all(self, rows: Sequence[dict[str, Any]]) -> None:
        """Take all rows in; as `add` of each, in less time."""
        try:
            kinds = Counter([(row.get("file_type"), row["status"]) for row in rows])
        except TypeError:  # a type that is a list
            kinds = Counter()
        if all(kind is None or type(kind) is str for kind, _ in kinds) and (kinds or not rows):
            self._kinds.update(kinds)
            took = [row.get("processing_time_ms") for row in rows]
            self._took.update([ms for ms in took if type(ms) is int or type(ms) is float])
            for place, row in enumerate(rows):
                if row["status"] == _FAILED:
                    self._add_error(row, place)
        else:
            for place, row in enumerate(rows):
                self.add(row, place)

    def add_usual(self, rows: Sequence[Any], failed: Iterable[tuple[int, Any]]) -> None:
        """Take many rows in whose fields are attributes (see `quick`).

        Args:
            rows: the rows.
            failed: those of them that failed, each with its place among all.
        """
        types = set(map(_type, rows))
        statuses = list(map(_status, rows))
        if len(types) == 1:
            for status in set(statuses):
                self._kinds[rows[0].file_type, status] += statuses.count(status)
        else:
            self._kinds.update(zip(map(_type, rows), statuses, strict=True))
        self._took.update(map(_took, rows))
        for place, row in failed:
            seen = row.ended_at or row.started_at or None
            self._count(row.error_fingerprint, row.error_type, row.error_message, row.file_path, seen, place)

    def _count(self, fingerprint: str, kind: Any, message: Any, path: Any, seen: str | None, place: int) -> None:
        found = self._errors.get(fingerprint)
        if found is None:
            found = self._errors[fingerprint] = _Errors(seen)
        found.count(_text(kind), _text(message), _text(path), seen, place)

    def result(self) -> Rollup:
        """The roll-up of all rows so far."""
        files: Counter[str] = Counter()
        types: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for (kind, status), count in self._kinds.items():
            files[status] += count
            types[kind or ""][status] += count
        largest = sorted(self._errors.items(), key=lambda pair: (-pair[1].counted, pair[0]))
        return Rollup.model_validate(
            {
                "files": dict(sorted(files.items())),
                "file_types": {name: dict(sorted(counts.items())) for name, counts in sorted(types.items())},
                "errors": [found.told(key) for key, found in largest[:MAX_GROUPS]],
                "errors_cut": max(0, len(largest) - MAX_GROUPS),
                "durations_ms": _spread({ms: n for ms, n in self._took.items() if ms is not None}),
            }
        )


class _Errors:
    """Equal errors: how many, when, and their example."""

    __slots__ = ("counted", "example", "first", "kind", "last", "message", "path", "place")

    def __init__(self, seen: str | None) -> None:
        self.counted, self.place = 0, -1
        self.first = self.last = seen

    def count(self, kind: str | None, message: str | None, path: str | None, seen: str | None, place: int) -> None:
        if not self.counted or place < self.place:
            self.kind, self.path, self.place = kind, path, place
            self.message, self.example = normalise_message(message), message[:MAX_EXAMPLE] if message else message
        self.counted += 1
        if seen:
            if self.first is None or seen < self.first:
                self.first = seen
            if self.last is None or seen > self.last:
                self.last = seen

    def told(self, fingerprint: str) -> dict[str, Any]:
        return {
            "fingerprint": fingerprint,
            "error_type": self.kind,
            "message": self.message,
            "count": self.counted,
            "example_path": self.path,
            "example_message": self.example,
            "first_seen": moment_of(self.first),
            "last_seen": moment_of(self.last),
        }


def roll_up(rows: Iterable[dict[str, Any]]) -> Rollup:
    """The roll-up of file rows (dicts with the fields of `FileProcessingLog`), in one pass."""
    sums = Sums()
    sums.add_all(rows if isinstance(rows, Sequence) else list(rows))
    return sums.result()


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _spread(values: dict[Any, int]) -> dict[str, float]:
    """Count, sum, least, most and two percentiles of values, each with how often it is there."""
    if not values:
        return {}
    ordered = sorted(values)
    count = sum(values.values())
    return {
        "count": count,
        "sum": sum(value * n for value, n in values.items()),
        "min": ordered[0],
        "max": ordered[-1],
        "p50": _at(ordered, values, (count - 1) // 2),
        "p95": _at(ordered, values, round((count - 1) * 0.95)),
    }


def _at(ordered: list[Any], values: dict[Any, int], place: int) -> Any:
    """Which value stands at a place where all are put in order."""
    for value in ordered:
        place -= values[value]
        if place < 0:
            return value
    return ordered[-1]
