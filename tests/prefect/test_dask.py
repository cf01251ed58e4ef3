"""Tasks on a Dask cluster of worker processes: hooks, rows, progress, current_tracker() there; one that dies."""

from __future__ import annotations

import itertools
import os
import time
from datetime import datetime, timedelta

import pytest
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from prefect_trackrecord._prefect import artifact, posting

pytestmark = [pytest.mark.prefect, pytest.mark.xdist_group("dask"), pytest.mark.timeout(400)]
EVERY = 0.4


def make_flow(folder, runner, note_progress):
    """Local functions, so that they are pickled by value."""
    from prefect import flow, task

    from prefect_trackrecord import current_tracker, track

    def one(path):
        import os
        import pathlib
        import time

        time.sleep(0.25)
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
        while not all(future.wrapped_future.done() for future in futures):
            note_progress()
            time.sleep(0.05)
        after = one.submit(futures[paths.index("fails")])
        after.wait()
        return 7

    return on_dask


@pytest.fixture
def progress():
    """Gives what notes the progress that the surrounding flow run shows now, and what it has noted: moment by text."""
    noted = {}

    def note():
        key = artifact.run_key(flow_run.id)
        with get_client(sync_client=True) as client:
            found = posting.find(client, flow_run.id, key)
        if found is not None:
            noted.setdefault(found["updated"], found["data"])

    return note, noted


def shown_files(text):
    (line,) = [line for line in text.splitlines() if line.startswith("| files")]
    return [int(cell) for cell in line.split("|")[2:6]]


def test_a_cluster_of_worker_processes(history, only_run, tmp_path, monkeypatch, progress):
    prefect_dask = pytest.importorskip("prefect_dask")
    monkeypatch.setenv("PREFECT_INTEGRATIONS_TRACKRECORD_LIVE_SECONDS", str(EVERY))
    runner = prefect_dask.DaskTaskRunner(
        cluster_kwargs={
            "n_workers": 2,
            "threads_per_worker": 1,
            "processes": True,
            "dashboard_address": None,
        }
    )
    paths = [*(f"f{n}" for n in range(6)), "fails", "dies"]
    note, noted = progress
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        assert make_flow(str(tmp_path), runner, note)(paths) == 7
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
    moments = [datetime.fromisoformat(at) for at in sorted(noted)]
    assert moments  # shown by the workers: the flow's process has no file of its own
    assert all(b - a > timedelta(seconds=EVERY * 0.8) for a, b in itertools.pairwise(moments))  # both take turns
    so_far = [shown_files(noted[at]) for at in sorted(noted)]
    assert so_far == sorted(so_far)
    assert all(0 < all_ <= 14 and good + bad == all_ for good, bad, _, all_ in so_far)
