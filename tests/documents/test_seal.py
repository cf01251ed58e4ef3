"""Sealing survives a crash at every step, a second sealer, a stalled one, and late events; on each kind of store."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import datetime, timedelta, timezone

import orjson
import pytest

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.attempts import RECOVERED
from prefect_trackrecord.documents.known import Known
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.documents.run_journal import newest_record
from prefect_trackrecord.documents.seal import seal
from prefect_trackrecord.documents.uploading import Uploader
from prefect_trackrecord.errors import DamagedDocumentError, StoreUnavailableError
from prefect_trackrecord.settings import Settings
from prefect_trackrecord.store import Blob, open_store
from prefect_trackrecord.tracking import RunTracker, TrackingStorage

T0 = datetime(2026, 1, 2, 3, tzinfo=timezone.utc)
DAY = "2026/01/02"


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return open_store(str(tmp_path) if request.param == "local" else f"memory://seal-{tmp_path.name}-{id(request)}/x")


def started(count=1) -> ev.RunStarted:
    return ev.RunStarted(at=T0 + timedelta(minutes=count), run={"command": "c", "run_count": count})


def outcome(path, status="success", second=1) -> ev.FileTracked:
    return ev.FileTracked(at=T0 + timedelta(seconds=second), row={"file_path": path, "status": status})


def ended(minute=5, **fields) -> ev.RunEnded:
    return ev.RunEnded(at=T0 + timedelta(minutes=minute), **fields)


def write_segment(store, name, *events):
    key = f"{layout.journal_prefix('r')}/{name}.ndjson"
    old = store.get(key)
    store.put(key, (old.data if old else b"") + b"".join(map(ev.encode, events)))


def read(store):
    run = RunMetadata.model_validate_json(store.get(layout.run_key("r", DAY)).data)
    blob = store.get(layout.files_key("r", DAY))
    return run, orjson.loads(blob.data) if blob else []


def check(store, files: int) -> RunMetadata:
    run, rows = read(store)
    assert len(rows) == run.total_files == files
    assert sum(r["status"] == "failed" for r in rows) == run.failed_count
    return run


class Faulty:
    """A store that stops at its n-th call, before or after having done it, as a process does that is killed."""

    def __init__(self, store, at: int, after: bool):
        self._store, self._at, self._after, self.calls = store, at, after, 0

    def __getattr__(self, name):
        method = getattr(self._store, name)
        if not callable(method):
            return method

        def call(*args, **kwargs):
            self.calls += 1
            if self.calls == self._at and not self._after:
                raise KeyboardInterrupt
            result = method(*args, **kwargs)
            if self.calls == self._at:
                raise KeyboardInterrupt
            return result

        return call


def test_sealing_again_changes_nothing(store):
    write_segment(store, "w", started(), outcome("a"), outcome("b", "failed"), ended())
    first = seal(store, "r", now=T0)
    before = {e.key: e.etag for e in store.list("run_metadata")}
    assert seal(store, "r", now=T0 + timedelta(days=1)) == first
    assert {e.key: e.etag for e in store.list("run_metadata")} == before
    assert check(store, 2).status == "partial_success"


def test_a_run_without_journal(store):
    assert seal(store, "r", now=T0) is None


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_each_step_and_another_sealer(tmp_path, after):
    for step in range(1, 100):
        store = open_store(str(tmp_path / f"{step}"))
        write_segment(store, "w", started(), outcome("a"), outcome("b", "failed"), ended())
        faulty = Faulty(store, step, after)
        try:
            seal(faulty, "r", now=T0)
        except KeyboardInterrupt:
            if store.get(layout.run_key("r", DAY)) is not None:
                check(store, 2)  # the metadata speak of no rows that are not there
            write_segment(store, "late", outcome("c"))
            seal(store, "r", now=T0)
            assert check(store, 3).status == "partial_success"
            continue
        assert step > 5
        return
    pytest.fail("sealing never came to its end")


@pytest.mark.parametrize("twice", [False, True])
def test_a_stalled_sealer_undoes_no_newer_generation(store, twice):
    """It goes on after another has sealed more, at each of its steps; also after just what it is about to do itself."""
    write_segment(store, "w", started(), outcome("a"), ended())
    for step in range(1, 30):
        stalled = Faulty(store, -1, after=False)
        done = []
        if twice:
            write_segment(store, f"new{step}", outcome(f"new{step}"))

        def overtake(name, stalled=stalled, step=step, done=done):
            method = getattr(store, name)

            def call(*args, **kwargs):
                stalled.calls += 1
                if stalled.calls == step and not done:
                    done.append(True)
                    if twice:
                        seal(store, "r", now=T0)
                    write_segment(store, f"late{step}", outcome(f"late{step}"))
                    seal(store, "r", now=T0)
                return method(*args, **kwargs)

            return call if callable(method) else method

        class Stalled:
            def __getattr__(self, name, overtake=overtake):
                return overtake(name)

        seal(Stalled(), "r", now=T0)
        if not done:
            assert step > 4
            return
        check(store, 2 * step + 1 if twice else step + 1)


class Counting:
    """A store in memory that counts what it is asked."""

    def __init__(self, name):
        self.calls = Counter()
        self._inner = open_store(f"memory://counting-{name}/x")
        self.url, self.local_root = self._inner.url, None

    def __getattr__(self, name):
        method = getattr(self._inner, name)

        def call(*args, **kwargs):
            found = method(*args, **kwargs)
            self.calls[name] += 1
            return list(found) if name == "get_many" else found

        return call if callable(method) else method


def run_of_one_file(store, tmp_path, meanwhile=lambda archive, run_id: None):
    env = {
        "TRACKRECORD_SPOOL": str(tmp_path / "spool"),
        "PREFECT_HOME": str(tmp_path),
        "TRACKRECORD_UPLOAD_SECONDS": "600",  # on a busy machine the run may last longer than the pause before one
    }
    archive = Archive(store, Settings.from_env(env))
    with RunTracker("c", storage=TrackingStorage.around(archive)) as tracker:
        tracker.track_file("a.csv")
        meanwhile(archive, tracker.run_id)
    store.asked = dict(store.calls)
    run = archive.run(tracker.run_id)
    assert (run.status, run.total_files, len(archive.files(run))) == ("success", 1, 1)
    return run


def announced(archive, run_id):
    """Wait until it is: in a bucket that happens in the background."""
    key = layout.run_key(run_id, layout.day_of(datetime.now(timezone.utc)))
    end = time.monotonic() + 60
    while archive.store.get(key) is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    return key


def test_a_small_run_asks_a_bucket_only_what_it_does_not_know(tmp_path):
    """Once it is announced: a look at its journal; its segment, its seal record, two documents and the mark."""
    store = Counting(tmp_path.name)

    def meanwhile(archive, run_id):
        announced(archive, run_id)
        store.calls.clear()

    run_of_one_file(store, tmp_path, meanwhile)
    assert store.asked == {"create": 2, "replace": 3, "list": 1}  # the segment and both documents are replaced


def test_a_run_that_ends_before_it_is_announced_writes_its_document_once(tmp_path, monkeypatch):
    monkeypatch.setattr(Uploader, "soon", lambda self, job: late.append(job))
    late, store = [], Counting(tmp_path.name)
    run = run_of_one_file(store, tmp_path)
    before = dict(store.calls)
    (job,) = late
    job()
    assert dict(store.calls) == before
    assert run.generation == 1


def test_a_document_that_somebody_else_changed_is_looked_at_again(tmp_path):
    def meanwhile(archive, run_id):
        key = announced(archive, run_id)
        archive.store.put(key, archive.store.get(key).data + b" ")

    assert run_of_one_file(Counting(tmp_path.name), tmp_path, meanwhile).generation == 1


def test_a_segment_that_somebody_else_brought_is_read(tmp_path):
    """Under its name lies more than this process wrote, as where another of this host has brought it meanwhile."""
    store = Counting(tmp_path.name)
    write_segment(store, "w", started(), outcome("a"), ended())
    (entry,) = store.list(layout.journal_prefix("r"))
    stale = {"w.ndjson": Blob(b"", "another etag")}
    assert seal(store, "r", now=T0, known=Known(stale)).total_files == 1
    held = {"w.ndjson": Blob(store.get(entry.key).data, entry.etag)}
    store.calls.clear()
    assert seal(store, "r", now=T0, known=Known(held)).total_files == 1
    assert "get_many" not in store.calls


def test_late_events_are_added_and_the_status_of_a_recovery_stays(store):
    write_segment(store, "w", started(), outcome("a"))
    gone = ended(status="aborted", reason=f"{RECOVERED}: gone")
    assert seal(store, "r", now=T0, ended=gone).status == "aborted"
    write_segment(store, "zombie", outcome("b"), ended(9))
    run = seal(store, "r", now=T0)
    assert (run.status, run.total_files, run.generation) == ("aborted", 2, 2)


def test_a_runs_own_later_end_wins(store):
    write_segment(store, "w", started(), outcome("a"), ended(run_count=1))
    assert seal(store, "r", now=T0).status == "success"
    write_segment(store, "hook", ended(6, status="failed", error_message="timed out", run_count=1))
    run = seal(store, "r", now=T0)
    assert (run.status, run.error_message) == ("failed", "timed out")


def test_a_retry_opens_a_sealed_run_again(store):
    write_segment(store, "w", started(1), outcome("a", "failed"), ended(status="failed", run_count=1))
    assert seal(store, "r", now=T0).status == "failed"
    write_segment(store, "w2", started(2), outcome("a", second=100), ended(9, run_count=2))
    run = seal(store, "r", now=T0)
    assert (run.status, run.run_count, run.success_count, run.failed_count) == ("success", 2, 1, 0)


def test_many_sealers_and_writers(store):
    """A reader sees counts that agree with the rows, and never fewer of them."""
    write_segment(store, "w", started(), ended())
    seal(store, "r", now=T0)
    stop, seen, problems = threading.Event(), [], []

    def writer(n):
        for i in range(8):
            write_segment(store, f"w{n}", outcome(f"{n}-{i}"))

    def sealer():
        try:
            while not stop.is_set():
                seal(store, "r", now=T0)
        except Exception as exc:
            problems.append(exc)

    def reader():
        while not stop.is_set():
            run, rows = read(store)
            seen.append((run.generation, run.total_files, len(rows)))

    threads = [threading.Thread(target=sealer) for _ in range(3)] + [threading.Thread(target=reader)]
    writers = [threading.Thread(target=writer, args=(n,)) for n in range(4)]
    [t.start() for t in threads + writers]
    [t.join() for t in writers]
    stop.set()
    [t.join() for t in threads]
    assert problems == []
    seal(store, "r", now=T0)
    check(store, 32)
    assert [s[0] for s in seen] == sorted(s[0] for s in seen), "generations only grow"
    assert [s[1] for s in seen] == sorted(s[1] for s in seen), "counts only grow"


def test_a_damaged_seal_record_is_told_with_its_key(store):
    write_segment(store, "w", started(), ended())
    seal(store, "r", now=T0)
    store.put(layout.seal_key("r", 1), b"{")
    with pytest.raises(DamagedDocumentError, match="seal-000001"):
        newest_record(store, "r")


def test_a_damaged_line_is_counted(store):
    write_segment(store, "w", started(), outcome("a"), ended())
    key = f"{layout.journal_prefix('r')}/w.ndjson"
    store.put(key, store.get(key).data + b'{"kind":"file","at":\n' + ev.encode(outcome("b")))
    run = seal(store, "r", now=T0)
    assert run.total_files == 2
    assert run.tracking_errors == {"1 damaged lines in w.ndjson": 1}


def test_a_store_that_is_down_is_told(store):
    class Down:
        def __getattr__(self, name):
            def call(*args, **kwargs):
                raise StoreUnavailableError("down")

            return call

    with pytest.raises(StoreUnavailableError):
        seal(Down(), "r", now=T0)
