"""A wrong value among the settings falls back alone: a flow goes on, and its history stays where it is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefect_trackrecord import settings as core
from prefect_trackrecord._prefect import settings

INTEGRATION = "PREFECT_INTEGRATIONS_TRACKRECORD_"


@pytest.fixture(autouse=True)
def toml(tmp_path, monkeypatch):
    """A project's `prefect.toml`, which says where the history is kept."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(core, "_told", set())
    for name in ("TRACKING_PATH", f"{INTEGRATION}STORAGE"):
        monkeypatch.delenv(name, raising=False)

    def write(*more):
        lines = ["[integrations.trackrecord]", 'storage = "/kept/here"', *more]
        Path("prefect.toml").write_text("\n".join(lines))

    write()
    return write


@pytest.mark.parametrize(("name", "text"), [("LIVE_SECONDS", "abc"), ("LIVE_SECONDS", "-1"), ("EVENTS", "maybe")])
def test_a_wrong_variable_leaves_the_other_settings_alone(name, text, toml, monkeypatch, caplog):
    toml('base_url = "https://files.example"')
    monkeypatch.setenv(f"{INTEGRATION}{name}", text)
    found = settings.current()
    assert (found.prefect_storage, found.base_url) == ("/kept/here", "https://files.example")
    assert (found.live_seconds, found.events) == (10.0, True)
    (told,) = {message for message in caplog.messages if "left out" in message}
    assert told.startswith(f"{INTEGRATION}{name}={text} is left out")


@pytest.mark.parametrize("line", ['live_seconds = "abc"', "live_seconds = inf", 'events = "maybe"'])
def test_a_wrong_line_of_a_file_leaves_the_others_alone(line, toml, caplog):
    toml(line, 'base_url = "https://files.example"')
    found = settings.current()
    assert (found.prefect_storage, found.base_url) == ("/kept/here", "https://files.example")
    assert (found.live_seconds, found.events) == (10.0, True)
    (told,) = {message for message in caplog.messages if "left out" in message}
    assert told.startswith(f"{line.split()[0]} in Prefect's settings (integrations.trackrecord) is left out")


def test_doctor_has_a_row_for_each(toml, monkeypatch, history, capsys, caplog):
    """And no more than that: each was told three times."""
    from prefect_trackrecord.cli.app import run

    toml('events = "maybe"')
    monkeypatch.setenv(f"{INTEGRATION}LIVE_SECONDS", "abc")
    monkeypatch.setenv("TRACKRECORD_QUIET", "maybe")
    assert run(["doctor", "--json", "--storage", history.url]) == 1
    rows = [one for one in json.loads(capsys.readouterr().out) if one["check"] == "settings"]
    assert [one["result"] for one in rows] == ["wrong"] * 3
    for words in ("TRACKRECORD_QUIET=maybe", f"{INTEGRATION}LIVE_SECONDS=abc", "events in Prefect's settings"):
        assert sum(words in one["said"] for one in rows) == 1
    for place in ([], ["--storage", history.url]):
        core.current.cache_clear()
        assert run(["doctor", *place]) == 1
        printed = capsys.readouterr()
        assert printed.out.count("is left out") == 3
        assert "checks found something wrong" in printed.err
        assert "settings:" not in printed.err
    assert not caplog.messages
