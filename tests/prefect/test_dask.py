"""Tasks on a Dask cluster of worker processes: hooks, rows and current_tracker() there; a worker that dies at once."""

from __future__ import annotations

import os

import pytest

pytestmark = [pytest.mark.prefect, pytest.mark.xdist_group("dask"), pytest.mark.timeout(400)]


def make_flow(folder, runner):
    """Local functions, so that they are pickled by value."""
    from prefect import flow, task

    from prefect_trackrecord import current_tracker, track

    def one(path):
        import os
        import pathlib

        if path == "dies":
            os._exit(9)
        if path == "fails":
            raise ValueError("no good")
        current_tracker().track_file(f"{path}/part", file_type="part")
        (pathlib.Path(folder) / f"pid-{os.getpid()}").touch()
        return path.upper()

    one = track(file="path", output="return")(task(one))

    @track
    @flow(name="on-dask", task_runner=runner)
    def on_dask(paths):
        futures = one.map(paths)
        futures.wait()
        after = one.submit(futures[paths.index("fails")])
        after.wait()
        return 7

    return on_dask


def test_a_cluster_of_worker_processes(history, only_run, tmp_path):
    prefect_dask = pytest.importorskip("prefect_dask")
    runner = prefect_dask.DaskTaskRunner(
        cluster_kwargs={
            "n_workers": 2,
            "threads_per_worker": 1,
            "processes": True,
            "dashboard_address": None,
        }
    )
    paths = [*(f"f{n}" for n in range(6)), "fails", "dies"]
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        assert make_flow(str(tmp_path), runner)(paths) == 7
    run, rows = only_run()
    assert run.tracking_errors == {}
    pids = {int(p.name.removeprefix("pid-")) for p in tmp_path.glob("pid-*")}
    assert pids
    assert os.getpid() not in pids
    for n in range(6):
        row = rows[f"f{n}"]
        assert (row.status.value, row.output_path, len(row.attempts)) == ("success", f"F{n}", 1)
        assert rows[f"f{n}/part"].run_id == run.run_id
    assert (rows["fails"].status.value, rows["fails"].error_message) == ("failed", "no good")
    row = rows["dies"]  # its process told no end
    assert (row.status.value, row.error_type) == ("failed", "Crashed")
    assert "told no end" in row.error_message
    assert [a.status for a in row.attempts][-1] == "crashed"
    (never,) = [r for path, r in rows.items() if path.startswith("one-")]
    assert (never.status.value, never.reason.partition(":")[0]) == ("skipped", "upstream failed")
    assert run.total_files == len(rows) == 15
