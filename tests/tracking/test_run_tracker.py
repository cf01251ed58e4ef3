"""RunTracker without Prefect: the seed's calls, what lands on disk, threads, faults."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import threading
from datetime import date, datetime, timedelta, timezone

import pytest

from prefect_trackrecord import events as ev
from prefect_trackrecord.errors import ConfigurationError, DateRangeError, StorageUrlError, UsageError
from prefect_trackrecord.settings import current
from prefect_trackrecord.tracking import (
    EmailResult,
    FileProcessingLog,
    FileStatus,
    RunMetadata,
    RunStatus,
    RunTracker,
    TrackingStorage,
    current_tracker,
    recover,
    resolve_storage,
)

NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)


@pytest.fixture
def storage(tmp_path):
    return TrackingStorage(base_path=tmp_path / "store")


def load(storage, kind, suffix):
    (path,) = sorted((storage.archive.store.local_root / kind).rglob(f"*{suffix}"))
    return json.loads(path.read_text())


def test_the_seeds_life(storage):
    tracker = RunTracker(command="extract", config_path="c.yaml", storage=storage, target_date="2026-01-25")
    tracker.start()
    assert load(storage, "run_metadata", ".json")["status"] == "running"
    tracker.track_file("a.wav", FileStatus.SUCCESS, output_path="a.json", processing_time_ms=12.4)
    tracker.track_file("b.wav", FileStatus.FAILED, error_type="ValueError", error_message="bad")
    tracker.record_email_results(
        {
            "sent": [{"agent_id": "A1", "email": "a@b.com"}],
            "failed": [{"agent_id": "A2", "email": "c@d.com", "error": "SMTP error"}],
            "skipped": [{"agent_id": "A3", "reason": "No email configured"}],
        }
    )
    tracker.metric("rows", 1200)
    run = tracker.complete()
    assert run.status is RunStatus.PARTIAL_SUCCESS
    meta = load(storage, "run_metadata", ".json")
    assert meta["run_id"] == tracker.run_id
    assert meta["command"] == "extract"
    assert meta["target_date"] == "2026-01-25"
    assert (meta["total_files"], meta["success_count"], meta["failed_count"]) == (2, 1, 1)
    assert (meta["emails_sent"], meta["emails_failed"], meta["emails_skipped"]) == (1, 1, 1)
    assert meta["metrics"] == {"rows": 1200}
    assert meta["host"]
    assert meta["versions"]["python"]
    rows = load(storage, "file_logs", "_files.json")
    assert [r["file_path"] for r in rows] == ["a.wav", "b.wav"]
    assert rows[0]["processing_time_ms"] == 12
    assert rows[1]["error_fingerprint"]
    emails = load(storage, "email_logs", "_emails.json")
    assert [(e["status"], e["reason"]) for e in emails] == [
        ("sent", None),
        ("failed", "SMTP error"),
        ("skipped", "No email configured"),
    ]
    day = datetime.now(timezone.utc).strftime("%Y/%m/%d")
    assert (storage.archive.store.local_root / "run_metadata" / day / f"{tracker.run_id}.json").exists()


def test_context_manager_success_failure_and_abort(storage):
    with RunTracker("ok", storage=storage) as ok:
        assert current_tracker() is ok
    with pytest.raises(UsageError):
        current_tracker()
    with pytest.raises(ZeroDivisionError), RunTracker("bad", storage=storage):
        1 / 0  # noqa: B018
    with pytest.raises(KeyboardInterrupt), RunTracker("stopped", storage=storage):
        raise KeyboardInterrupt
    with pytest.raises(SystemExit), RunTracker("left", storage=storage):
        raise SystemExit(0)
    runs = {r.command: r for r in storage.list_runs()}
    assert {name: r.status.value for name, r in runs.items()} == {
        "ok": "success",
        "bad": "failed",
        "stopped": "aborted",
        "left": "success",
    }
    assert runs["bad"].error_type == "ZeroDivisionError"
    assert "division by zero" in runs["bad"].error_message
    assert "test_context_manager" in runs["bad"].traceback


def test_a_run_inside_a_run_is_linked_to_it(storage):
    with RunTracker("outer", storage=storage) as outer, RunTracker("inner", storage=storage) as inner:
        assert current_tracker() is inner
    assert storage.archive.run(inner.run_id).parent_run_id == outer.run_id


def test_parameters_are_masked(storage):
    with RunTracker("c", storage=storage, parameters={"day": date(2026, 1, 2), "api_key": "geheim", "f": print}) as t:
        pass
    text = storage.archive.store.get(next(e.key for e in storage.archive.store.list("run_metadata"))).data
    assert b"geheim" not in text
    assert storage.archive.run(t.run_id).parameters["day"] == "2026-01-02"


def test_threads(storage):
    with RunTracker("c", storage=storage) as tracker:
        threads = [
            threading.Thread(target=lambda n=n: [tracker.track_file(f"{n}-{i}") for i in range(100)]) for n in range(8)
        ]
        [t.start() for t in threads]
        [t.join() for t in threads]
    run = storage.archive.run(tracker.run_id)
    assert run.total_files == run.success_count == 800
    assert len(storage.archive.files(run)) == 800


def test_forked_children_add_to_the_run(storage):
    with RunTracker("c", storage=storage) as tracker:
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=tracker.track_file, args=(f"child-{n}",)) for n in range(4)]
        [c.start() for c in children]
        [c.join() for c in children]  # exit codes are not ours: a Prefect server of another test spoils them
    assert storage.archive.run(tracker.run_id).total_files == 4


def test_misuse_is_told(storage):
    tracker = RunTracker("c", storage=storage)
    with pytest.raises(UsageError, match="start"):
        tracker.track_file("a")
    with pytest.raises(UsageError, match="start"):
        tracker.complete()
    tracker.start()
    with pytest.raises(UsageError, match="new RunTracker"):
        tracker.start()
    with pytest.raises(ValueError, match="green"):
        tracker.track_file("a", "green")
    with pytest.raises(ValueError, match="blue"):
        tracker.complete("blue")
    assert tracker.complete() is not None
    assert tracker.complete() is None


def test_odd_paths_and_texts_are_kept(storage, tmp_path):
    with RunTracker("c", storage=storage) as tracker:
        tracker.track_file(tmp_path / "a")
        tracker.track_file("\ud800 \x00 \u202e </script>", "failed", error_message="x" * 50_000)
    rows = storage.archive.files(storage.archive.run(tracker.run_id))
    assert rows[0].file_path == str(tmp_path / "a")
    assert rows[1].file_path == "? \x00 \u202e </script>"
    assert len(rows[1].error_message) < 11_000


# --- storage ------------------------------------------------------------------------------------------------


def test_direct_saves_and_a_later_seal(storage):
    run = RunMetadata(run_id="r1", command="report", started_at=NOON, status="success", total_files=9)
    storage.save_run_metadata(run)
    storage.save_file_logs([FileProcessingLog(run_id="r1", file_path="a", status="failed", error_type="E")])
    storage.save_email_logs({"sent": [{"email": "a@b.c"}]}, "r1")
    root = storage.archive.store.local_root
    assert (root / "run_metadata/2026/01/02/r1.json").exists()
    assert (root / "file_logs/2026/01/02/r1_files.json").exists()
    assert (root / "email_logs/2026/01/02/r1_emails.json").exists()
    (listed,) = storage.list_runs(date(2026, 1, 2), date(2026, 1, 2), command="report", status=RunStatus.SUCCESS)
    assert (listed.total_files, listed.status) == (9, "success")
    assert recover(storage) == [], "nothing ran, so nothing is recovered"

    tracker = RunTracker("report", storage=storage, new_id=lambda: "r1", now=lambda: NOON + timedelta(hours=1))
    tracker.start()
    tracker.track_file("b")
    sealed = tracker.complete()
    rows = {r.file_path: r for r in storage.archive.files(sealed)}
    assert set(rows) == {"a", "b"}
    assert rows["a"].error_fingerprint
    assert storage.archive.emails(sealed)[0].email == "a@b.c"

    storage.save_email_logs([EmailResult(email="late@b.c", status="failed", reason="full")], "r1")
    again = storage.archive.run("r1")
    assert again.emails_failed == 1
    assert again.generation == 2
    assert again.total_files == 2


def test_email_logs_of_a_run_that_somebody_else_stored(storage):
    """The date is found by the run's own document, as the seed's RunTracker has written it."""
    path = storage.archive.store.local_root / "run_metadata/2025/01/20/old.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"run_id": "old", "command": "report", "started_at": "2025-01-20T08:00:00", "status": "success"}')
    storage.save_email_logs({"failed": [{"email": "x@y.z", "reason": "full"}]}, "old")
    assert (storage.archive.store.local_root / "email_logs/2025/01/20/old_emails.json").exists()
    assert storage.archive.run("old").started_at.tzinfo is not None


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (date(2026, 1, 2), date(2026, 1, 2), "bcd"),
        (date(2026, 1, 1), date(2026, 1, 2), "abcd"),
        (datetime(2026, 1, 2), datetime(2026, 1, 2), "bcd"),
        (datetime(2026, 1, 2, 12), datetime(2026, 1, 2, 23, 59, 59), "c"),
        (None, date(2026, 1, 1), "a"),
        (date(2026, 1, 3), None, "e"),
        (None, None, "abcde"),
        ("2026-01-02", "2026-01-02", "bcd"),
    ],
)
def test_windows(storage, start, end, found):
    moments = {
        "a": datetime(2026, 1, 1, 23, 59, 59),
        "b": datetime(2026, 1, 2),
        "c": datetime(2026, 1, 2, 12),
        "d": datetime(2026, 1, 2, 23, 59, 59, 999999),
        "e": datetime(2026, 1, 3),
    }
    for run_id, moment in moments.items():
        storage.save_run_metadata(RunMetadata(run_id=run_id, started_at=moment))
    assert "".join(r.run_id for r in storage.list_runs(start, end)) == found


def test_a_range_backwards_and_no_date(storage):
    with pytest.raises(DateRangeError, match="backwards"):
        storage.list_runs(date(2026, 1, 2), date(2026, 1, 1))
    with pytest.raises(DateRangeError, match="no date"):
        storage.list_runs("yesteryear")
    with pytest.raises(ValueError, match="nonsense"):
        storage.list_runs(status="nonsense")


def test_a_damaged_document_is_reported_and_the_rest_is_read(storage):
    storage.save_run_metadata(RunMetadata(run_id="good", started_at=NOON))
    bad = storage.archive.store.local_root / "run_metadata/2026/01/02/bad.json"
    bad.write_text('{"run_id": "bad", "started_at"')
    assert [r.run_id for r in storage.list_runs()] == ["good"]
    (damaged,) = storage.damaged
    assert damaged.key == "run_metadata/2026/01/02/bad.json"


def test_where_the_history_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    current.cache_clear()
    assert resolve_storage().archive.store.local_root == tmp_path / "home/trackrecord/history"
    monkeypatch.setenv("PREFECT_INTEGRATIONS_TRACKRECORD_STORAGE", str(tmp_path / "setting"))
    current.cache_clear()
    assert resolve_storage().archive.store.local_root == tmp_path / "setting"
    monkeypatch.setenv("TRACKING_PATH", str(tmp_path / "tracking"))
    current.cache_clear()
    assert resolve_storage().archive.store.local_root == tmp_path / "tracking"
    assert RunTracker("c").storage.archive.store.local_root == tmp_path / "tracking"
    assert resolve_storage(tmp_path / "own").archive.store.local_root == tmp_path / "own"


def test_artifact_managers(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    storage = TrackingStorage(artifact_manager=memory, base_path="azure://bucket/run_metadata")
    with RunTracker("c", storage=storage) as tracker:
        tracker.track_file("a")
    assert any(name.endswith(f"{tracker.run_id}.json") for name in memory.find("/bucket/run_metadata"))
    assert [r.run_id for r in storage.list_runs()] == [tracker.run_id]
    with pytest.raises(StorageUrlError, match="fsspec filesystem or a Prefect filesystem block"):
        TrackingStorage(artifact_manager=object(), base_path="x")


def test_an_unknown_protocol_is_told_at_once():
    with pytest.raises(ConfigurationError, match="s4"):
        TrackingStorage(base_path="s4://bucket/x")


# --- stores that can't be written ----------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_spools_and_is_recovered(tmp_path, caplog):
    place = tmp_path / "store"
    place.write_text("a file stands where the folder should be")
    storage = TrackingStorage(base_path=place)
    tracker = RunTracker("c", storage=storage)
    tracker.start()
    assert tracker.track_file("a")
    assert tracker.complete() is None
    warnings = [r.message for r in caplog.records if "can't be written" in r.message]
    assert warnings
    assert "trackrecord recover" in warnings[0]
    place.unlink()
    (done,) = recover(TrackingStorage(base_path=place))
    assert done.run.status is RunStatus.SUCCESS
    assert done.run.total_files == 1
    assert list(storage.archive.spooled()) == []


def test_memory_store_goes_through_the_spool_and_leaves_nothing_there():
    storage = TrackingStorage(base_path=f"memory://bucket-{os.getpid()}/x")
    with RunTracker("c", storage=storage) as tracker:
        tracker.track_file("a")
        assert list(storage.archive.spooled())
    assert storage.archive.run(tracker.run_id).total_files == 1
    assert list(storage.archive.spooled()) == []


# --- odd input from a pipeline is stored as best it can be ---------------------------------------------------


def test_numbers_that_are_none_cost_nothing_else(storage):
    with RunTracker("c", storage=storage, role=5) as tracker:
        assert not tracker.metric("ratio", float("nan"))
        assert tracker.metric("rows", "12")
        tracker.track_file("a", metrics={"x": float("inf"), "y": 2}, processing_time_ms=float("nan"))
        tracker.track_file(b"b", processing_time_ms="12", started_at="yesterday")
        tracker.track_file(3, "failed", traceback=ValueError("bad"))
        tracker.record_email_results([{"email": "x@y.z", "at": "yesterday"}, {"email": "q@y.z", "status": "bounced"}])
    run = storage.archive.run(tracker.run_id)
    assert (run.status, run.total_files, run.role) == ("partial_success", 3, "5")
    assert run.metrics == {"rows": 12}
    assert any("ratio is no number: nan" in cause for cause in run.tracking_errors)
    rows = {r.file_path: r for r in storage.archive.files(run)}
    assert rows["a"].metrics == {"y": 2}
    assert rows["b"].processing_time_ms == 12
    assert "ValueError: bad" in rows["3"].traceback
    assert (run.emails_sent, run.emails_failed) == (1, 1)
    assert "bounced" in storage.archive.emails(run)[1].reason


def test_an_event_that_makes_no_document_costs_only_its_field(storage):
    tracker = RunTracker("c", storage=storage)
    tracker.start()
    tracker._emit(ev.RunUpdated(at=NOON, run={"tags": 5, "flow_name": "f"}))
    run = tracker.complete(reason=5)
    assert (run.status, run.flow_name, run.tags, run.reason) == ("success", "f", [], "5")
    assert run.tracking_errors == {"tags could not be kept: 5": 1}


def test_one_odd_row_costs_no_other_row(storage):
    with RunTracker("c", storage=storage) as tracker:
        tracker.track_file("a")
        tracker.track_file("b")
    path = next((storage.archive.store.local_root / "file_logs").rglob("*_files.json"))
    path.write_text(path.read_text().replace('"file_path":"b"', '"file_path":"b","metrics":{"x":null}'))
    assert [r.file_path for r in storage.archive.files(storage.archive.run(tracker.run_id))] == ["a", "b"]


def test_secrets_in_urls_do_not_travel(storage):
    url = "http://u:geheim@h/f?sig=geheim&x=1&X-Amz-Signature=geheim"
    with RunTracker("c", config_path=url, target_date=url, storage=storage) as tracker:
        tracker.track_file(url, "failed", error_message=f"GET {url}", output_path=url, traceback=url)
        tracker.complete("failed", url, reason=url)
    for entry in storage.archive.store.list(""):
        assert b"geheim" not in storage.archive.store.get(entry.key).data, entry.key


def test_the_later_save_of_a_file_or_mail_counts(storage):
    for status in ("failed", "success"):
        storage.save_file_logs([FileProcessingLog(run_id="r", file_path="d", status=status)])
    for status in ("failed", "sent"):
        storage.save_email_logs([EmailResult(email="x@y.z", status=status)], "r")
    with RunTracker("c", storage=storage, new_id=lambda: "r"):
        pass
    run = storage.archive.run("r")
    assert (run.success_count, run.failed_count, run.emails_sent, run.emails_failed) == (1, 0, 1, 0)


def test_a_lost_or_damaged_document_is_made_again(storage):
    with RunTracker("c", storage=storage) as tracker:
        tracker.track_file("a")
    path = next((storage.archive.store.local_root / "run_metadata").rglob("*.json"))
    for damage in (path.unlink, lambda: path.write_text("{")):
        damage()
        (done,) = recover(storage)
        assert done.run.total_files == 1
        assert storage.archive.run(tracker.run_id).status == "success"
        assert recover(storage) == []


def test_a_running_run_tells_what_came_so_far(storage):
    tracker = RunTracker("c", storage=storage)
    tracker.start()
    tracker.track_file("a")
    tracker.track_file("b", "failed")
    run = storage.archive.run(tracker.run_id)
    assert (run.status, run.total_files, run.failed_count) == ("running", 2, 1)
    assert len(storage.archive.files(run)) == 2
    tracker.complete()


def test_one_warning_a_store(tmp_path, caplog):
    place = tmp_path / "store"
    place.write_text("in the way")
    for _ in range(2):
        with RunTracker("c", storage=TrackingStorage(base_path=place)) as tracker:
            tracker.track_file("a")
    assert len([r for r in caplog.records if "can't be written" in r.message]) == 1


def test_a_file_url_with_a_local_filesystem_is_that_folder(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    storage = TrackingStorage(artifact_manager=fsspec.filesystem("file"), base_path=f"file://{tmp_path}/x")
    assert storage.archive.store.local_root == tmp_path / "x"


def test_credentials_are_in_no_repr_and_cross_processes():
    pytest.importorskip("s3fs")
    storage = TrackingStorage(base_path="s3://b/x", options={"key": "k", "secret": "topsecretvalue"})
    for one in (storage, TrackingStorage.around(storage.archive)):
        assert "topsecretvalue" not in repr(vars(one)) + repr(vars(one.archive))
        assert pickle.loads(pickle.dumps(one)).archive.config.options["secret"] == "topsecretvalue"
