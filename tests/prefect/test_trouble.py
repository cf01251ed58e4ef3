"""What goes wrong in tracking breaks no flow and is told."""

from __future__ import annotations

import logging
import os
import time

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client

from faulty import FaultProxy
from prefect_trackrecord import recover, settings, track
from prefect_trackrecord._prefect import api, capture, finishing, posting, tasks
from prefect_trackrecord.tracking import TrackingStorage

pytestmark = pytest.mark.prefect


@track(file="path")
@task
def check(path):
    return path


@track
@flow
def nightly():
    check("a")
    return "done"


def artifacts_of(state):
    body = {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}}
    with get_client(sync_client=True) as client:
        return client.request("POST", "/artifacts/filter", json=body).json()


def test_each_run_leaves_an_artifact_on_its_flow_run(history):
    (artifact,) = artifacts_of(nightly(return_state=True))
    assert (artifact["key"], artifact["type"]) == ("trackrecord-nightly", "markdown")
    assert "# ✅ success" in artifact["data"]
    assert f"`{history.url}`" in artifact["data"]


def test_a_store_that_can_not_be_written(tmp_path, monkeypatch, caplog):
    place = tmp_path / "a-file"
    place.write_text("no folder")
    monkeypatch.setenv("TRACKING_PATH", str(place / "history"))
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, "prefect_trackrecord"):
        assert nightly() == "done"
    assert time.monotonic() - began < 40, "nothing is waited for; what a run's end may take on a store is 60 s"
    warned = {r.getMessage() for r in caplog.records if r.name == "prefect_trackrecord"}
    assert [w for w in warned if "trackrecord recover --storage" in w]
    place.unlink()
    storage = TrackingStorage(base_path=place / "history")
    assert len(recover(storage)) == 1
    (found,) = storage.list_runs()
    assert (found.status.value, found.total_files) == ("success", 1)


def test_a_store_that_does_not_answer_costs_seconds(tmp_path, monkeypatch):
    """A black hole: connections are taken and never answered."""
    import socket

    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(64)
        for name, value in {
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{hole.getsockname()[1]}",
            "TRACKING_PATH": "s3://bucket/history",
            "TRACKRECORD_STORE_DEADLINE": "1",
        }.items():
            monkeypatch.setenv(name, value)

        def bare():
            return "done"

        began = time.monotonic()
        flow(bare)()
        base = time.monotonic() - began
        began = time.monotonic()
        assert track(flow(bare, name="tracked"))() == "done"
        assert time.monotonic() - began - base < 40  # bounded, on a busy machine too; docs/benchmarks.md has the figure
    spool = os.environ["TRACKRECORD_SPOOL"]
    assert [n for _, _, names in os.walk(spool) for n in names if n.endswith(".ndjson")]


def test_a_bucket_that_refuses_everything_in_the_middle_of_a_flow(s3_server, bucket, monkeypatch):
    """The flow ends in its own state; once the store is back all that was told is there, and what was the matter."""
    pytest.importorskip("s3fs")
    with FaultProxy(s3_server.endpoint).running() as proxy:
        options = {**s3_server.options, "endpoint_url": proxy.url}
        for name, value in {"UPLOAD_SECONDS": "0.05", "STORE_DEADLINE": "30", "CALL_DEADLINE": "2"}.items():
            monkeypatch.setenv(f"TRACKRECORD_{name}", value)
        settings.current.cache_clear()
        place = f"s3://{bucket}/history"

        @track(storage=TrackingStorage(base_path=place, options=options))
        @flow
        def halfway():
            check("before")
            proxy.revoked.add(options["key"])
            check("during")
            raise ValueError("the flow's own error")

        began = time.monotonic()
        state = halfway(return_state=True)
        assert (state.type.value, "the flow's own error" in state.message) == ("FAILED", True)
        assert time.monotonic() - began < 60
        proxy.revoked.clear()
        storage = TrackingStorage(base_path=place, options=options)
        assert [one.error for one in recover(storage)] == [None]
        (run,) = storage.list_runs()
        assert (run.status.value, run.state, run.error_message) == ("failed", "Failed", "the flow's own error")
        assert {row.file_path: row.status.value for row in storage.archive.files(run)} == {
            "before": "success", "during": "success",
        }  # fmt: skip
        assert any("credentials" in cause for cause in run.tracking_errors)
        assert run.events_lost == 0


def test_an_api_that_fails_at_the_end(only_run, monkeypatch):
    def refuse(*_args, **_more):
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(api, "task_runs", refuse)
    monkeypatch.setattr(posting, "create", refuse)
    assert nightly() == "done"
    found, rows = only_run()
    assert (found.status.value, set(rows), found.task_counts) == ("success", {"a"}, {"Completed": 1})
    ((cause, count),) = found.tracking_errors.items()
    assert (count, "ConnectionRefusedError: nobody there" in cause) == (1, True)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (tasks, "_call_of"),
        (tasks, "_write"),
        (capture, "_begun"),
        (capture, "_start"),
        (capture, "ended"),
        (finishing.Finish, "_seal"),
    ],
)
def test_a_bug_of_ours_breaks_no_flow(history, monkeypatch, module, name):
    def broken(*_args, **_more):
        raise RuntimeError("a bug")

    monkeypatch.setattr(module, name, broken)
    state = nightly(return_state=True)
    assert (state.name, state.result()) == ("Completed", "done")


def test_a_block_that_is_not_there_keeps_the_history_in_the_default_folder(tmp_path, monkeypatch, caplog):
    from prefect.settings import PREFECT_HOME

    tracked = track(storage="trackrecord-storage/nobody")(flow(lambda: 1, name="unblocked"))
    with caplog.at_level(logging.WARNING, "prefect_trackrecord"):
        assert tracked() == 1
    assert [r for r in caplog.records if "trackrecord-storage/nobody can't be used" in r.getMessage()]
    storage = TrackingStorage(base_path=PREFECT_HOME.value() / "trackrecord" / "history")
    assert "unblocked" in {run.flow_name for run in storage.list_runs()}
