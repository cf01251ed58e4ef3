"""Progress in an artifact: throttled, from whichever process the tasks run in, replaced by the summary at the end."""

from __future__ import annotations

import json
import threading
import time
import weakref
from datetime import datetime, timezone
from pathlib import Path

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

from prefect_trackrecord import events as ev
from prefect_trackrecord import track
from prefect_trackrecord._prefect import artifact, artifact_keys, live, posting, untold
from prefect_trackrecord._prefect.runs import LiveRun, Submitted, TaskEnd
from prefect_trackrecord._prefect.tally import Expects, Tally

pytestmark = pytest.mark.prefect


@track(file="path")
@task
def work(path, seconds):
    time.sleep(seconds)
    if "bad" in path:
        raise ValueError("no good")


@track
@flow
def nightly(paths, seconds):
    work.map(paths, seconds).wait()


def artifacts_of(state):
    body = {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}, "sort": "CREATED_DESC"}
    with get_client(sync_client=True) as client:
        return {a["key"]: a for a in client.request("POST", "/artifacts/filter", json=body).json()}


@pytest.mark.parametrize("runner", [ThreadPoolTaskRunner, ProcessPoolTaskRunner], ids=lambda r: r.__name__)
def test_progress_is_shown_and_then_the_summary(history, monkeypatch, runner):
    monkeypatch.setenv("PREFECT_INTEGRATIONS_TRACKRECORD_LIVE_SECONDS", "0.4")
    made = []
    create = posting.create
    monkeypatch.setattr(posting, "create", lambda *a, **k: made.append(a[2]) or create(*a, **k))
    paths = [f"file-{n}" for n in range(9)] + ["bad"]
    state = nightly.with_options(task_runner=runner(max_workers=2))(paths, 0.4, return_state=True)
    found = artifacts_of(state)
    key = f"trackrecord-run-{state.state_details.flow_run_id}"
    assert set(found) == {key, "trackrecord-nightly", "trackrecord-failures-nightly", "trackrecord-file-nightly"}
    assert found[key]["data"] == found["trackrecord-nightly"]["data"]
    assert "# ⚠️ partial success" in found[key]["data"]
    host, *_ = [v for k, v in found[key]["metadata_"].items() if k != live.FINAL]
    counts = json.loads(host)
    assert 1 <= counts["success"] <= 9
    if runner is ThreadPoolTaskRunner:
        assert made.count(key) == 1  # made once, then changed


def shown_while_running(*words):
    """The progress of the surrounding run, once it is shown and has these words."""
    key, end = artifact_keys.run_key(flow_run.id), time.monotonic() + 30
    with get_client(sync_client=True) as client:
        while time.monotonic() < end:
            found = posting.find(client, flow_run.id, key)
            if found and all(word in found["data"] for word in words):
                return found["data"]
            time.sleep(0.1)
    raise TimeoutError


def test_a_run_whose_files_come_to_no_end_for_long_shows_those_that_did(history, monkeypatch):
    monkeypatch.setenv("PREFECT_INTEGRATIONS_TRACKRECORD_LIVE_SECONDS", "0.3")
    seen = []

    @track
    @flow
    def slow():
        work.map(["a", "bad"], 0.0).wait()
        seen.append(shown_while_running())

    slow(return_state=True)
    assert "| files | 1 | 1 | 0 | 2 |" in seen[0]
    assert "\n2 files so far\n" in seen[0]
    assert "have ended" not in seen[0]  # nobody knows how many there will be


def test_progress_tells_how_many_files_wait(history, monkeypatch):
    monkeypatch.setenv("PREFECT_INTEGRATIONS_TRACKRECORD_LIVE_SECONDS", "0.3")
    seen, ends = [], {name: threading.Event() for name in "bcd"}

    @track(file="path")
    @task
    def waits(path):
        if path in ends:
            ends[path].wait(30)

    @track
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def mapped():
        futures = waits.map(["a", "b", "c", "d"])
        seen.append(shown_while_running())
        ends["b"].set()
        seen.append(shown_while_running("2 of 4"))
        ends["c"].set()
        ends["d"].set()
        futures.wait()

    @track(items="paths")
    @flow
    def one_by_one(paths):
        waits(paths[0])
        seen.append(shown_while_running())

    mapped()
    one_by_one(["a", "b"])
    assert "\n1 file so far, 3 more wait or are worked on\n" in seen[0]  # the flow may hand over more
    assert "50 %: 2 of 4 files have ended" in seen[1]
    assert "50 %: 1 of 2 files have ended" in seen[2]


def shares_of(monkeypatch, flow_, *arguments):
    """The texts that a run shows of its progress, without what they say of the time."""
    monkeypatch.setenv("PREFECT_INTEGRATIONS_TRACKRECORD_LIVE_SECONDS", "0.1")
    texts = []
    live_ = artifact.live

    def kept(*given, **more):
        texts.append(live_(*given, **more))
        return texts[-1]

    monkeypatch.setattr(artifact, "live", kept)
    flow_(*arguments, return_state=True)
    assert texts
    return [text.split("\n\n")[2] for text in texts]


def test_a_loop_of_submits_shows_no_share_of_what_it_has_handed_over_so_far(history, monkeypatch):
    @track(items="paths")
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
    def looped(paths):
        for path in paths:
            work.submit(path, 0.05).wait()

    @track
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
    def unknown(paths):
        before = work.submit("first", 0.0)
        for path in paths:
            before, waited = work.submit(path, 0.05), before
            waited.wait()

    paths = [f"file-{n}" for n in range(12)]
    shares = shares_of(monkeypatch, looped, paths)
    assert all(" of 12 files have ended" in text for text in shares)
    assert all("%" not in text for text in shares_of(monkeypatch, unknown, paths))


def test_items_of_which_each_makes_several_files_have_no_share(history, monkeypatch):
    @track(file="path")
    @task
    def convert(path):
        time.sleep(0.05)

    @track(items="paths")
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
    def in_steps(paths):
        for path in paths:
            work.submit(path, 0.0)
            convert.submit(path).wait()

    shares = shares_of(monkeypatch, in_steps, [f"file-{n}" for n in range(10)])
    assert all("%" not in text and text.endswith(", of 10 items") for text in shares)


def test_a_share_is_told_as_long_as_it_can_only_grow():
    handed_over = Expects()
    assert [handed_over(1, n, None, 1) for n in (4, 10, 10, 10)] == [None, None, 10, 10]
    assert [handed_over(n, n, None, 1) for n in (18, 18)] == [None, None]  # and never again
    assert Expects()(3, 0, None, 1) is None  # nothing waits here
    items = Expects()
    assert [items(1, n, 10, 1) for n in (3, 10, 11, 4)] == [10, 10, None, None]
    assert Expects()(1, 2, 10, 2) is None


def test_what_one_process_has_seen_of_an_item_is_kept_for_all(history, monkeypatch):
    run = LiveRun("7e2ab4a1-7c3c-4f42-8c07-2f4e0f1f7f6b", history, None)
    run.turn = 1
    theirs, texts = {"metadata_": {live.SEVERAL: "true", "other": "{}"}, "id": "x"}, []
    monkeypatch.setattr(posting, "find", lambda *_a: theirs)
    monkeypatch.setattr(posting, "update", lambda _p, _id, text, *_a: texts.append(text) or True)
    progress = live.Progress(run)
    monkeypatch.setattr(progress, "_given", lambda: 9)
    row = {"file_path": "a", "status": "success", "task_run_id": "one"}
    run.emit(ev.FileTracked(at=datetime.now(timezone.utc), row=row, item="key\0a"))
    progress._show()
    assert "1 file so far, of 9 items" in texts[0]
    history.archive.seal(run.run_id)


def test_a_later_attempt_counts_its_own_files(history):
    run = LiveRun("run-3", history, None)
    tally = Tally(run)
    at = datetime.now(timezone.utc)
    for turn, path, status in ((1, "a", "failed"), (1, "b", "failed"), (2, "a", "success"), (1, "b", "failed")):
        row = {"file_path": path, "status": status, "task_run_id": f"{turn}{path}"}
        run.emit(ev.FileTracked(at=at, row=row, item=f"key\0{path}", turn=turn))
    assert (tally.counts(), tally.kinds, tally.last_failed) == ({"success": 1}, {"key"}, None)
    history.archive.seal("run-3")


def test_a_worker_shows_no_progress_of_a_run_that_is_over(history):
    state = nightly(["a"], 0.0, return_state=True)
    progress = live.Progress(LiveRun(str(state.state_details.flow_run_id), history, None))  # as another process has it
    progress.next = 0.0
    progress._work()
    assert set(artifacts_of(state)) == {"trackrecord-nightly"}


def test_none_is_shown_where_the_setting_says_so(history, monkeypatch):
    monkeypatch.setenv("PREFECT_INTEGRATIONS_TRACKRECORD_LIVE_SECONDS", "0")
    state = nightly(["a", "b"], 0.3, return_state=True)
    assert set(artifacts_of(state)) == {"trackrecord-nightly"}


def test_processes_of_a_host_take_turns(tmp_path):
    note = tmp_path / "live" / "r.json"
    with live._turn(note, 10.0) as first:
        assert first == {}
        with live._turn(note, 10.0) as second:
            assert second is None
        first["artifact"] = "x"
    with live._turn(note, 10.0) as soon:
        assert soon is None
    with live._turn(note, 0.0) as later:
        assert later == {"artifact": "x"}


def test_a_tally_reads_only_what_is_new(history):
    run = LiveRun("run-1", history, None)
    tally = Tally(run)
    from prefect_trackrecord.tracking import RunTracker

    with RunTracker("counted", storage=history, new_id=lambda: "run-1") as tracker:
        tracker.track_file("a")
        tracker.track_file("b", "failed")
        assert tally.counts() == {"success": 1, "failed": 1}
        before = dict(tally._offsets)
        tracker.track_file("b")  # done again
        assert tally.counts() == {"success": 2}
        assert tally.last_failed == "b"
        assert all(tally._offsets[name] > size for name, size in before.items())


def test_a_file_whose_task_run_is_about_to_end_is_counted_once(history):
    run = LiveRun("run-2", history, None)
    for name, tracked in (("one", True), ("two", True), ("three", False), ("four", True)):
        run.submitted[name] = Submitted("key", name, None, tracked, 1, weakref.ref(run))
    run.note_task("four", TaskEnd("four", "Failed", None, bad=True))
    row = {"file_path": "a", "status": "success", "task_run_id": "one"}
    run.emit(ev.FileTracked(at=datetime.now(timezone.utc), row=row))
    assert live.Progress(run).counted() == ({"success": 1}, 1)
    history.archive.seal("run-2")


def test_a_run_that_prefect_could_not_be_told_of_is_told_later(history, monkeypatch):
    def refuse(*_args, **_more):
        raise ConnectionRefusedError("nobody there")

    with monkeypatch.context() as broken:
        broken.setattr(posting, "create", refuse)
        state = nightly(["a", "bad"], 0.0, return_state=True)
    assert artifacts_of(state) == {}
    assert untold.tell(history) == 1
    assert "# ⚠️ partial success" in artifacts_of(state)["trackrecord-nightly"]["data"]
    assert untold.tell(history) == 0
    assert not list(Path(history.archive.settings.spool, "untold").glob("*"))
