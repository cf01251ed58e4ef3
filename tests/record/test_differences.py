"""Differences that people can read."""

from __future__ import annotations

import itertools
import json
import random

import pytest

from prefect_trackrecord.record.differences import MAX_ENTRIES, differences, leaves


def diff(old, new):
    found = differences(old, new)
    assert all(set(v) == {"from", "to"} for v in found.entries.values())
    assert set(found.kinds) <= set(found.entries)
    return found


def changes(old, new):
    return {path: (v["from"], v["to"]) for path, v in diff(old, new).entries.items()}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": True}, {"a": (1, True)}),
        ({"a": [0]}, {"a": [False]}, {"a[0]": (0, False)}),
        ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"c": True}]}}, {"a.b[0].c": (1, True)}),
        ({"a": 1}, {"a": 1.0}, {}),
        ({}, {"a": None}, {}),
        ({"a": None}, {}, {}),
        ({"a": 3}, {}, {"a": (3, None)}),
        ({"a": {"b": 1, "c": 2}}, {"a": None}, {"a.b": (1, None), "a.c": (2, None)}),
        ({"a": {"b": 1}}, {"a": {"b": 2, "c": 3}}, {"a.b": (1, 2), "a.c": (None, 3)}),
        ({"a": {"b": 1}}, {"a": [1]}, {"a": ({"b": 1}, [1])}),
        ({"a": "x"}, {"a": {"b": 1}}, {"a": ("x", {"b": 1})}),
        ({"a": []}, {"a": None}, {"a": ([], None)}),
    ],
)
def test_values(old, new, expected):
    assert changes(old, new) == expected


def test_no_two_places_share_a_path():
    values = {"a.b": 1, "a": {"b": 2, "b.c": 3, "": 4, 'q"uote': 5, "0": 6, "x]": 7, "[0]": 8}}
    assert changes({}, values) == {
        '["a.b"]': (None, 1), "a.b": (None, 2), 'a["b.c"]': (None, 3), 'a[""]': (None, 4),
        'a["q\\"uote"]': (None, 5), 'a["0"]': (None, 6), 'a["x]"]': (None, 7), 'a["[0]"]': (None, 8),
    }  # fmt: skip


def test_items_of_lists():
    found = diff({"t": ["a", "b", "c"]}, {"t": ["b", "c", "d"]})
    assert changes({"t": ["a", "b", "c"]}, {"t": ["b", "c", "d"]}) == {"t[2]": (None, "d"), "t[0]": ("a", None)}
    assert found.kinds == {
        "t[2]": {"kind": "added", "position": 2},
        "t[0]": {"kind": "removed", "position": 0},
    }
    found = diff({"t": ["a", "b", "c"]}, {"t": ["a", "x", "c"]})
    assert found.entries == {"t[1]": {"from": "b", "to": "x"}}
    assert found.kinds == {"t[1]": {"kind": "changed", "position": 1}}
    found = diff({"t": ["a", "b", "c"]}, {"t": ["c", "a", "b"]})
    assert found.entries == {"t[0]": {"from": "c", "to": "c"}}
    assert found.kinds == {"t[0]": {"kind": "moved", "position": 0, "from_index": 2, "to_index": 0}}


def test_items_with_a_key():
    old = {"lines": [{"sku": "A", "qty": 1}, {"sku": "B", "qty": 2}, {"sku": "C", "qty": 3}]}
    new = {"lines": [{"sku": "C", "qty": 3}, {"sku": "A", "qty": 5}, {"sku": "D", "qty": 9}]}
    found = diff(old, new)
    assert found.entries == {
        'lines[sku="C"]': {"from": {"sku": "C", "qty": 3}, "to": {"sku": "C", "qty": 3}},
        'lines[sku="A"].qty': {"from": 1, "to": 5},
        'lines[sku="D"]': {"from": None, "to": {"sku": "D", "qty": 9}},
        'lines[sku="B"]': {"from": {"sku": "B", "qty": 2}, "to": None},
    }
    assert {p: k["kind"] for p, k in found.kinds.items()} == {
        'lines[sku="C"]': "moved", 'lines[sku="D"]': "added", 'lines[sku="B"]': "removed",
    }  # fmt: skip


def test_items_without_a_key_are_compared_within():
    assert changes({"l": [{"x": 1, "y": {"z": 2}}]}, {"l": [{"x": 1, "y": {"z": 3}}]}) == {"l[0].y.z": (2, 3)}


def test_the_order_is_the_records_own():
    new = {"z": 1, "a": 2, "m": {"y": 1, "b": 2}}
    assert list(leaves(new)) == ["z", "a", "m.y", "m.b"]
    assert list(diff({"gone": 1, "a": 1}, new).entries) == ["z", "a", "m.y", "m.b", "gone"]


def test_the_first_trace_holds_every_value_that_is_not_null():
    assert leaves({"id": "1", "n": None, "tags": [], "d": {}, "a": {"b": None, "c": [1]}}) == {
        "id": {"from": None, "to": "1"},
        "tags": {"from": None, "to": []},
        "d": {"from": None, "to": {}},
        "a.c": {"from": None, "to": [1]},
    }


def test_very_many_differences_are_cut_and_counted():
    found = diff({"t": []}, {"t": list(range(MAX_ENTRIES + 5))})
    assert len(found.entries) == MAX_ENTRIES
    assert found.cut == 5


def test_long_lists_are_affordable():
    old = [f"item {n}" for n in range(20_000)]
    new = old[5_000:] + old[:5_000]
    new[7] = "another"
    found = diff({"t": old}, {"t": new})
    assert found.entries
    assert found.cut + len(found.entries) <= 5_002


@pytest.mark.parametrize("seed", range(30))
def test_every_change_of_a_list_can_be_traced_back(seed):
    """Undoing the differences gives the old list: nothing is said twice, nothing is left out."""
    rnd = random.Random(seed)
    old = [rnd.choice("abcdef") for _ in range(rnd.randrange(9))]
    new = [rnd.choice("abcdef") for _ in range(rnd.randrange(9))]
    found = diff({"t": old}, {"t": new})
    gone: list = [k["position"] for k in found.kinds.values() if k["kind"] == "removed"]
    came: list = [k["position"] for k in found.kinds.values() if k["kind"] == "added"]
    ends = {p: (k.get("from_index", k["position"]), k["position"]) for p, k in found.kinds.items()}
    pairs = [ends[p] for p, k in found.kinds.items() if k["kind"] in {"moved", "changed"}]
    gone += [p[0] for p in pairs]
    came += [p[1] for p in pairs]
    assert len(set(gone)) == len(gone)
    assert len(set(came)) == len(came)
    rest_old = [v for n, v in enumerate(old) if n not in gone]
    rest_new = [v for n, v in enumerate(new) if n not in came]
    assert rest_old == rest_new
    for path, kind in found.kinds.items():
        entry = found.entries[path]
        if kind["kind"] == "added":
            assert entry == {"from": None, "to": new[kind["position"]]}
        elif kind["kind"] == "removed":
            assert entry == {"from": old[kind["position"]], "to": None}
        else:
            assert entry == {"from": old[ends[path][0]], "to": new[ends[path][1]]}


def test_it_is_deterministic():
    values = [1, True, 0, False, None, "1", 1.5, [1], {"a": 1}, {"a": True}]
    for old, new in itertools.product(values, repeat=2):
        one, two = (json.dumps(diff({"v": old}, {"v": new}).entries) for _ in range(2))
        assert one == two
        assert (one == "{}") == (json.dumps(old) == json.dumps(new)), (old, new)
