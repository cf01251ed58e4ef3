"""What a tracker is told by name: of metrics, of itself, of trouble. Secrets in it are masked."""

from __future__ import annotations

from prefect_trackrecord.record import ThoughtfulRecord
from prefect_trackrecord.record.tracing import tracing
from prefect_trackrecord.tracking import RunTracker, TrackingStorage


class Invoice(ThoughtfulRecord):
    pass


def test_files_that_differ_in_a_secret_alone_are_told_apart(tmp_path):
    """An ERP's `?key=3` counts as a secret; a failure must not vanish behind the next file's success."""
    storage = TrackingStorage(base_path=tmp_path / "history")
    with RunTracker("c", storage=storage) as tracker:
        for n in range(9):
            tracker.track_file(f"https://erp.example/invoice?key={n}", "failed" if n == 3 else "success")
        tracker.track_file("https://erp.example/invoice?key=5", "failed")  # said again
    (run,) = storage.list_runs()
    assert (run.total_files, run.failed_count, run.status) == (9, 2, "partial_success")
    rows = list(storage.archive.files(run))
    assert {row.file_path for row in rows} == {"https://erp.example/invoice?key=********"}
    assert sorted(len(row.attempts) for row in rows) == [0] * 8 + [2]


def test_names_of_metrics_of_the_command_and_of_what_could_not_be_tracked(tmp_path):
    tracing.reset()
    storage = TrackingStorage(base_path=tmp_path / "history")
    with RunTracker("sync --password geheim", storage=storage, tags=["token=geheim12"]) as tracker:
        tracker.metric("password=geheim", 1)
        tracker.metric("password=geheim", "none")
        tracker.track_file("a", metrics={"api_key=geheim": 2})
        tracker.tracking_failed("no token=geheim12")
        Invoice(id="1").log_trace("seen")  # kept under the command
    tracing.reset()
    (run,) = storage.list_runs()
    assert run.metrics == {"password=********": 1}
    assert [row.metrics for row in storage.archive.files(run)] == [{"api_key=********": 2}]
    assert run.tags == ["token=********"]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "records_logs.json" for path in files)
    assert not [path for path in files if b"geheim" in path.read_bytes() or "geheim" in str(path)]
