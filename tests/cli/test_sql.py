"""What may be asked of `trackrecord sql`, and how much memory it and `trackrecord export` need."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from prefect_trackrecord.documents import layout
from prefect_trackrecord.history import analytics

pytest.importorskip("duckdb")
COPYING = "with x as (copy (select 1 n) to ''{}/history/file_logs/new.csv'') from x"
HIDDEN = f"json_execute_serialized_sql(json_serialize_sql('{COPYING}'))"


@pytest.mark.parametrize(
    "query",
    [
        "copy (select 1) to '{}/new.csv'",
        "copy (select 1) to '{}/history/file_logs/new.csv'",
        "explain analyze copy (select 1) to '{}/history/file_logs/new.csv'",
        "copy (pivot (from runs) on status using count(*)) to '{}/history/file_logs/new.csv'",
        "explain analyze /* ' */ copy (select 'gone' x) to '{}/history/file_logs/new.json' (format csv)",
        "explain /* ' */ analyze copy (select 1) to '{}/history/file_logs/new.csv'",
        "explain (analyze) copy (select 1) to '{}/history/file_logs/new.csv'",
        "explain analyze with x as (copy (select 1) to '{}/history/file_logs/new.csv') from x",
        "with x as (copy (select 1) to '{}/history/file_logs/new.csv') from x",
        f"from {HIDDEN}",
        f"pivot (from {HIDDEN}) on count",
        "call pragma_version()",
        "create table t as with x as (copy (select 1) to '{}/history/file_logs/new.csv') from x",
        "attach '{}/new.db'",
        "attach '{}/history/file_logs/new.db'",
        "export database '{}/new'",
        "from read_text('{}/secret.txt')",
        "from glob('{}/*')",
        "set enable_external_access = true",
        "install httpfs",
    ],
)
def test_sql_reads_the_history_and_no_more(trackrecord, tracked, tmp_path, query):
    tracked()
    (tmp_path / "secret.txt").write_text("secret")
    before = sorted(tmp_path.rglob("*"))
    done = trackrecord("sql", query.format(tmp_path))
    assert (done.code, done.out, done.err.startswith("error TR107: ")) == (2, "", True)
    assert sorted(tmp_path.rglob("*")) == before


def test_sql_takes_what_only_reads(trackrecord, tracked):
    tracked()
    for query in (
        "show tables",
        "summarize runs",
        "explain select 1",
        "explain analyze select count(*) from runs",
        "pivot (select status, day from runs) on status using count(*)",
        "with a as (select 1 n) from a",
        "explain analyze select status as export, 'copy' as attach from runs",
        "explain (format json) select 1",
        "explain select run_id as export, status as copy from runs",
        "pivot runs on status using count(*) -- by status",
        "select 'copy that' from runs; select 1",
        "select run_id /* ' */ as export from runs -- copy",
    ):
        done = trackrecord("sql", query)
        assert (done.code, done.err) == (0, ""), query


def test_what_may_not_be_asked_is_told_so(trackrecord, tracked):
    tracked()
    done = trackrecord("sql", "call pragma_version()")  # PRAGMA is a SELECT to DuckDB 1
    assert "'call pragma_version()' is not among what may be asked" in done.err


def with_memory(monkeypatch, memory):
    real = analytics.connected

    @contextmanager
    def limited(documents):
        with real(documents) as connection:
            connection.execute(f"SET memory_limit = '{memory}'")
            connection.execute("SET threads = 2")
            yield connection

    monkeypatch.setattr(analytics, "connected", limited)


def test_a_small_machine_is_enough(trackrecord, tracked, tmp_path, monkeypatch):
    """Less than what DuckDB would take for objects of 256 MiB."""
    for _ in range(3):
        tracked()
    with_memory(monkeypatch, "300MiB")
    assert trackrecord("sql", "select (select count(*) from runs), count(*) from files").code == 0
    assert trackrecord("export", "--folder", tmp_path / "lake").code == 0


def test_a_document_larger_than_duckdb_takes_by_default(trackrecord, history, tracked):
    tracked()
    (key,) = (entry.key for entry in history.archive.store.list(layout.FILES))
    rows = json.loads(history.archive.store.get(key).data)
    rows[0]["error_message"] = "x" * (20 << 20)
    history.archive.store.put(key, json.dumps(rows).encode())
    done = trackrecord("sql", "select max(length(error_message)) n from files", "--json")
    assert (done.code, done.err, json.loads(done.out)) == (0, "", [{"n": 20 << 20}])


@pytest.mark.parametrize("words", [("sql", "select count(*) from files"), ("export", "--folder", "{}/lake")])
def test_too_little_memory_is_no_wrong_call(trackrecord, tracked, tmp_path, monkeypatch, words):
    tracked()
    with_memory(monkeypatch, "10MiB")
    done = trackrecord(*(word.format(tmp_path) for word in words))
    assert (done.code, done.out) == (1, "")
    assert "DuckDB's memory does not suffice" in done.err
    assert "threads" in done.err
