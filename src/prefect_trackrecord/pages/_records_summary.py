"""What a page says about all its records: counts, groups of equal errors, and the index that its script filters."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import Any

from ._records_errors import CATEGORIES, Group

MAX_CARDS = 24
MAX_GROUPS = 200
TOP_FAILURES = 50
_WHY = 400
"""Characters of an error's message in the index; the record itself has the whole of it."""


class Summary:
    """Fed with one view after the other; holds one short row per record and nothing of its events."""

    def __init__(self) -> None:
        self.count = 0
        self.events = 0
        self.first: int | None = None
        self.last: int | None = None
        self.categories: Counter[str] = Counter()
        self.groups: dict[str, Group] = {}
        self.group_of: list[str | None] = []
        self._statuses: dict[str, _Status] = {}
        self._types: dict[str, int] = {}
        self._columns: dict[str, list[Any]] = {key: [] for key in ("id", "s", "t", "c", "a", "b", "e")}
        self._why: dict[str, list[str]] = {}
        self._latest_failed: list[tuple[int, int, dict[str, Any]]] = []

    def add(self, view: dict[str, Any]) -> None:
        """Take one record in."""
        row = self.count
        self.count += 1
        name, color = view["st"]
        status = self._statuses.setdefault(name, _Status(name, len(self._statuses)))
        status.count += 1
        status.color = color or status.color
        status.categories[view["cat"]] += 1
        events = view.get("evn") or len(view["ev"])
        self.events += events
        self.categories[view["cat"]] += 1
        self.first = min((m for m in (self.first, view["a"]) if m is not None), default=None)
        self.last = max((m for m in (self.last, view["b"]) if m is not None), default=None)
        type_number = self._types.setdefault(view["type"], len(self._types))
        values = (
            view["id"], status.number, type_number, CATEGORIES.index(view["cat"]), view["a"], view["b"], events,
        )  # fmt: skip
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)
        self.group_of.append(view["g"])
        if view["g"] is not None:
            self._failed(row, view)

    def _failed(self, row: int, view: dict[str, Any]) -> None:
        why = view["why"]
        group = self.groups.get(view["g"])
        if group is None:
            message = why["message"][:_WHY] or str(view["st"][0]) or "Failed"
            group = Group(view["g"], why["kind"], why["code"], why["type"], message)
            self.groups[group.key] = group
        group.count += 1
        self._why[str(row)] = [why["kind"], why["code"], why["type"], why["message"][:_WHY]]
        brief = {"id": view["id"], "st": view["st"], "b": view["b"], "why": why["message"][:_WHY], "row": row}
        heapq.heappush(self._latest_failed, (view["b"] or 0, row, brief))
        if len(self._latest_failed) > TOP_FAILURES:
            heapq.heappop(self._latest_failed)

    @property
    def statuses(self) -> list[_Status]:
        """Most serious first, then the most frequent."""
        return sorted(self._statuses.values(), key=lambda s: (CATEGORIES.index(s.category), -s.count, s.name))

    @property
    def types(self) -> list[str]:
        """The types of record, in the order of the index."""
        return list(self._types)

    @property
    def error_groups(self) -> list[Group]:
        """The groups, largest first."""
        return sorted(self.groups.values(), key=lambda g: -g.count)

    @property
    def top_failures(self) -> list[dict[str, Any]]:
        """The latest failed records, newest first."""
        return [brief for _, _, brief in sorted(self._latest_failed, key=lambda item: item[:2], reverse=True)]

    def index(self, *, mode: str, chunk: int, title: str) -> dict[str, Any]:
        """The page script's data: one column per property, a row per record, in order of creation.

        `a` is the first moment as a difference from the record's before, `b` how long after it the last one was.
        """
        keys = {key: number for number, key in enumerate(self.groups)}
        return {
            "mode": mode,
            "chunk": chunk,
            "title": title,
            "cats": CATEGORIES,
            "statuses": [[s.name, s.color] for s in sorted(self._statuses.values(), key=lambda s: s.number)],
            "types": self.types,
            "groups": [
                [g.key, " ".join(part for part in (g.code, g.type) if part) or g.message] for g in self.groups.values()
            ],
            **self._columns,
            "a": _steps(self._columns["a"]),
            "b": [None if b is None else b - a for a, b in zip(self._columns["a"], self._columns["b"], strict=True)],
            "g": [-1 if key is None else keys[key] for key in self.group_of],
            "why": self._why,
        }


def _steps(moments: list[int | None]) -> list[int | None]:
    """Moments as differences from the one before, which compress better."""
    before = 0
    steps: list[int | None] = []
    for moment in moments:
        steps.append(None if moment is None else moment - before)
        before = before if moment is None else moment
    return steps


class _Status:
    """One status with its count, last colour, and the category most of its records have."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.count = 0
        self.color: str | None = None
        self.categories: Counter[str] = Counter()

    @property
    def category(self) -> str:
        return max(self.categories, key=lambda c: (self.categories[c], -CATEGORIES.index(c)))
