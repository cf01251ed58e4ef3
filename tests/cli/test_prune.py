"""`trackrecord prune` on a real history."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from prefect_trackrecord.record import ThoughtfulRecord
from prefect_trackrecord.record.tracing import tracing
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


def keys(history, prefix=""):
    return [entry.key for entry in history.archive.store.list(prefix)]


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
    tops = [key.partition("/")[0] for key in gone["keys"]]
    assert tops.index("journal") < tops.index("run_metadata") < tops.index("file_logs")
    left = keys(history)
    root = history.archive.store.local_root
    empty = [str(path) for path in root.rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert empty == []
    assert not list(root.glob(f"*/{NOW - timedelta(days=730):%Y/%m/%d}"))
    assert not any(years["old"] in key for key in left)
    assert sum(years["new"] in key for key in left) >= 3
    assert any(years["open"] in key for key in left)
    assert "would be removed: 0 runs" in trackrecord("prune", "--older-than", "400d").err


class Invoice(ThoughtfulRecord):
    pass


def test_nothing_stays_of_a_run_with_records(trackrecord, history):
    with RunTracker("extract", storage=history, now=lambda: NOW - timedelta(days=730)) as tracker:
        Invoice(id="1").log_trace("seen")
    tracing.reset()
    folder = history.archive.store.local_root / "records"
    assert any(tracker.run_id in str(path) for path in folder.rglob("*"))
    assert trackrecord("prune", "--older-than", "400d", "--delete").code == 0
    assert not [path for path in history.archive.store.local_root.rglob("*") if tracker.run_id in str(path)]


@pytest.fixture
def many(history, years):
    """Some more old runs."""
    for n in range(30):
        with RunTracker("extract", storage=history, now=lambda n=n: NOW - timedelta(days=800 + n)) as tracker:
            tracker.track_file("a.csv", "success")
            tracker.record_email_results([{"agent_id": "1", "agent_name": "A", "email": "a@b.c", "status": "sent"}])


def names(history, top, ending):
    return {k.rsplit("/", 1)[-1].removesuffix(ending) for k in keys(history) if k.startswith(f"{top}/")}


def rows_of(history):
    """The runs that are listed, of which there are rows, and of which there is a journal."""
    listed = names(history, "run_metadata", ".json")
    return listed, names(history, "file_logs", "_files.json"), {k.split("/")[1] for k in keys(history, "journal")}


@pytest.mark.parametrize("at", range(7))
def test_wherever_it_is_killed_what_is_listed_is_whole_and_the_next_time_removes_the_rest(
    trackrecord, history, many, monkeypatch, at
):
    """A kill: from some deletion on, nothing of this process is done any more."""
    store, left = type(history.archive.store), [at]

    def delete(self, key, original=store.delete):
        if left[0] <= 0:
            raise KeyboardInterrupt
        left[0] -= 1
        original(self, key)

    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", delete)
        assert trackrecord("prune", "--older-than", "400d", "--delete", "--json").code == 130
    listed, rows, _ = rows_of(history)
    assert listed - {years_open(history)} <= rows
    recovered = trackrecord("recover")
    assert (recovered.code, "nothing to recover" in recovered.err) == (0, True), recovered.err
    assert trackrecord("prune", "--older-than", "400d", "--delete").code == 0
    listed, rows, journals = rows_of(history)
    assert len(listed) == 2
    assert rows <= listed, "no rows without a run"
    assert journals == listed
    assert not names(history, "email_logs", "")


def years_open(history):
    return next(run.run_id for run in history.list_runs() if run.status.value == "running")


def test_rows_whose_run_is_gone_are_shown_and_removed(trackrecord, history, years):
    lost = ["file_logs/2020/01/02/lost_files.json", "email_logs/2020/01/02/lost_emails.json"]
    kept = ["file_logs/2020/01/02/told_files.json", f"file_logs/2020/01/02/{years['new']}_files.json", *(
        f"file_logs/{NOW - timedelta(days=10):%Y/%m/%d}/young_files.json", "file_logs/2020/01/02/notes.txt"
    )]  # fmt: skip
    for key in (*lost, *kept, "journal/told/saved-1.ndjson"):
        history.archive.store.put(key, b"[]")
    done = trackrecord("prune", "--older-than", "400d", "--json")
    assert [entry["key"] for entry in json.loads(done.out)["rest"]] == sorted(lost, reverse=True)
    assert "1 run and 2 lists of rows whose run is gone before" in done.err
    assert set(lost) <= set(keys(history))
    bad = planted(history, "moved", day="2020/02/02")
    assert json.loads(trackrecord("prune", "--older-than", "400d", "--json").out)["rest"] == []
    history.archive.store.delete(bad)
    assert trackrecord("prune", "--older-than", "400d", "--delete").code == 0
    assert not set(lost) & set(keys(history))
    assert set(kept) <= set(keys(history))


@pytest.mark.parametrize("signals", [1, 2])
def test_ctrl_c_ends_it_after_the_run_at_hand(program, history, many, tmp_path, signals):
    before = rows_of(history)
    (tmp_path / "slow.py").write_text(
        "import os, signal, sys\n"
        "from prefect_trackrecord.store._local import LocalStore\n"
        "from prefect_trackrecord.cli import main\n"
        "delete, done = LocalStore.delete, []\n"
        "def slow(self, key):\n"
        "    done.append(key)\n"
        f"    if len(done) in range(20, 20 + {signals}):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    delete(self, key)\n"
        "LocalStore.delete = slow\n"
        "main(sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "slow.py", "prune", "--older-than", "400d", "--delete", "--storage", history.url],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stderr
    listed, rows, journals = rows_of(history)
    assert len(listed) < len(before[0])
    assert listed - {years_open(history)} <= rows
    if signals == 1:
        assert "each as a whole" in done.stderr
        assert listed == journals == rows | {years_open(history)}
    assert trackrecord_rest(program, history) == 0


def trackrecord_rest(program, history):
    done = program("prune", "--older-than", "400d", "--delete", "--json", "--storage", history.url)
    assert len(json.loads(done.stdout)["runs"]) > 3
    listed, rows, journals = rows_of(history)
    assert rows <= listed == journals
    return done.returncode


def planted(history, name, day="2020/01/02", **said):
    """A document that somebody else has put there."""
    key = f"run_metadata/{day}/{name}.json"
    run = {"run_id": name, "command": "x", "started_at": "2020-01-02T00:00:00Z", "status": "failed", **said}
    history.archive.store.put(key, json.dumps(run).encode())
    return key


@pytest.mark.parametrize("run_id", ["", "other", "../../journal", ".", "..", "a/b"])
def test_what_a_document_calls_itself_removes_nothing_of_others(trackrecord, history, years, run_id):
    key = planted(history, "x", run_id=run_id)
    journals = [k for k in keys(history) if years["old"] not in k]
    done = trackrecord("prune", "--older-than", "400d", "--delete", "--json")
    assert done.code == 1, done.err
    assert [r["run_id"] for r in json.loads(done.out)["runs"]] == [years["old"]]
    assert json.loads(done.out)["left"] == [{"key": key, "cause": f"its run_id is {run_id!r}"}]
    assert f"not removed: {key}" in done.err
    assert sorted(set(keys(history))) == sorted(set(journals))


def test_a_document_of_another_day_is_left_and_named(trackrecord, history, years):
    """It would have removed the journal of a run of yesterday, which has a document of its own."""
    here = planted(history, years["new"])
    there = planted(history, "moved", day="2020/02/02")
    odd = planted(history, "a b")
    before = keys(history)
    done = trackrecord("prune", "--older-than", "400d", "--delete", "--json")
    assert done.code == 1, done.err
    left = {item["key"]: item["cause"] for item in json.loads(done.out)["left"]}
    new = next(k for k in before if k.startswith("run_metadata/") and k.endswith(f"{years['new']}.json") and k != here)
    assert set(left) == {here, there, odd, new}
    assert left[there] == "by what it says it would be run_metadata/2020/01/02/moved.json"
    assert keys(history) == [key for key in before if years["old"] not in key]
    history.archive.store.delete(here)
    history.archive.store.delete(there)
    history.archive.store.delete(odd)
    assert trackrecord("prune", "--older-than", "400d", "--delete").code == 0


@pytest.mark.parametrize("age", ["0d", "d", "400", "-3d", "99999y"])
def test_no_age(trackrecord, age):
    assert trackrecord("prune", f"--older-than={age}").code == 2
