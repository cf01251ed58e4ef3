"""The callback manager: who is told what, and that no handler stops a batch."""

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from prefect_trackrecord.callbacks import CallbackHandler, CallbackManager, TrackerCallbackHandler
from prefect_trackrecord.documents.models import FileStatus
from prefect_trackrecord.tracking import RunTracker, TrackingStorage


class Recorder(CallbackHandler):
    def __init__(self):
        self.heard = []

    def on_batch_start(self, batch):
        self.heard.append(("batch start", batch.total_files))

    def on_file_start(self, file):
        self.heard.append(("start", file.file_path, file.index, file.total))

    def on_file_end(self, file):
        self.heard.append(("end", file.file_path, file.index, file.total, file.status))

    def on_file_error(self, file):
        self.heard.append(("error", file.file_path, str(file.error)))

    def on_batch_end(self, batch):
        self.heard.append(("batch end", {s.value: n for s, n in batch.counts.items() if n}))


class Broken(CallbackHandler):
    def on_file_end(self, file):
        raise RuntimeError("no such bar")


@pytest.fixture
def storage(tmp_path):
    return TrackingStorage(base_path=tmp_path / "history")


def rows(storage, tracker):
    return storage.archive.files(storage.archive.run(tracker.run_id))


def test_every_handler_hears_everything_in_order():
    first, second = Recorder(), Recorder()
    with CallbackManager(handlers=[first, second]).on_batch_start(total_files=2) as batch:
        batch.on_file_start("a.wav", 0, 2)
        batch.on_file_end("a.wav", 0, 2, "success", duration_ms=1500)
        batch.on_file_error("b.wav", 1, 2, ValueError("too short"))
    assert first.heard == second.heard
    assert first.heard == [
        ("batch start", 2),
        ("start", "a.wav", 0, 2),
        ("end", "a.wav", 0, 2, FileStatus.SUCCESS),
        ("error", "b.wav", "too short"),
        ("batch end", {"success": 1, "failed": 1}),
    ]


def test_the_total_of_the_batch_is_that_of_its_files():
    heard = Recorder()
    batch = CallbackManager([heard]).on_batch_start(total_files=7)
    batch.on_file_start("a.wav", 0)
    assert heard.heard[-1] == ("start", "a.wav", 0, 7)


def test_a_handler_that_raises_is_logged_once_and_stops_nothing(caplog):
    heard = Recorder()
    manager = CallbackManager([Broken(), heard])
    with caplog.at_level(logging.WARNING, "prefect_trackrecord"), manager.on_batch_start(3) as batch:
        for n in range(3):
            batch.on_file_end(f"{n}.wav", n, 3, "success")
    assert [h[0] for h in heard.heard] == ["batch start", "end", "end", "end", "batch end"]
    assert [r.message for r in caplog.records] == [
        "Broken.on_file_end raised RuntimeError; the batch goes on, and this is not logged again"
    ]
    assert caplog.records[0].exc_info[1].args == ("no such bar",)


def test_a_handler_that_raises_is_counted_in_the_run(storage):
    with RunTracker("extract", storage=storage) as tracker:
        manager = CallbackManager([TrackerCallbackHandler(tracker), Broken()])
        with manager.on_batch_start(2) as batch:
            batch.on_file_end("a.wav", 0, 2, "success")
            batch.on_file_end("b.wav", 1, 2, "success")
    run = storage.archive.run(tracker.run_id)
    assert run.tracking_errors == {"Broken.on_file_end raised RuntimeError": 2}
    assert run.success_count == 2


def test_what_is_no_exception_passes():
    class Stopping(CallbackHandler):
        def on_file_start(self, file):
            raise KeyboardInterrupt

    batch = CallbackManager([Stopping()]).on_batch_start()
    with pytest.raises(KeyboardInterrupt):
        batch.on_file_start("a.wav")


def test_error_and_end_of_one_file_are_one_outcome(storage):
    with (
        RunTracker("extract", storage=storage) as tracker,
        CallbackManager([TrackerCallbackHandler(tracker)]).on_batch_start(1) as batch,
    ):
        batch.on_file_start("a.wav", 0, 1)
        try:
            raise ValueError("too short")
        except ValueError as exc:
            batch.on_file_error("a.wav", 0, 1, exc)
        batch.on_file_end("a.wav", 0, 1, "failed", error="too short")
        assert batch.state().counts[FileStatus.FAILED] == 1
    (row,) = rows(storage, tracker)
    assert (row.status, row.error_type, row.error_message) == (FileStatus.FAILED, "ValueError", "too short")
    assert "test_manager.py" in row.traceback
    assert row.processing_time_ms is not None
    assert len(row.attempts) <= 1


def test_an_error_without_an_end_is_kept(storage):
    with RunTracker("extract", storage=storage) as tracker:
        batch = CallbackManager([TrackerCallbackHandler(tracker)]).on_batch_start(1)
        batch.on_file_error("a.wav", 0, 1, "no header")
    (row,) = rows(storage, tracker)
    assert (row.status, row.error_type, row.error_message) == (FileStatus.FAILED, None, "no header")


def test_a_file_that_came_through_at_another_try_is_one_file_with_two_attempts(storage):
    with (
        RunTracker("extract", storage=storage) as tracker,
        CallbackManager([TrackerCallbackHandler(tracker)]).on_batch_start(1) as batch,
    ):
        batch.on_file_error("a.wav", 0, 1, OSError("busy"))
        batch.on_file_start("a.wav", 0, 1)
        batch.on_file_error("a.wav", 0, 1, OSError("busy again"))
        batch.on_file_start("a.wav", 0, 1)
        batch.on_file_end("a.wav", 0, 1, "success", output_path="a.txt")
        assert batch.state().counts == {FileStatus.SUCCESS: 1, FileStatus.FAILED: 0, FileStatus.SKIPPED: 0}
    (row,) = rows(storage, tracker)
    assert row.status is FileStatus.SUCCESS
    assert [(a.status, a.error_message) for a in row.attempts] == [
        ("failed", "busy"), ("failed", "busy again"), ("success", None),
    ]  # fmt: skip


def test_an_end_that_says_success_overrides_the_error(storage):
    with (
        RunTracker("extract", storage=storage) as tracker,
        CallbackManager([TrackerCallbackHandler(tracker)]).on_batch_start(1) as batch,
    ):
        batch.on_file_error("a.wav", 0, 1, OSError("busy"))
        batch.on_file_end("a.wav", 0, 1, "success")
        assert batch.state().counts == {FileStatus.SUCCESS: 1, FileStatus.FAILED: 0, FileStatus.SKIPPED: 0}
    (row,) = rows(storage, tracker)
    assert row.status is FileStatus.SUCCESS
    assert [a.status for a in row.attempts] == ["failed", "success"]


def test_every_field_reaches_the_row(storage):
    with RunTracker("extract", storage=storage) as tracker:
        batch = CallbackManager([TrackerCallbackHandler(tracker)]).on_batch_start(1)
        batch.on_file_end(
            "a.wav", 0, 1, "skipped", duration_ms=1500, output_path="a.txt", file_type="audio", agent_id="A1",
            reason="done before",
        )  # fmt: skip
    (row,) = rows(storage, tracker)
    assert (row.processing_time_ms, row.output_path, row.file_type, row.agent_id, row.reason) == (
        1500, "a.txt", "audio", "A1", "done before",
    )  # fmt: skip


def test_an_unknown_status_counts_as_failed_and_says_so(storage):
    with RunTracker("extract", storage=storage) as tracker:
        batch = CallbackManager([TrackerCallbackHandler(tracker)]).on_batch_start(1)
        batch.on_file_end("a.wav", 0, 1, "sucess")
    (row,) = rows(storage, tracker)
    assert row.status is FileStatus.FAILED
    assert "unknown status 'sucess'" in row.error_message


def test_without_a_tracker_the_current_run_is_fed(storage):
    with RunTracker("extract", storage=storage) as tracker:
        CallbackManager([TrackerCallbackHandler()]).on_batch_start(1).on_file_end("a.wav", 0, 1, "success")
    assert [r.file_path for r in rows(storage, tracker)] == ["a.wav"]


def test_without_any_run_it_is_logged_and_the_batch_goes_on(caplog):
    batch = CallbackManager([TrackerCallbackHandler()]).on_batch_start(2)
    batch.on_file_end("a.wav", 0, 2, "success")
    batch.on_file_end("b.wav", 1, 2, "success")
    assert [r.message for r in caplog.records] == [
        "TrackerCallbackHandler.on_file_end raised UsageError; the batch goes on, and this is not logged again"
    ]


def test_closing_the_manager_ends_its_open_batches_once():
    heard = Recorder()
    with CallbackManager([heard]) as manager:
        manager.on_batch_start(1)
        manager.on_batch_start(2).on_batch_end()
    assert [h[0] for h in heard.heard].count("batch end") == 2


def test_many_threads_lose_nothing(storage):
    total = 400
    with (
        RunTracker("extract", storage=storage) as tracker,
        CallbackManager([TrackerCallbackHandler(tracker)]).on_batch_start(total) as batch,
    ):

        def one(n):
            batch.on_file_start(f"{n}.wav", n, total)
            if n % 10 == 0:
                batch.on_file_error(f"{n}.wav", n, total, ValueError("bad"))
            batch.on_file_end(f"{n}.wav", n, total, "failed" if n % 10 == 0 else "success")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(total)))
        assert batch.state().counts == {FileStatus.SUCCESS: 360, FileStatus.FAILED: 40, FileStatus.SKIPPED: 0}
    run = storage.archive.run(tracker.run_id)
    assert (run.total_files, run.failed_count, run.success_count) == (400, 40, 360)
