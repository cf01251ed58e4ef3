"""`trackrecord doctor`: says what is wrong, and what to do; 1 where something does not work."""

import json
from datetime import datetime, timedelta, timezone

import pytest

from prefect_trackrecord import settings
from prefect_trackrecord.cli.checking_storage import check_storage
from prefect_trackrecord.cli.doctor import _pairs
from prefect_trackrecord.journal.spool import Spool
from prefect_trackrecord.store import open_store
from prefect_trackrecord.tracking import RunTracker


def test_all_is_well(trackrecord, history):
    history.archive.store.local_root.mkdir(exist_ok=True)
    done = trackrecord("doctor", "--json")
    found = {one["check"]: one for one in json.loads(done.out)}
    names = {"write", "list", "exclusive create", "compare-and-swap", "clock"}
    assert {n for n in found if n.startswith("storage")} == {f"storage: {n}" for n in names}
    assert all(one["result"] != "wrong" for one in found.values() if one["check"] != "Prefect API")
    assert not (history.archive.store.local_root / "index").exists(), "it tidies up"


@pytest.mark.parametrize("name", ["typo", "typo/folder"])
def test_a_folder_that_is_not_there_is_told_of_and_not_made(trackrecord, tmp_path, name):
    before = sorted(tmp_path.rglob("*"))
    done = trackrecord("doctor", "--json", "--storage", str(tmp_path / name), storage=False)
    found = {one["check"]: one for one in json.loads(done.out)}
    assert found["storage"]["result"] == "warning"
    assert found["storage"]["said"].startswith(f"there is no folder {tmp_path / name} yet")
    assert found["storage"]["way_out"] == "is it spelled right?"
    assert {found[f"storage: {n}"]["result"] for n in ("write", "list", "clock")} == {"ok"}
    assert str(tmp_path / name) in found["storage: write"]["said"]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_storage_that_cannot_be_written(trackrecord, tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = trackrecord("doctor", "--json", "--storage", str(tmp_path / "file" / "history"), storage=False)
    assert done.code == 1
    (one,) = [f for f in json.loads(done.out) if f["check"] == "storage: write"]
    assert one["result"] == "wrong"
    assert one["way_out"]


def test_a_wrong_setting_of_prefects(program, history):
    """Prefect can't even be imported then."""
    wrong = {"PREFECT_LOGGING_LEVEL": "bogus", "PREFECT_SERVER_API_PORT": "x"}
    for name, value in wrong.items():
        done = program("doctor", "--json", "--storage", history.url, **{name: value})
        (one,) = [f for f in json.loads(done.stdout) if f["check"] == "Prefect settings"]
        assert (done.returncode, one["result"]) == (1, "wrong")
        assert one["said"].startswith(f"Prefect can't read its settings: {name}: Input should be ")
        assert "mail server" in done.stdout
        done = program("import-runs", "--from", "2025-01-01", "--storage", history.url, **{name: value})
        assert done.returncode == 2
        assert f"error TR100: Prefect can't read its settings: {name}: " in done.stderr


def test_events_that_were_left_behind_for_another_storage(trackrecord, tmp_path, history):
    place = tmp_path / "s"
    place.write_text("in the way")
    RunTracker("lost", storage=place).start().track_file("a")
    done = trackrecord("doctor")
    assert f"events of 1 run wait on this host for {place}" in done.out
    assert f"trackrecord recover --storage {place}" in done.err


def test_a_mail_server_that_is_not_there(trackrecord, monkeypatch, unused_tcp_port):
    monkeypatch.setenv("TRACKRECORD_SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("TRACKRECORD_SMTP_PORT", str(unused_tcp_port))
    done = trackrecord("doctor", "--json")
    (one,) = [f for f in json.loads(done.out) if f["check"] == "mail server"]
    assert (done.code, one["result"]) == (1, "wrong")


def test_a_storage_that_breaks_its_promises(tmp_path):
    class LastWriterWins:
        def __init__(self, real):
            self._real = real

        def __getattr__(self, name):
            return getattr(self._real, name)

        def create(self, key, data):
            return self._real.put(key, data)

        def replace(self, key, data, etag):
            return self._real.put(key, data)

    found = {one.check: one.result for one in check_storage(LastWriterWins(open_store(str(tmp_path))))}
    assert found["storage: write"] == "ok"
    assert found["storage: exclusive create"] == found["storage: compare-and-swap"] == "wrong"


def test_a_storage_whose_clock_is_off():
    class Behind:
        local_root = None

        def __init__(self, real):
            self._real = real

        def __getattr__(self, name):
            return getattr(self._real, name)

        def modified(self, key):
            return datetime.now(timezone.utc) - timedelta(minutes=10)

    found = {one.check: one for one in check_storage(Behind(open_store("memory://a-clock-that-is-behind")))}
    assert found["storage: clock"].result == "warning"
    assert found["storage: clock"].said.startswith("its clock is 60")


def test_a_bucket(s3_server, bucket, patient):
    from prefect_trackrecord.store import StoreConfig

    store = open_store(StoreConfig(f"s3://{bucket}/history", s3_server.options), settings=patient)
    found = {one.check: one for one in check_storage(store)}
    assert {one.result for one in found.values()} == {"ok"}
    assert found["storage: clock"].said.endswith("s from this host's")


@pytest.mark.parametrize(
    ("prefect", "fastapi", "sqlalchemy", "warned"),
    [
        ("3.9.1", "0.150.0", "2.1.9", []),
        ("3.10.0", "0.160.0", "2.1.9", []),
        ("3.8.8", "0.150.0", "2.0.58", []),
        ("3.8.8", "0.155.0", "2.1.9", ["fastapi 0.155.0", "sqlalchemy 2.1.9"]),
        ("3.5.0", "0.151.0", "2.0.58", ["fastapi 0.151.0"]),
    ],
)
def test_versions_are_warned_of_with_the_prefect_that_fails_with_them(prefect, fastapi, sqlalchemy, warned):
    found = list(_pairs({"prefect": prefect, "fastapi": fastapi, "sqlalchemy": sqlalchemy}.__getitem__))
    assert [one.said.partition(":")[0] for one in found] == warned
    assert all(f"Prefect {prefect}" in one.said and one.way_out.startswith("pip install") for one in found)


def test_a_spool_that_takes_nothing(trackrecord, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TRACKRECORD_SPOOL", str(tmp_path / "file" / "spool"))
    settings.current.cache_clear()
    done = trackrecord("doctor", "--json")
    (one,) = [f for f in json.loads(done.out) if f["check"] == "spool: write"]
    assert (done.code, one["result"]) == (1, "wrong")
    assert "TRACKRECORD_SPOOL" in one["way_out"]


def test_the_room_for_the_spool(trackrecord, history, monkeypatch):
    def checked():
        settings.current.cache_clear()
        (one,) = [f for f in json.loads(trackrecord("doctor", "--json").out) if f["check"] == "spool: write"]
        return one["result"], one["said"]

    assert checked()[0] == "ok"
    assert not history.archive.spool.exists(), "it tidies up"
    monkeypatch.setenv("TRACKRECORD_SPOOL_LIMIT_MB", "100000000")
    result, said = checked()
    assert result == "warning"
    assert "100,000,000 MiB may wait" in said


def test_events_for_another_endpoint(trackrecord, tmp_path, monkeypatch):
    spool = Spool(settings.current().spool, "s3://b/x at http://minio:9000", 1 << 20)
    spool.begin()
    (spool.folder / "r").mkdir()
    (spool.folder / "r" / "a.ndjson").write_bytes(b"{}\n")
    done = trackrecord("doctor")
    assert "trackrecord recover with the storage at http://minio:9000" in done.err
    assert "recover --storage s3://b/x" not in done.err


def test_a_history_in_memory(trackrecord):
    done = trackrecord("doctor", "--storage", "memory://for-a-moment", storage=False)
    assert "memory://for-a-moment ends with the process" in done.out
    assert "ask for a look" in done.err
