"""`trackrecord silence`: begin, list, end."""

from __future__ import annotations

import json

import pytest


def test_begin_list_and_end(trackrecord):
    assert "no alerts about nightly until 20" in trackrecord("silence", "nightly", "2h").out
    assert trackrecord("silence", "*", "30m").code == 0
    listed = json.loads(trackrecord("silence", "--json").out)
    assert [one["flow"] for one in listed] == ["*", "nightly"]
    assert "all flows" in trackrecord("silence").out
    assert "alerts about nightly again" in trackrecord("silence", "nightly", "--end").out
    assert [one["flow"] for one in json.loads(trackrecord("silence", "--json").out)] == ["*"]
    trackrecord("silence", "*", "--end")
    assert "nothing is silenced" in trackrecord("silence").err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nightly",), "say how long"),
        (("nightly", "soon"), "no duration"),
        (("nightly", "2"), "has no unit"),
        (("nightly", "2h", "--end"), "not both"),
        (("--end",), "which silence"),
        (("nightly", "9999d"), "at most 366d"),
    ],
)
def test_bad_input_is_told_without_a_stack(trackrecord, arguments, says):
    found = trackrecord("silence", *arguments)
    assert found.code == 2
    assert says in found.err
    assert "Traceback" not in found.err
