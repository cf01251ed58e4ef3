"""`trackrecord sql` and `trackrecord export`: what they read, set aside, and leave when they are stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.history import analytics
from prefect_trackrecord.history.records import records_of
from prefect_trackrecord.store import StoreConfig
from prefect_trackrecord.tracking import RunTracker

duckdb = pytest.importorskip("duckdb")
NOW = datetime.now(timezone.utc)


@pytest.fixture
def years(history):
    """A run of two years ago, one of yesterday, and an old one that still runs."""
    ids = {}
    for name, days, ends in (("old", 730, True), ("new", 1, True), ("open", 731, False)):
        moment = NOW - timedelta(days=days)
        tracker = RunTracker("extract", storage=history, now=lambda moment=moment: moment).start()
        tracker.track_file("a.csv", "success", file_type="csv")
        tracker.track_file("b.csv", "failed", error_type="ValueError", error_message="row 7")
        if ends:
            tracker.complete()
        ids[name] = tracker.run_id
    yield ids
    tracker.complete()


def keys(history, prefix=""):
    return [entry.key for entry in history.archive.store.list(prefix)]


def test_sql_over_the_views(trackrecord, years):
    done = trackrecord("sql", "select status, count(*) n from files group by 1 order by 1", "--json")
    assert json.loads(done.out) == [{"status": "failed", "n": 2}, {"status": "success", "n": 2}]
    done = trackrecord(
        "sql", "select day, run_id from runs where total_files = 2", "--from", f"{NOW:%Y-01-01}", "--json"
    )
    day = NOW - timedelta(days=1)
    if day.year == NOW.year:
        assert json.loads(done.out) == [{"day": f"{day:%Y-%m-%d}", "run_id": years["new"]}]
    done = trackrecord("sql", "select (select count(*) from emails) e, (select max(since) from records) r", "--json")
    assert json.loads(done.out) == [{"e": 0, "r": None}], done.err
    bad = trackrecord("sql", "selec 1")
    assert bad.code == 2
    assert "DuckDB" in bad.err


def test_export_by_day(trackrecord, years, tmp_path):
    done = trackrecord("export", "--to", "parquet", "--folder", tmp_path / "lake")
    assert done.code == 0
    day = NOW - timedelta(days=730)
    assert list((tmp_path / "lake" / "files" / f"day={day:%Y-%m-%d}").glob("*.parquet"))
    read = f"read_parquet('{tmp_path}/lake/files/**/*.parquet', hive_partitioning=true)"
    failed = duckdb.sql(f"select count(*), count(distinct run_id) from {read} where status = 'failed'")
    assert failed.fetchall() == [(2, 2)]
    stale = tmp_path / "lake" / "files" / f"day={day:%Y-%m-%d}" / "data_7.parquet"
    stale.write_bytes(next(stale.parent.glob("*.parquet")).read_bytes())
    other = tmp_path / "lake" / "files" / "day=2001-01-01"
    other.mkdir()
    assert trackrecord("export", "--folder", tmp_path / "lake").code == 0, "again, over it"
    assert not stale.exists(), "a day is written anew as a whole"
    assert other.exists(), "and no other day goes"
    assert duckdb.sql(f"select count(*) from {read}").fetchall() == [(4,)]


def test_a_bucket_gives_the_same_tables(trackrecord, years, history, s3_server, bucket, tmp_path):
    """A bucket's documents, out of an index or not, in DuckDB and in whatever else reads Parquet."""
    away = Archive(StoreConfig(f"s3://{bucket}/x", s3_server.options))
    for key in keys(history):
        away.store.put(key, history.archive.store.get(key).data)
    sql = "select 'runs' t, day, run_id, status, rollup ->> '$.files' f from runs union all "
    sql += "select 'files', day, run_id, status, file_path from files order by all"
    local = analytics.query(history.archive, sql)
    assert len(local[1]) == 3 + 4
    for _ in range(2):
        assert analytics.query(away, sql) == local
    day = NOW - timedelta(days=1)
    one = analytics.query(away, "select run_id, day from runs", end=f"{day - timedelta(days=1):%Y-%m-%d}")
    assert {row[0] for row in one[1]} == {years["old"], years["open"]}
    assert analytics.query(away, "select run_id from runs", start=f"{day:%Y-%m-%d}")[1] == [(years["new"],)]
    counts = analytics.export(away, tmp_path / "lake")
    assert counts == {"runs": 3, "files": 4, "emails": 0, "records": 0}
    read = f"read_parquet('{tmp_path}/lake/files/**/*.parquet', hive_partitioning=true)"
    assert duckdb.sql(f"select count(*), count(distinct day) from {read}").fetchall() == [(4, 2)]
    dataset = pytest.importorskip("pyarrow.dataset").dataset(tmp_path / "lake" / "files", partitioning="hive")
    table = dataset.to_table(columns=["day", "status", "file_path", "started_at"])
    assert table.num_rows == 4
    assert sorted(map(str, table["day"].unique().to_pylist())) == sorted(
        {row[1] for row in local[1] if row[0] == "files"}
    )


DAMAGE = {
    "run_metadata": ['{"run_id": "x", "sta', "", "{}", "null", "[]", "no JSON"],
    "file_logs": ['[{"file_path": "a"}, {"fi', "", "{}", "[1]", "[]x", '[{"file_path": "a", "ended_at": "one day"}]'],
}


@pytest.mark.parametrize(("top", "text"), [(top, text) for top, texts in DAMAGE.items() for text in texts])
def test_a_damaged_document_is_named_and_set_aside(trackrecord, history, tracked, tmp_path, top, text):
    for _ in range(2):
        tracked(files=[("a.csv", "success"), ("b.csv", "failed")])
    found = keys(history, top)
    for key in found[1:]:
        history.archive.store.put(key, text.encode())
    runs, rows = (1, 4) if top == layout.RUNS else (2, 2)
    done = trackrecord("sql", "select (select count(run_id) from runs) r, count(ended_at) f, count(*) from files")
    assert (done.code, done.out.split()[-3:]) == (1, [str(runs), str(rows), str(rows)]), done.err
    assert done.err.startswith(f"not read: {found[1]}: ")
    assert done.err.count("not read") == 1
    done = trackrecord("export", "--folder", tmp_path / "lake", "--json")
    assert (done.code, json.loads(done.out)) == (1, {"runs": runs, "files": rows, "emails": 0, "records": 0})
    assert f"not read: {found[1]}: " in done.err


def test_a_damaged_document_of_a_bucket(history, tracked, s3_server, bucket):
    for _ in range(4):
        tracked()
    away = Archive(StoreConfig(f"s3://{bucket}/x", s3_server.options))
    for key in keys(history):
        away.store.put(key, history.archive.store.get(key).data)
    bad = [keys(history, layout.RUNS)[0], *keys(history, layout.FILES)[:2]]
    for key, text in zip(bad, (b"{", b"", b"[{"), strict=True):
        away.store.put(key, text)
    damaged = []
    found = analytics.query(away, "select (select count(*) from runs), count(*) from files", damaged=damaged)
    assert found[1] == [(3, 2)]
    assert sorted(error.key for error in damaged) == sorted(bad)


def test_many_damaged_documents_are_found_in_one_go(trackrecord, history, tracked, monkeypatch):
    tries = []
    real = analytics.connected
    monkeypatch.setattr(analytics, "connected", lambda documents: (tries.append(1), real(documents))[1])
    for _ in range(6):
        tracked()
    for key in keys(history, layout.FILES)[1:]:
        history.archive.store.put(key, b"[{")
    done = trackrecord("sql", "select count(*) n from files", "--json")
    assert (done.code, json.loads(done.out), done.err.count("not read: ")) == (1, [{"n": 1}], 5)
    assert len(tries) == 2


def test_a_history_whose_path_is_odd(trackrecord, tmp_path, history, tracked):
    tracked()
    odd = tmp_path / "it's [a] *?"
    (tmp_path / "history").rename(odd)
    done = trackrecord("sql", "select count(*) n from files", "--json", "--storage", odd, storage=False)
    assert (done.code, done.err, json.loads(done.out)) == (0, "", [{"n": 1}])


def test_no_record_is_left_out(history, tmp_path, monkeypatch):
    """A report holds so many records and no more; the tables have all."""
    monkeypatch.setitem(records_of.__kwdefaults__, "limit", 1)
    for name in ("one", "two", "three"):
        with RunTracker("claims", storage=history) as tracker:
            pass
        entry = {"record_id": name, "record": "{}", "status": "Pending", "status_color": "gold", "traces": []}
        entry |= {"status_updates": [], "created_at": "2025-01-20T06:00:00+00:00"}
        data = json.dumps({"data": {name: entry}}).encode()
        history.archive.store.put(f"records/claims/{tracker.run_id}/records_logs.json", data)
    assert analytics.query(history.archive, "select count(*) from records")[1] == [(3,)]
    assert analytics.export(history.archive, tmp_path / "lake")["records"] == 3


@pytest.mark.parametrize(("top", "text"), [(layout.FILES, b"{}"), (layout.FILES, b"[1]")])
def test_documents_of_a_wrong_shape_are_found_in_one_go(trackrecord, history, tracked, monkeypatch, top, text):
    tries = []
    real = analytics.connected
    monkeypatch.setattr(analytics, "connected", lambda documents: (tries.append(1), real(documents))[1])
    for _ in range(6):
        tracked()
    for key in keys(history, top)[1:]:
        history.archive.store.put(key, text)
    done = trackrecord("sql", "select count(ended_at) n from files", "--json")
    assert (done.code, json.loads(done.out), done.err.count("not read: ")) == (1, [{"n": 1}], 5)
    assert len(tries) == 2


@pytest.mark.parametrize("away", [False, True])
def test_only_what_lies_in_a_day_is_counted(history, tracked, request, away):
    tracked()
    (key,) = keys(history, layout.FILES)
    data = history.archive.store.get(key).data
    folder = key.rpartition("/")[0]
    odd = [f"{folder}/sub/x.json", f"{layout.FILES}/2026/13/40/x.json", f"{layout.FILES}/x.json"]
    archive = history.archive
    if away:
        server, bucket = request.getfixturevalue("s3_server"), request.getfixturevalue("bucket")
        archive = Archive(StoreConfig(f"s3://{bucket}/x", server.options))
        for one in keys(history):
            archive.store.put(one, history.archive.store.get(one).data)
    else:
        (history.archive.store.local_root / folder / ".x.json").write_bytes(data)
    for one in odd:
        archive.store.put(one, data)
    assert analytics.query(archive, "select count(*), count(distinct day) from files")[1] == [(1, 1)]


def test_columns_of_one_name_are_all_there_in_json(trackrecord, tracked):
    tracked()
    done = trackrecord("sql", "select 1 a, 2 a, 3 a_1, 4 a", "--json")
    assert json.loads(done.out) == [{"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}]
    assert trackrecord("sql", "select 1 a, 2 a").out == "a\ta\n1\t2\n"


STOPPED = """
import os, signal, sys, threading
from contextlib import contextmanager
from prefect_trackrecord.history import analytics
real = analytics.connected

@contextmanager
def endless(documents):
    with real(documents) as connection:
        # the last of the views, which takes DuckDB some hours
        connection.execute("create or replace view records as select 'x' as day, count(*) s from "
                           "range(100000000000000) where hash(range) = 7")
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
        yield connection

analytics.connected = endless
from prefect_trackrecord.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", ["sql", "export"])
def test_ctrl_c_while_duckdb_works(history, tracked, tmp_path, trackrecord, command):
    tracked()
    lake = tmp_path / "lake"
    assert trackrecord("export", "--folder", lake).code == 0
    before = {path: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")}
    words = ["sql", "select max(s) from records"] if command == "sql" else ["export", "--folder", str(lake)]
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, *words, "--storage", history.url],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "PREFECT_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")
    assert {path: path.stat().st_mtime_ns for path in lake.rglob("*.parquet")} == before
    left = [path.name for path in (*tmp_path.iterdir(), *lake.iterdir()) if path.name.startswith((".", "trackrecord-"))]
    assert left == []


def test_ctrl_c_between_the_old_day_and_the_new_one(tracked, trackrecord, tmp_path, monkeypatch):
    tracked()
    lake = tmp_path / "lake"
    assert trackrecord("export", "--folder", lake).code == 0
    before = sorted(lake.rglob("*"))
    real = type(lake).rename

    def interrupted(path, target):
        if path.name.startswith("day=") and ".export-" in str(path):
            raise KeyboardInterrupt
        return real(path, target)

    monkeypatch.setattr(type(lake), "rename", interrupted)
    assert trackrecord("export", "--folder", lake).code == 130
    assert sorted(lake.rglob("*")) == before


def test_a_folder_that_can_not_be_written(tracked, trackrecord, tmp_path):
    tracked()
    (tmp_path / "file").write_text("")
    done = trackrecord("export", "--folder", tmp_path / "file")
    assert (done.code, done.err) == (2, f"error TR107: {tmp_path}/file can't be written: File exists\n")
    done = trackrecord("export", "--folder", tmp_path / "file" / "below")
    assert (done.code, done.err.startswith("error TR107: ")) == (2, True)
