"""A journal may expire sooner than its run's documents, and in parts: nothing makes poorer ones of what is left."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.run_journal import RunJournal
from prefect_trackrecord.tracking import TrackingStorage, recover

T0 = datetime(2026, 1, 2, 3, tzinfo=timezone.utc)
NIGHTLY = {"command": "nightly", "flow_name": "nightly", "host": "elsewhere"}


def write(storage, name, *events):
    """A segment of another host's."""
    opened = ev.WriterOpened(events[0].at, "elsewhere", "", 1, 1)
    body = b"".join(map(ev.encode, (opened, *events)))
    storage.archive.store.put(f"{layout.journal_prefix('r')}/{name}.ndjson", body)


def outcome(path, second, status="success"):
    return ev.FileTracked(at=T0 + timedelta(seconds=second), row={"file_path": path, "status": status})


@pytest.fixture
def storage(tmp_path):
    """A run that was sealed out of the segments of its flow and of two workers."""
    found = TrackingStorage(base_path=tmp_path / "s")
    end = ev.RunEnded(at=T0 + timedelta(minutes=1), status="partial_success", state="Completed")
    write(found, "flow", ev.RunStarted(at=T0, run=NIGHTLY), end)
    write(found, "one", outcome("a", 1), outcome("b", 2))
    write(found, "two", outcome("c", 3, "failed"))
    (done,) = recover(found)
    assert (done.run.total_files, done.run.failed_count, done.run.flow_name) == (3, 1, "nightly")
    return found


def documents(storage):
    store = storage.archive.store
    return {e.key: store.get(e.key).data for e in store.list("") if not e.key.startswith(layout.JOURNAL)}


def expire(storage, *names):
    for name in names:
        storage.archive.store.delete(f"{layout.journal_prefix('r')}/{name}.ndjson")


@pytest.mark.parametrize("gone", [["flow"], ["one"], ["flow", "one"], ["flow", "one", "two"]])
def test_documents_stay_as_they_are(storage, gone, monkeypatch):
    before = documents(storage)
    expire(storage, *gone)
    told = []
    assert recover(storage, ask=lambda _id: None, reconcile=lambda *more: told.append(more)) == []
    assert (documents(storage), told) == (before, [])
    assert storage.archive.seal("r").total_files == 3
    monkeypatch.setattr(RunJournal, "newest", lambda _self: pytest.fail("it is looked at again"))
    assert recover(storage) == []
    assert documents(storage) == before


def rows_of(storage, run):
    return {row.file_path: row.status.value for row in storage.archive.files(run)}


def test_what_comes_late_is_added_to_the_documents(storage):
    expire(storage, "flow", "one")
    write(storage, "three", outcome("d", 4, "failed"))
    (late,) = recover(storage)
    assert (late.run.total_files, late.run.failed_count, late.run.flow_name) == (4, 2, "nightly")
    assert (late.run.status.value, late.run.started_at, late.run.generation) == ("partial_success", T0, 2)
    assert rows_of(storage, late.run) == {"a": "success", "b": "success", "c": "failed", "d": "failed"}
    assert recover(storage) == []
    expire(storage, "two", "three")
    write(storage, "four", outcome("e", 5))
    (late,) = recover(storage)
    assert (late.run.total_files, late.run.failed_count, late.run.generation) == (5, 2, 3)
    assert late.error is None


def test_a_later_attempt_is_added_too(storage):
    """Prefect's button Retry, after the journal of the first attempt has expired."""
    expire(storage, "flow", "one", "two")
    again = ev.RunStarted(at=T0 + timedelta(days=40), run={**NIGHTLY, "run_count": 2})
    run = storage.archive.run("r")
    storage.archive.reopen(run.model_copy(update={"status": "running", "run_count": 2, "completed_at": None}))
    end = ev.RunEnded(at=T0 + timedelta(days=40, seconds=9), state="Completed", run_count=2)
    done_again = ev.FileTracked(at=T0 + timedelta(days=40, seconds=5), row={"file_path": "c", "status": "success"})
    write(storage, "again", again, done_again, end)
    run = storage.archive.seal("r")
    assert (run.status.value, run.run_count, run.started_at, run.total_files) == ("success", 2, T0, 3)
    assert rows_of(storage, run) == {"a": "success", "b": "success", "c": "success"}
    assert recover(storage) == []
    (listed,) = storage.list_runs()
    assert listed.status.value == "success"


def test_documents_that_are_gone_are_made_of_what_is_left(storage):
    (key,) = [key for key in documents(storage) if key.startswith(layout.RUNS)]
    storage.archive.store.delete(key)
    expire(storage, "one")
    (done,) = recover(storage)
    assert (done.run.total_files, done.run.status.value, done.run.generation) == (1, "partial_success", 2)
    assert key in documents(storage)
    assert recover(storage) == []


def test_a_listing_that_shows_a_new_record_before_its_segment(storage, monkeypatch):
    """A folder is listed bit by bit, while others write into it."""
    write(storage, "three", outcome("d", 4))
    assert storage.archive.seal("r").total_files == 4
    real, first = RunJournal.read, []

    def read(store, run_id, *more, **named):
        found = real(store, run_id, *more, **named)
        if not first:
            first.append(found.segments.pop("three.ndjson"))
        return found

    monkeypatch.setattr(RunJournal, "read", read)
    assert storage.archive.seal("r").total_files == 4
    assert first
