"""`trackrecord silence`: begin, list, end."""

from __future__ import annotations

import json

import pytest

from prefect_trackrecord.tracking import RunTracker


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


def test_a_silence_that_is_none_is_not_ended(trackrecord, history):
    history.archive.store.local_root.mkdir()
    done = trackrecord("silence", "never", "--end")
    said = f"nothing to end: never is not silenced in {history.url}\n"
    assert (done.code, done.out, done.err) == (0, "", said)
    assert json.loads(trackrecord("silence", "never", "--end", "--json").out) == {"flow": "never", "until": None}
    assert "all flows are not silenced" in trackrecord("silence", "*", "--end").err
    assert history.archive.store.list("") == []


def test_a_flow_that_nobody_knows_is_silenced_with_a_word(trackrecord, history, tracked):
    tracked("nightly")
    with RunTracker("import", subcommand="calls", storage=history):
        pass
    for known in ("nightly", "import calls", "*"):
        assert trackrecord("silence", known, "2h").err == f"in {history.url}\n"
    done = trackrecord("silence", "nightyl", "2h")
    assert (done.code, "no alerts about nightyl until 20" in done.out) == (0, True)
    assert "no run of the last 60 days is one of nightyl; is it spelled as reports name it?" in done.err
    assert "nightyl" in trackrecord("silence").out
