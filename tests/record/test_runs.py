"""Records inside tracked runs: they land there by themselves, in a folder or in a store elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.errors import StoreUnavailableError
from prefect_trackrecord.journal.context import RunContext, reset_current, set_current
from prefect_trackrecord.record import (
    RecordStatus,
    Status,
    ThoughtfulRecord,
    configure_records_tracing,
    dump_records,
    load_records,
    publish,
    record_history,
)
from prefect_trackrecord.record import (
    tracing as tracing_module,
)
from prefect_trackrecord.record.finishing import complete_records, recover_records
from prefect_trackrecord.record.following import follow_state
from prefect_trackrecord.record.tracing import finish, tracing
from prefect_trackrecord.store import StoreConfig, open_store


class Claim(ThoughtfulRecord):
    status: RecordStatus = ""
    n: int = 0


@pytest.fixture
def in_run():
    """Makes a run the current one, as a tracked flow does."""
    tokens = []

    def enter(archive, run_id="run-1", process="nightly flow"):
        tokens.append(set_current(RunContext(run_id, archive, None, process)))

    yield enter
    for token in reversed(tokens):
        reset_current(token)


@pytest.fixture
def bucket(request):
    """A store that is no folder of this machine."""
    name = f"memory://bucket-{abs(hash(request.node.name))}"
    store = open_store(name)
    yield name
    for entry in store.list(""):
        store.delete(entry.key)


def test_a_record_lands_in_the_run_without_any_configuration(tmp_path, in_run):
    archive = Archive(StoreConfig(str(tmp_path)))
    in_run(archive)
    Claim(id="1").log_trace("in the flow")

    def in_another_thread():
        Claim(id="2").log_trace("no run here")

    thread = threading.Thread(target=in_another_thread)
    thread.start()
    thread.join()
    (folder,) = (tmp_path / "records").glob("*/run-1")
    assert folder.parent.name.startswith("nightly-flow")
    assert len(list((folder / "journal").glob("*.ndjson"))) == 1
    assert complete_records(archive, "nightly flow", "run-1")
    assert (folder / "records_report.html").exists()
    assert set(json.loads((folder / "records_logs.json").read_bytes())["data"]) == {"1"}
    assert [e.record_id for e in load_records(tmp_path / "records", "nightly flow", "run-1")] == ["1"]
    (found,) = record_history("1", tmp_path / "records")
    assert (found.run_id, found.entry.traces[-1].action) == ("run-1", "in the flow")
    assert complete_records(archive, "nightly flow", "another run without records")
    assert not list((tmp_path / "records").glob("*/another*"))


def test_a_task_in_another_process_writes_to_the_same_run(tmp_path, in_run):
    code = (
        "import sys\n"
        "from prefect_trackrecord.documents.archive import Archive\n"
        "from prefect_trackrecord.journal.context import RunContext, set_current\n"
        "from prefect_trackrecord.record import ThoughtfulRecord\n"
        "from prefect_trackrecord.store import StoreConfig\n"
        "class Claim(ThoughtfulRecord): pass\n"
        "set_current(RunContext('run-1', Archive(StoreConfig(sys.argv[1])), None, 'flow'))\n"
        "Claim(id='1').log_trace('in the task')\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
    assert done.returncode == -9
    archive = Archive(StoreConfig(str(tmp_path)))
    assert complete_records(archive, "flow", "run-1")  # by a process that never used a record
    log = tmp_path / "records" / "flow" / "run-1" / "records_logs.json"
    assert [t["action"] for t in json.loads(log.read_bytes())["data"]["1"]["traces"]][-1] == "in the task"


def test_two_runs_in_one_process_are_kept_apart(tmp_path, in_run):
    archive = Archive(StoreConfig(str(tmp_path)))
    in_run(archive, "outer")
    record = Claim(id="1")
    in_run(archive, "inner")
    record.log_trace("inside")
    record.status = Status.RUNNING
    found = {h.run_id: h.entry for h in record_history("1", tmp_path / "records")}
    assert [t.action for t in found["outer"].traces] == ["Initialize record"]
    assert [t.action for t in found["inner"].traces] == ["Initialize record", "inside"]
    assert found["inner"].status == "Running"


def test_what_the_program_configured_goes_first(tmp_path, in_run, monkeypatch):
    archive = Archive(StoreConfig(str(tmp_path / "history")))
    configure_records_tracing(tmp_path / "own")
    in_run(archive)
    monkeypatch.setattr(tracing_module, "inside_flow", lambda: False)
    Claim(id="1")
    assert (tmp_path / "own" / "process_name" / "run_id").is_dir()
    monkeypatch.setattr(tracing_module, "inside_flow", lambda: True)
    Claim(id="2")
    (folder,) = (tmp_path / "own").glob("nightly*/run-1")
    assert [e.record_id for e in load_records(folder)] == ["2"]
    assert not (tmp_path / "history").exists()


def test_a_bucket(bucket, in_run, png):
    archive = Archive(StoreConfig(bucket))
    store = archive.store
    in_run(archive, process="flow")
    record = Claim(id="1")
    record.log_trace("pictured", image=png)
    dump_records()
    assert store.list("records") == []  # a flow's records go there when it ends
    (spooled,) = Path(archive.spool).glob("records/flow/run-1")
    assert complete_records(archive, "flow", "run-1")
    keys = [e.key.removeprefix("records/flow/run-1/") for e in store.list("records")]
    assert [k for k in keys if not k.startswith(("images/", "journal/"))] == [
        "records_logs.json", "records_report.html",
    ]  # fmt: skip
    entry = json.loads(store.get("records/flow/run-1/records_logs.json").data)["data"]["1"]
    assert store.get(f"records/flow/run-1/{entry['traces'][1]['image']}").data == png
    assert not spooled.exists()
    # a retry of the flow, later, in the same process
    record.log_trace("once more")
    record.status = Status.COMPLETED
    assert complete_records(archive, "flow", "run-1")
    entry = json.loads(store.get("records/flow/run-1/records_logs.json").data)["data"]["1"]
    assert [t["action"] for t in entry["traces"]] == ["Initialize record", "pictured", "once more"]
    assert entry["status"] == "Completed"
    (found,) = record_history("1", f"{bucket}/records")
    assert found.run_id == "run-1"
    assert [t.action for t in found.entry.traces] == ["Initialize record", "pictured", "once more"]


def test_two_hosts_and_a_bucket(bucket, in_run, monkeypatch, tmp_path):
    """Each host has a spool of its own; whoever publishes last has everything."""
    from prefect_trackrecord import settings

    for host in ("one", "two"):
        monkeypatch.setenv("TRACKRECORD_SPOOL", str(tmp_path / host))
        settings.current.cache_clear()
        tracing.reset()
        archive = Archive(StoreConfig(bucket))
        in_run(archive, process="flow")
        Claim(id="shared").log_trace(f"on {host}")
        Claim(id=host)
        assert complete_records(archive, "flow", "run-1")
    body = json.loads(archive.store.get("records/flow/run-1/records_logs.json").data)["data"]
    assert set(body) == {"shared", "one", "two"}
    assert [t["action"] for t in body["shared"]["traces"]] == ["Initialize record", "on one", "on two"]


@pytest.mark.parametrize("remote", [True, False])
def test_a_worker_that_lives_long_lets_go_of_runs_that_it_has_left(bucket, in_run, tmp_path, monkeypatch, remote):
    archive = Archive(StoreConfig(bucket if remote else str(tmp_path)))
    in_run(archive, "run-1", "flow")
    first = Claim(id="1")
    first.log_trace("one")
    writer = tracing.recorder()._writer
    in_run(archive, "run-2", "flow")
    Claim(id="1").log_trace("two")
    assert len(tracing.outputs) == 2
    writer.used -= 1000
    in_run(archive, "run-3", "flow")
    Claim(id="1").log_trace("three")
    assert [o.recorder.run_id for o in tracing.outputs.values()] == ["run-2", "run-3"]
    end = time.monotonic() + 30
    while remote and (Path(archive.spool) / "records" / "flow" / "run-1").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    in_run(archive, "run-1", "flow")
    first.log_trace("and once more")
    assert complete_records(archive, "flow", "run-1")
    log = json.loads(archive.store.get("records/flow/run-1/records_logs.json").data)["data"]
    assert [t["action"] for t in log["1"]["traces"]] == ["Initialize record", "one", "and once more"]


def test_a_bucket_that_is_down_and_recover(bucket, in_run, monkeypatch, caplog):
    archive = Archive(StoreConfig(bucket))
    in_run(archive, process="flow")
    Claim(id="1").log_trace("kept")
    store_type = type(archive.store)

    def down(*_):
        raise StoreUnavailableError("the bucket does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(store_type, "put", down)
        assert not complete_records(archive, "flow", "run-1")
        assert "the bucket does not answer" in caplog.text
        assert recover_records(archive) == []
    finish()
    tracing.reset()  # another process of this host, later
    monkeypatch.setattr(publish, "writer_alive", lambda _: False)
    assert recover_records(archive) == ["run-1"]
    entry = json.loads(archive.store.get("records/flow/run-1/records_logs.json").data)["data"]["1"]
    assert [t["action"] for t in entry["traces"]] == ["Initialize record", "kept"]
    assert recover_records(archive) == []


def test_configure_with_a_url(bucket):
    configure_records_tracing(bucket, "p", "r")
    Claim(id="1").log_trace("a")
    dump_records()
    store = open_store(bucket)
    assert json.loads(store.get("p/r/records_logs.json").data)["data"]["1"]["traces"][1]["action"] == "a"
    assert store.get("p/r/records_report.html") is not None
    Claim(id="1").log_trace("not dumped")
    assert [t.action for t in load_records(bucket, "p", "r")[0].traces][-1] == "not dumped"


def test_a_local_store_that_could_not_be_written_comes_home(tmp_path, in_run):
    root = tmp_path / "history"
    root.write_text("in the way")
    archive = Archive(StoreConfig(str(root)))
    in_run(archive, process="flow")
    Claim(id="1").log_trace("kept in the spool")
    assert not (tmp_path / "history" / "records").exists()
    root.unlink()
    tracing.outputs.clear()
    tracing.forget()
    assert recover_records(archive) == ["run-1"]
    log = root / "records" / "flow" / "run-1" / "records_logs.json"
    assert [t["action"] for t in json.loads(log.read_bytes())["data"]["1"]["traces"]][-1] == "kept in the spool"


def test_states_of_the_work(folder):
    configure_records_tracing(folder)
    record = Claim(id="1")
    follow_state(record, "running", task="transcribe", attempt=1)
    follow_state(record, "retrying", task="transcribe", attempt=1, error=ValueError("first try"))
    follow_state(record, "running", task="transcribe", attempt=2)
    record.n = 5
    follow_state(record, "completed", task="transcribe", attempt=2)
    (entry,) = load_records(folder)
    assert [u.new_status for u in entry.status_updates] == ["Running", "Retrying", "Running", "Completed"]
    assert [t.action for t in entry.traces][1:] == [
        "Transcribe running", "Transcribe retrying", "Transcribe running (attempt 2)",
        "Transcribe completed (attempt 2)",
    ]  # fmt: skip
    assert entry.traces[2].error["message"] == "first try"
    assert entry.attempts == 2
    assert entry.error is None
    other = Claim(id="2")
    other.status = Status.REJECTED
    follow_state(other, "completed")
    assert other.status == "Rejected"  # the program knows better
    follow_state(other, "timed out", mapping={"timed out": "Too slow"})
    assert other.status == "Too slow"
    follow_state(other, "failed", mapping={"failed": None}, error="gone")
    assert (other.status, load_records(folder)[1].error["message"]) == ("Too slow", "gone")
    assert not follow_state({"id": 1}, "running")
    assert not follow_state(None, "running")


def test_a_tracking_error_never_reaches_the_flow(tmp_path, in_run, caplog):
    class NoStore:
        @property
        def store(self):
            raise StoreUnavailableError("no driver")

        spool = tmp_path

    in_run(NoStore())
    record = Claim(id="1")
    record.status = Status.RUNNING
    record.log_trace("on we go")
    assert record.get_traces() == []
    dump_records()
    assert caplog.text.count("no driver") >= 1
