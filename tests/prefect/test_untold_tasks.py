"""Task runs of which Prefect is never told, or not yet: what a flow handed over and nobody began is in its history."""

from __future__ import annotations

import os
import threading
from datetime import datetime, timezone

import pytest
from prefect import flow, task
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner

from prefect_trackrecord import events as ev
from prefect_trackrecord import track
from prefect_trackrecord._prefect import api, reconciling, runs
from prefect_trackrecord.documents.fold import Fold
from prefect_trackrecord.documents.silent import WENT_ON
from prefect_trackrecord.journal.liveness import boot_id, host_name, start_ticks

pytestmark = pytest.mark.prefect


def made(begun=None, go_on=None):
    @track(file="path")
    @task
    def check(path, after=None):
        if begun is not None:
            begun.set()
            go_on.wait(30)
        if path == "bad":
            raise ValueError("no good")
        return path

    return check


def told(rows):
    return {path: (row.status.value, row.reason) for path, row in rows.items()}


def test_what_waited_in_the_queue_as_the_flow_failed(only_run):
    begun, go_on = threading.Event(), threading.Event()
    check = made(begun, go_on)

    class Runner(ThreadPoolTaskRunner):
        def cancel_all(self):
            self._executor.shutdown(wait=False, cancel_futures=True)
            go_on.set()  # only now: what waits has no chance to begin
            super().cancel_all()

    @track
    @flow(task_runner=Runner(max_workers=1))
    def failing():
        futures = check.map(["runs", "waits", "waits too"])
        assert begun.wait(30)
        assert len(futures) == 3
        raise ValueError("the flow has enough")

    assert failing(return_state=True).is_failed()
    _, rows = only_run()
    assert rows["runs"].status.value in ("success", "failed")  # it may be over a moment after its flow
    never = ("skipped", "the run ended before it began")
    assert {path: told(rows)[path] for path in ("waits", "waits too")} == {"waits": never, "waits too": never}


def test_a_file_whose_upstream_failed_has_its_path(only_run):
    check = made()

    @track
    @flow
    def waiting():
        bad = check.submit("bad")
        wait([check.submit("later", after=bad), bad])
        return 7

    assert waiting() == 7
    _, rows = only_run()
    assert set(rows) == {"bad", "later"}
    assert rows["later"].status.value == "skipped"
    assert rows["later"].reason.startswith("upstream failed: Upstream task run")


def test_an_api_that_has_heard_of_nothing(only_run, monkeypatch):
    """Each task's own outcome counts, and what the futures say of those that told none."""
    monkeypatch.setattr(api, "read_task_runs", lambda *_args: [])
    monkeypatch.setattr(api, "_elsewhere", lambda: True)  # as where tasks run on a cluster
    check = made()

    @task
    def plain():
        return 1

    @track
    @flow
    def unheard():
        bad = check.submit("bad")
        wait([*check.map(["a", "b"]), check.submit("later", after=bad), plain.submit()])
        return 7

    monkeypatch.setattr(runs.LiveRun, "note_task", lambda *_args: None)
    assert unheard() == 7
    run, rows = only_run()
    assert {path: status for path, (status, _) in told(rows).items()} == {
        "a": "success", "b": "success", "bad": "failed", "later": "skipped",
    }  # fmt: skip
    assert rows["later"].reason.startswith("upstream failed")
    assert run.task_counts == {"Completed": 2, "Failed": 1}
    assert [(t.state, t.error_message) for t in run.failed_tasks] == [("Failed", "no good")]
    assert run.tracking_errors == {}


def test_which_task_runs_go_on_elsewhere():
    at = datetime(2026, 1, 2, tzinfo=timezone.utc)
    host, boot, parent = host_name(), boot_id(), os.getppid()
    writers = {
        "lives": (host, boot, parent, start_ticks(parent)),
        "gone": (host, boot, 2**22 + 1, 1),
        "far": ("elsewhere", "", 1, 1),
        "ours": (host, boot, os.getpid(), start_ticks(os.getpid())),
    }
    fold = Fold("r")
    for name, writer in writers.items():
        begun = ev.FileStarted(at=at, row={"file_path": name, "task_run_id": name}, item=f"key\0{name}")
        fold.read(name, ev.encode(ev.WriterOpened(at, *writer)) + ev.encode(begun))
    rows = {name: {"state_type": "RUNNING"} for name in (*writers, "never heard of")}
    rows["pending"] = {"state_type": "PENDING"}
    assert reconciling._away(rows, fold, at_the_end=True) == {"lives", "far", "never heard of"}
    assert reconciling._away(rows, fold) == {"lives"}, "who recovers takes nobody's life for granted"
    fold.add(
        ev.FileInferred(at=at, row={"file_path": "x", "task_run_id": "far", "status": "skipped", "reason": WENT_ON})
    )
    assert reconciling._away(rows, fold) == {"lives", "far"}, "but does not undo what its flow has seen"
