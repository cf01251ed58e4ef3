"""An API that accepts and never answers costs what is given to it, once; one that is busy is asked again."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta, timezone

import httpx
import pytest
from prefect import flow, task
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from faulty import FaultProxy
from prefect_trackrecord import events as ev
from prefect_trackrecord import recover, track
from prefect_trackrecord._prefect import api, asking, bounded, checking, finishing
from prefect_trackrecord._prefect.asking import Asker
from prefect_trackrecord._prefect.reconciling import reconciler
from prefect_trackrecord.documents import layout
from prefect_trackrecord.journal.liveness import boot_id, host_name

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(300)]
BOUND = 20.0
"""Far more than any of these may take, on a busy machine too; the driver's own way takes minutes."""
T0 = datetime(2026, 1, 2, tzinfo=timezone.utc)


@pytest.fixture
def proxy(monkeypatch):
    """Stands before the API; Prefect is told its address."""
    url = str(get_current_settings().api.url)
    assert url.endswith("/api")
    with (
        FaultProxy(url.removesuffix("/api")).running() as proxy,
        temporary_settings({PREFECT_API_URL: f"{proxy.url}/api"}),
    ):
        monkeypatch.setattr(bounded, "_deaf", {})
        yield proxy


def test_a_request_ends_in_its_time_and_the_next_is_not_made(proxy):
    proxy.fault = "silent"
    began = time.monotonic()
    with pytest.raises(httpx.ReadTimeout, match="no answer within 2 s"), api.client() as prefect:
        api.read_task_runs(prefect, "145ecfb3-925d-4040-ba35-a1cbf70dcc35", began + 2)
    assert time.monotonic() - began < BOUND
    asked = proxy.seen.total()
    with pytest.raises(httpx.ReadTimeout, match="a moment ago"), api.client() as prefect:
        prefect.request("GET", "/hello", timeout=60)
    assert proxy.seen.total() == asked <= 2, "no try goes on behind our back"


def test_one_that_is_busy_is_asked_again(proxy):
    proxy.fault = "every-other-503"
    with api.client() as prefect:
        for _ in range(2):
            assert prefect.request("GET", "/hello", timeout=30).status_code == 200


def test_the_end_of_a_flow(history, proxy, monkeypatch):
    took = []
    real = finishing.Finish.__call__

    def finish(self):
        proxy.fault = "silent"
        began = time.monotonic()
        real(self)
        took.append(time.monotonic() - began)
        proxy.fault = ""

    @track(file="path")
    @task
    def check(path):
        if path == "bad":
            raise ValueError("no good")

    @track
    @flow
    def deaf():
        for path in ("a", "bad"):
            check.submit(path).wait()
        return 7

    monkeypatch.setattr(finishing.Finish, "__call__", finish)
    assert deaf() == 7
    assert took[0] < BOUND
    (run,) = history.list_runs()
    assert (run.status.value, run.total_files, run.task_counts) == ("partial_success", 2, {"Completed": 1, "Failed": 1})


def test_recovery(history, proxy, monkeypatch, caplog):
    """It pays once, whether it asks for runs or for their task runs, and judges by processes alone."""
    monkeypatch.setattr(asking, "SECONDS", 2.0)
    ids = [f"11111111-1111-4111-8111-11111111111{n}" for n in range(4)]
    for run_id in ids:
        events = (
            ev.WriterOpened(T0, host_name(), boot_id(), 2**22 + 1, 1),
            ev.RunStarted(at=T0, run={"command": "c", "flow_name": "f"}),
            ev.FileTracked(T0, {"file_path": "a", "status": "success"}, "key\0a"),
        )
        body = b"".join(map(ev.encode, events))
        history.archive.store.put(f"{layout.journal_prefix(run_id)}/w.ndjson", body)
    proxy.fault = "silent"
    asker, began = Asker(), time.monotonic()
    with caplog.at_level(logging.WARNING, "prefect_trackrecord"):
        done = recover(history, ask=asker, reconcile=reconciler(asker), now=lambda: T0 + timedelta(hours=1))
    assert time.monotonic() - began < BOUND
    assert [(one.run_id, one.run.status.value) for one in done] == [(run_id, "aborted") for run_id in ids]
    (said,) = [r.getMessage() for r in caplog.records if r.name == "prefect_trackrecord"]
    assert "no answer within 2 s" in said
    assert "their processes alone decide" in said


def test_a_hundred_runs_are_asked_for_at_once(history, proxy):
    ids = [f"22222222-2222-4222-8222-{n:012d}" for n in range(asking.PAGE + 5)]
    asker = Asker()
    asker.expect([*ids, "no-flow-run"])
    assert {asker(run_id) for run_id in ids} == {None}
    assert proxy.seen["POST"] == 2


def test_the_doctor(proxy, monkeypatch):
    monkeypatch.setattr(checking, "SECONDS", 1.5)
    proxy.fault = "silent"
    began = time.monotonic()
    url, trouble = checking.check_api()
    assert (url, trouble) == (f"{proxy.url}/api", "ReadTimeout: no answer within 1.5 s")
    assert time.monotonic() - began < BOUND
