"""`trackrecord prune`, `sql` and `export` on a real history."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from prefect_trackrecord.tracking import RunTracker

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


def keys(history):
    return [entry.key for entry in history.archive.store.list("")]


def test_nothing_goes_by_default(trackrecord, history, years):
    before = keys(history)
    for more in ([], ["--dry-run"], ["--dry-run", "--delete"]):
        done = trackrecord("prune", "--older-than", "400d", *more)
        assert done.code == 0
        assert years["old"] in done.out
        assert years["new"] not in done.out
        assert years["open"] not in done.out
        assert "would be removed: 1 run" in done.err
        assert keys(history) == before


def test_what_is_old_and_has_ended_goes_whole(trackrecord, history, years):
    assert any(years["old"] in key for key in keys(history))
    done = trackrecord("prune", "--older-than", "400d", "--delete", "--json")
    assert done.code == 0
    (gone,) = json.loads(done.out)["runs"]
    assert gone["run_id"] == years["old"]
    assert gone["keys"][-1].startswith("run_metadata/")
    left = keys(history)
    assert not any(years["old"] in key for key in left)
    assert sum(years["new"] in key for key in left) >= 3
    assert any(years["open"] in key for key in left)
    assert "would be removed: 0 runs" in trackrecord("prune", "--older-than", "400d").err


@pytest.mark.parametrize("age", ["0d", "d", "400", "-3d", "99999y"])
def test_no_age(trackrecord, age):
    assert trackrecord("prune", f"--older-than={age}").code == 2


def test_sql_over_the_views(trackrecord, years):
    pytest.importorskip("duckdb")
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
    duckdb = pytest.importorskip("duckdb")
    done = trackrecord("export", "--to", "parquet", "--folder", tmp_path / "lake")
    assert done.code == 0
    day = NOW - timedelta(days=730)
    assert list((tmp_path / "lake" / "files" / f"day={day:%Y-%m-%d}").glob("*.parquet"))
    read = f"read_parquet('{tmp_path}/lake/files/**/*.parquet', hive_partitioning=true)"
    failed = duckdb.sql(f"select count(*), count(distinct run_id) from {read} where status = 'failed'")
    assert failed.fetchall() == [(2, 2)]
    assert trackrecord("export", "--folder", tmp_path / "lake").code == 0, "again, over it"
    assert duckdb.sql(f"select count(*) from {read}").fetchall() == [(4,)]
