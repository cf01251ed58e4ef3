"""Each setting that the reference lists is read, and changes something."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from prefect_trackrecord import settings
from prefect_trackrecord.delivery.server import server_from_environment
from prefect_trackrecord.settings import Settings

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"
NAMES = re.findall(r"^\| `([A-Z_]+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
VALUES = ("7.5", "true", "false", "stored", "/somewhere/else")


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    """Each warning comes once in a process; each test is to see its own."""
    monkeypatch.setattr(settings, "_told", set())


def test_the_page_has_them():
    assert {"TRACKING_PATH", "TRACKRECORD_SILENCE_HOURS", "TRACKRECORD_RUNNING_SILENCE_HOURS"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_read(name, monkeypatch):
    if name == "TRACKRECORD_SMTP_HOST":
        monkeypatch.setenv(name, "mail.example")
        server = server_from_environment()
        assert server is not None
        assert server.host == "mail.example"
        return
    plain = Settings.from_env({})
    assert any(Settings.from_env({name: value}) != plain for value in VALUES), f"{name} changes nothing"


@pytest.mark.parametrize("text", ["soon", "-3", "nan", "inf"])
@pytest.mark.parametrize("name", [name for name in NAMES if re.search("DEADLINE|SECONDS|LIMIT", name)])
def test_a_number_that_is_none_is_told_of(name, text, caplog):
    assert Settings.from_env({name: text}) == Settings.from_env({})
    assert f"{name}={text} is left out" in caplog.text


def test_hours():
    def silence(text):
        return Settings.from_env({"TRACKRECORD_SILENCE_HOURS": text}).silence

    assert silence("1.5") == timedelta(minutes=90)
    assert silence("inf") == timedelta.max
    assert silence("-1") == silence("nan") == silence("many") == silence("") == timedelta(hours=24)


@pytest.mark.parametrize(
    ("name", "text", "used"),
    [
        ("TRACKRECORD_QUIET", "maybe", "false is used: it is true or false"),
        ("PREFECT_INTEGRATIONS_TRACKRECORD_EVENTS", "maybe", "true is used: it is true or false"),
        ("TRACKRECORD_DURABILITY", "foo", "spool is used: it is spool or stored"),
    ],
)
def test_a_word_that_is_none_of_those_is_told_of_once(name, text, used, caplog):
    for _ in range(2):
        assert Settings.from_env({name: text}) == Settings.from_env({})
    assert caplog.messages == [f"{name}={text} is left out, {used}"]


def test_words_for_on_and_off():
    assert [Settings.from_env({"TRACKRECORD_QUIET": text}).quiet for text in ("T", "yes", "on", "N", "f", "")] == [
        *[True] * 3,
        *[False] * 3,
    ]
