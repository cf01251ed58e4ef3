"""The spool of a store: whose it is, how much waits in it, and when somebody looks again."""

from __future__ import annotations

import json

import pytest

from prefect_trackrecord.journal import spool as module
from prefect_trackrecord.journal.spool import Spool, spools


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

    monkeypatch.setattr(module.time, "monotonic", lambda: Clock.now)
    return Clock


def fill(spool: Spool, name: str, size: int, run: str = "run") -> None:
    folder = spool.folder / run
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"x" * size)


def test_whose_it_is(tmp_path):
    one, two = Spool(tmp_path, "s3://bucket/a", 10), Spool(tmp_path, "s3://bucket/b", 10)
    assert one.folder != two.folder
    assert one.folder == Spool(tmp_path, "s3://bucket/a", 99).folder
    assert one.folder.parent == tmp_path
    one.begin()
    assert sorted(path.name for path in one.folder.iterdir()) == ["place.json"]
    assert json.loads((one.folder / "place.json").read_text()) == {"store": "s3://bucket/a"}
    assert (one.folder / "place.json").read_text().endswith("}\n")
    (one.folder / "place.json").write_text("{}")
    one.begin()
    assert (one.folder / "place.json").read_text() == "{}", "it is said once"
    two.folder.mkdir()
    two.begin()
    assert (two.folder / "place.json").exists()


def test_a_place_that_takes_nothing_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file", "s3://bucket", 10)
    spool.begin()
    assert spool.used() == 0
    assert spool.has_room()


def test_the_spools_of_a_host(tmp_path):
    assert list(spools(tmp_path / "none")) == []
    known = Spool(tmp_path, "s3://bucket/a", 10)
    known.begin()
    for name, text in (("damaged", "{"), ("odd", "[]"), ("older", None)):
        (tmp_path / name).mkdir()
        if text is not None:
            (tmp_path / name / "place.json").write_text(text)
    (tmp_path / "a-file").touch()
    found = {folder.name: store for store, folder in spools(tmp_path)}
    assert found == {known.folder.name: "s3://bucket/a", "damaged": "", "odd": "", "older": ""}
    assert [folder.name for _, folder in spools(tmp_path)] == sorted(found)


def test_how_much_waits(tmp_path, clock):
    spool = Spool(tmp_path, "s3://bucket", 100)
    fill(spool, "a", 30)
    fill(spool, "b", 20, run="another")
    (spool.folder / "place.json").write_bytes(b"x" * 500)
    (spool.folder / "link").symlink_to(tmp_path)
    assert spool.used() == 50, "segments of runs, and nothing else"
    fill(spool, "c", 25)
    clock.now = 0.49
    assert spool.used() == 50
    spool.grew(7)
    assert spool.used() == 57, "what this process wrote is known at once"
    clock.now = 0.5
    assert spool.used() == 75, "others' after half a second"


def test_room_is_looked_for_once_more_before_it_is_denied(tmp_path, clock):
    spool = Spool(tmp_path, "s3://bucket", 100)
    fill(spool, "a", 99)
    assert spool.has_room()
    spool.grew(1)
    clock.now = 0.1
    assert spool.has_room(), "it had grown by what is gone already: 99 by the disk"
    fill(spool, "b", 1)
    spool.grew(1)
    assert not spool.has_room(), "100 of 100"
    (spool.folder / "run" / "a").unlink()
    clock.now = 0.2
    assert spool.has_room(), "an uploader has made room"
