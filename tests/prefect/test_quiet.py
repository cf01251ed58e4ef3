"""No rows in Prefect's log but one for each run, and what the log tells of task runs."""

from __future__ import annotations

import logging
import time

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client

from prefect_trackrecord import track
from prefect_trackrecord._prefect import runs
from prefect_trackrecord._prefect.observed import state_of
from prefect_trackrecord._prefect.quiet import FILTER

pytestmark = pytest.mark.prefect


def rows_of(run_id):
    """The API's log rows of a flow run, once no more come."""
    body = {"logs": {"flow_run_id": {"any_": [str(run_id)]}}, "limit": 200}
    found = []
    with get_client(sync_client=True) as client:
        for _ in range(40):
            time.sleep(0.5)
            now = client.request("POST", "/logs/filter", json=body).json()
            if now and len(now) == len(found):
                break
            found = now
    return [row["message"] for row in found]


def test_one_log_row_more_than_the_bare_flow(history):
    def body(n):
        return n

    def nightly(item):
        item.map(list(range(5))).wait()

    bare = flow(nightly)(task(body), return_state=True)
    tracked = track(flow(nightly))(track(task(body)), return_state=True)
    before, after = (rows_of(s.state_details.flow_run_id) for s in (bare, tracked))
    assert len(after) == len(before) + 1
    assert [m for m in after if m.startswith("Track record: success, 5 files")]
    assert not [m for m in after if "hook" in m.lower()]


@pytest.mark.parametrize(
    ("paths", "level"), [(["good"], logging.INFO), (["good", "bad"], logging.WARNING), (["bad"], logging.ERROR)]
)
def test_the_one_row_is_as_grave_as_the_end(history, caplog, paths, level):
    @track(file="path")
    @task
    def work(path):
        if path == "bad":
            raise ValueError("no good")

    @track
    @flow
    def nightly():
        work.map(paths).wait()

    nightly(return_state=True)
    assert [r.levelno for r in caplog.records if r.message.startswith("Track record: ")] == [level]


def test_a_run_that_is_finished_again_says_no_second_line_unless_it_ended_otherwise(history, caplog):
    @track
    @flow
    def nightly():
        return 1

    state = nightly(return_state=True)
    run = runs.find(state.state_details.flow_run_id)
    run.finish()
    assert [r.levelno for r in caplog.records if r.message.startswith("Track record: ")] == [logging.INFO]


def test_quiet_leaves_out_that_one_too(history, monkeypatch):
    monkeypatch.setenv("TRACKRECORD_QUIET", "1")

    @track
    @flow
    def nightly():
        return 1

    state = nightly(return_state=True)
    assert not [m for m in rows_of(state.state_details.flow_run_id) if m.startswith("Track record")]


@pytest.mark.parametrize(
    ("message", "args", "kept"),
    [
        ("Running hook 'trackrecord' in response to entering state 'Completed'", (), False),
        ("Hook 'trackrecord' finished running successfully", (), False),
        ("Running hook %r in response to entering state %r", ("trackrecord", "Crashed"), False),
        ("Hook %r finished running successfully", ("trackrecord",), False),
        ("Running hook 'mine' in response to entering state 'Completed'", (), True),
        ("Hook %r finished running successfully", ("mine",), True),
        ("An error was encountered while running hook 'trackrecord'", (), True),
        ("Hooked", (), True),
        (ValueError("an exception as message"), (), True),
    ],
)
def test_the_filter(message, args, kept):
    record = logging.LogRecord("prefect.task_runs", logging.INFO, "f.py", 1, message, args, None)
    assert FILTER.filter(record) is kept


def test_no_record_is_made_of_our_hooks_lines(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    logger = logging.getLogger("prefect.task_runs")
    made = []
    make = logging.LogRecord.__init__
    monkeypatch.setattr(logging.LogRecord, "__init__", lambda self, *a, **k: made.append(a[4]) or make(self, *a, **k))
    adapter = logging.LoggerAdapter(logger, {"flow_run_id": "x"})
    adapter.info("Hook 'trackrecord' finished running successfully")
    adapter.info("Hook 'mine' finished running successfully")
    assert made == ["Hook 'mine' finished running successfully"]
    assert caplog.messages == made
    assert caplog.records[0].funcName == "test_no_record_is_made_of_our_hooks_lines"


def test_prefect_still_logs_what_the_filter_looks_for(history, caplog):
    """Should Prefect change its words, this fails, and the filter and the observer are to be mended."""
    caplog.set_level(logging.INFO)

    def trackrecorder(flow, flow_run, state):
        pass

    @flow(on_completion=[trackrecorder])
    def nightly():
        task(lambda: 1, name="one")()

    nightly()
    messages = [r.getMessage() for r in caplog.records]
    assert "Running hook 'trackrecorder' in response to entering state 'Completed'" in messages
    assert "Hook 'trackrecorder' finished running successfully" in messages
    (finished,) = [r for r in caplog.records if r.name == "prefect.task_runs" and "Finished" in r.getMessage()]
    assert finished.msg == "Finished in state Completed()"
    assert finished.task_run_id
    assert finished.flow_run_id


@pytest.mark.parametrize(
    ("text", "name", "message", "bad"),
    [
        ("Completed()", "Completed", None, False),
        ("Completed('fine')", "Completed", "fine", False),
        ("Cached(type=COMPLETED)", "Cached", None, False),
        ("Mine('type=FAILED', type=COMPLETED)", "Mine", "type=FAILED", False),
        ("Failed('it\\'s (bad)')", "Failed", "it's (bad)", True),
        ("Mine('no', type=FAILED)", "Mine", "no", True),
        ('NotReady("can\'t", type=PENDING)', "NotReady", "can't", True),
        ("odd", "odd", None, True),
        ("", "Unknown", None, True),
    ],
)
def test_states_as_prefect_prints_them(text, name, message, bad):
    assert state_of(text) == (name, message, bad)
