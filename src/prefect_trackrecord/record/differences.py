"""What changed between two moments of a record, so that a person can read it.

Paths are dotted. A key that is no plain word is quoted in brackets, an item of a list is named by its position, or
by a key where all items have one::

    customer.name        prices["EUR/USD"]        lines[2].qty        lines[sku="A-17"].qty

so that two different places never share a path. Each entry has exactly `from` and `to`; what else is to be said of
a list's item (added, removed, moved, where) stands in `Differences.kinds` under the same path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import eq
from typing import Any

import orjson

from prefect_trackrecord.record.aligning import common, in_the_same_gap, rising
from prefect_trackrecord.record.masking import is_secret, same
from prefect_trackrecord.record.paths import quoted, under

MAX_ENTRIES = 2_000
"""Differences of one trace; how many more there were is counted."""
_KEYS = ("id", "key", "uid", "uuid", "sku", "code", "number", "name")


@dataclass(slots=True)
class Differences:
    """The differences of one trace.

    Attributes:
        entries: by path, in the record's own order.
        kinds: for items of lists: `kind` (added, removed, changed, moved) and `position` (that of a removed one
            is where it was), and where both differ `from_index` and `to_index`, by the same paths. Of a secret
            that changed: `kind` and `masked`.
        cut: how many differences were left out.
        same: tells whether two values are equal.
    """

    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    kinds: dict[str, dict[str, Any]] = field(default_factory=dict)
    cut: int = 0
    same: Callable[[Any, Any], bool] = same

    def add(self, path: str, old: Any, new: Any, kind: str = "", place: int = 0, was: int | None = None) -> None:
        """One more difference; beyond `MAX_ENTRIES` it is only counted."""
        if len(self.entries) >= MAX_ENTRIES:
            self.cut += 1
            return
        if path in self.entries:  # a removed item and another one that stands in its place now
            path = f"{path[:-1]}:{kind}]"
        self.entries[path] = {"from": old, "to": new}
        if kind:
            self.kinds[path] = {"kind": kind, "position": place}
            if was is not None and was != place:
                self.kinds[path] |= {"from_index": was, "to_index": place}

    def add_secret(self, path: str, shown: Any) -> None:
        """A secret changed, which its mask can't tell."""
        if path not in self.entries:
            self.add(path, shown, shown)
            self.kinds[path] = {"kind": "changed", "masked": True}


def differences(old: dict[str, Any], new: dict[str, Any]) -> Differences:
    """What differs between two plain values. A missing key equals null; `1` and `True` differ."""
    found = Differences()
    _compare_dicts("", old, new, found)
    return found


def differences_at(
    names: dict[str, Any], old: dict[str, Any], new: dict[str, Any], *, truths: bool = True
) -> Differences:
    """What differs, where it is known already which top-level values do.

    Args:
        names: those of `new`, and their values.
        old, new: all values before and now.
        truths: there may be truth values in them, which Python takes for numbers; comparing is slower then.
    """
    found = Differences() if truths else Differences(same=eq)
    for key, value in names.items():
        _compare(under("", key), old.get(key), value, found)
    if len(new) < len(old) or not old.keys() <= new.keys():
        for key, before in old.items():
            if key not in new and before is not None:
                _compare(under("", key), before, None, found)
    return found


def scalar_differences(old: dict[str, Any], new: dict[str, Any], *, truths: bool = True) -> Differences | None:
    """What differs, where only texts, numbers and nulls were changed, none of them secret: the most frequent case.

    None where there is more to it. `new` need not be settled (see `masking.settle`).

    Args:
        old, new: all values before and now.
        truths: there may be truth values in them, which Python takes for numbers; comparing is slower then.
    """
    found = Differences()
    if len(new) != len(old) or not _compare_scalars("", new, old, found, truths):
        return None
    return found


def _compare_scalars(path: str, new: dict[str, Any], old: dict[str, Any], found: Differences, truths: bool) -> bool:
    for key, value in new.items():
        before = old.get(key, found)  # which is no value
        if value == before and (not truths or same(value, before)):
            continue
        kind, was = type(value), type(before)
        if kind is dict:
            if was is not dict or len(value) != len(before) or "__repr__" in value:
                return False
            if not _compare_scalars(under(path, key), value, before, found, truths):
                return False
        elif kind is list or was is list or was is dict or before is found or is_secret(key, value):
            return False
        else:
            found.add(under(path, key), before, value)
    return True


def leaves(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every value that is not null by its path, as differences from nothing. Lists count as one value."""
    found = Differences()
    _compare_dicts("", {}, values, found)
    return found.entries


def _compare_dicts(path: str, old: dict[str, Any], new: dict[str, Any], found: Differences) -> None:
    same = found.same
    for key, value in new.items():
        before = old.get(key)
        if not same(value, before):
            _compare(under(path, key), before, value, found)
    if len(new) < len(old) or not old.keys() <= new.keys():
        for key, before in old.items():
            if key not in new and before is not None:
                _compare(under(path, key), before, None, found)


def _compare(path: str, old: Any, new: Any, found: Differences) -> None:
    kind, was = type(new), type(old)
    if kind is list and was is list:
        _compare_lists(path, old, new, found)
    elif (kind is not dict and was is not dict) or _is_marked(new) or _is_marked(old):
        if not found.same(new, old):
            found.add(path, old, new)
    elif kind is was:
        _compare_dicts(path, old, new, found)
    elif new and old is None:
        _compare_dicts(path, {}, new, found)
    elif old and new is None:
        _compare_dicts(path, old, {}, found)
    else:
        found.add(path, old, new)


def _is_marked(value: Any) -> bool:
    """Whether this is what `journal.plain` makes of what JSON can't hold: one value, whose parts say nothing."""
    return isinstance(value, dict) and "__repr__" in value


# --- lists ------------------------------------------------------------------------------------------------


def _compare_lists(path: str, old: list[Any], new: list[Any], found: Differences) -> None:
    name = _key_of(old, new)
    if name is None:
        _compare_by_place(path, old, new, found)
    else:
        _compare_by_key(path, name, old, new, found)


def _key_of(old: list[Any], new: list[Any]) -> str | None:
    """The key by which all items of both lists are told apart; None where there is none."""
    items = old + new
    if not items or not all(type(item) is dict for item in items):
        return None
    for name in _KEYS:
        if name in items[0] and _tells_apart(name, old, new):
            return name
    for name in sorted(k for k in items[0] if k.endswith(("_id", "Id", "_no", "_key"))):
        if _tells_apart(name, old, new):
            return str(name)
    return None


def _tells_apart(name: str, *lists: list[Any]) -> bool:
    for items in lists:
        keys = [item.get(name) for item in items]
        if not all(type(key) is str or type(key) is int for key in keys) or len(set(keys)) < len(keys):
            return False
    return True


def _compare_by_key(path: str, name: str, old: list[Any], new: list[Any], found: Differences) -> None:
    places = {item[name]: n for n, item in enumerate(old)}
    staying = [item[name] for item in new if item[name] in places]
    unmoved = {staying[i] for i in rising([places[key] for key in staying])}
    for n, item in enumerate(new):
        key = item[name]
        place = places.pop(key, None)
        if place is not None and key in unmoved and found.same(item, old[place]):
            continue
        here = f"{path}[{name}={quoted(key)}]"
        if place is None:
            found.add(here, None, item, "added", n)
            continue
        if key not in unmoved:
            found.add(here, item, item, "moved", n, place)
        _compare_dicts(here, old[place], item, found)
    for key, place in places.items():
        found.add(f"{path}[{name}={quoted(key)}]", old[place], None, "removed", place)


def _compare_by_place(path: str, old: list[Any], new: list[Any], found: Differences) -> None:
    """Items without a key: those that are equal stay or moved, the rest are changed, added or removed."""
    a, b = ([orjson.dumps(item, option=orjson.OPT_SORT_KEYS) for item in items] for items in (old, new))
    pairs = common(a, b)
    taken_old, taken_new = {i for i, _ in pairs}, {j for _, j in pairs}
    gone = [i for i in range(len(a)) if i not in taken_old]
    fresh = [j for j in range(len(b)) if j not in taken_new]
    waiting: dict[bytes, list[int]] = {}
    for i in reversed(gone):
        waiting.setdefault(a[i], []).append(i)
    moved = {j: waiting[b[j]].pop() for j in fresh if waiting.get(b[j])}
    came_from = set(moved.values())
    changed = in_the_same_gap(pairs, [i for i in gone if i not in came_from], [j for j in fresh if j not in moved])
    for j in fresh:
        here = f"{path}[{j}]"
        if j in moved:
            found.add(here, new[j], new[j], "moved", j, moved[j])
        elif j in changed:
            _changed_item(here, old[changed[j]], new[j], changed[j], j, found)
        else:
            found.add(here, None, new[j], "added", j)
    left = came_from | set(changed.values())
    for i in gone:
        if i not in left:
            found.add(f"{path}[{i}]", old[i], None, "removed", i)


def _changed_item(path: str, old: Any, new: Any, was: int, place: int, found: Differences) -> None:
    if (isinstance(old, dict) and isinstance(new, dict)) or (isinstance(old, list) and isinstance(new, list)):
        _compare(path, old, new, found)
    elif not same(new, old):
        found.add(path, old, new, "changed", place, was)
