"""The ends of flows and tasks where threads, loops, forks and the interpreter's own end come in between."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import flow, task

from prefect_trackrecord import track
from prefect_trackrecord._prefect import events_queue, finishing, live, showing, tasks
from prefect_trackrecord.documents.models import FileProcessingLog, RunMetadata
from prefect_trackrecord.store import _deadline


def test_a_gather_whose_first_task_fails_holds_up_no_loop(history):
    """The others end on the loop while the run's end, which asks by that loop's client, is written."""
    stood_still: list[float] = []

    @track(file="path")
    @task
    async def work(path: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if path == "bad":
            raise ValueError("bad file")

    @track
    @flow
    async def nightly() -> None:
        await asyncio.gather(work("bad", 0.2), *[work(f"f{n}", 0.25 + 0.02 * n) for n in range(20)])

    async def beat() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            stood_still.append(time.monotonic() - began)

    async def main() -> None:
        beating = asyncio.create_task(beat())
        with pytest.raises(ValueError, match="bad file"):
            await nightly()
        beating.cancel()

    asyncio.run(main())
    assert max(stood_still) < 2.5, "what the API is given for an answer, had the two waited for each other"
    (run,) = history.list_runs()
    assert run.failed_count >= 1


def test_who_tells_of_a_late_end_does_not_wait_for_the_one_that_is_written(monkeypatch):
    monkeypatch.setattr(finishing, "QUIET_PERIOD", 60.0)
    finish = finishing.Finish(None, None, SimpleNamespace(deployment_id=None))  # type: ignore[arg-type]
    with finish._lock:
        telling = threading.Thread(target=finish.later, daemon=True)
        telling.start()
        telling.join(10)
        assert not telling.is_alive()
    finish._timer.cancel()


@pytest.fixture
def no_threads(monkeypatch):
    """The interpreter ends: nobody starts a thread any more."""

    def refused(_thread: Any) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refused)


def test_an_end_without_threads_is_written_at_once(no_threads, monkeypatch):
    done = []
    monkeypatch.setattr(finishing.Finish, "__call__", lambda self: done.append(self))
    finish = finishing.Finish(None, None, SimpleNamespace(deployment_id=None))  # type: ignore[arg-type]
    finishing.wait(finish, 1.0)
    finish.later()
    assert done == [finish, finish]


def test_a_request_without_threads_is_made_at_once(no_threads):
    assert _deadline.in_thread(threading.get_ident, 1.0) == threading.get_ident()


def test_calls_of_cancelled_tasks_are_let_go(history, monkeypatch):
    monkeypatch.setattr(tasks, "_MOST_TORN", 2)

    @track(file="path")
    @task
    async def work(path: str) -> None:
        await asyncio.sleep(60)

    @track
    @flow
    async def nightly() -> None:
        begun = [asyncio.ensure_future(work(str(n))) for n in range(6)]
        while sum(call.run.run_id in known for call in list(tasks._calls.values())) < 6:
            await asyncio.sleep(0.05)
        for one in begun:
            one.cancel()
        await asyncio.gather(*begun, return_exceptions=True)

    known: set[str] = set()
    opened = tasks.runs.open_run

    def noted(run_id: Any, *given: Any, **more: Any) -> Any:
        known.add(str(run_id))
        return opened(run_id, *given, **more)

    monkeypatch.setattr(tasks.runs, "open_run", noted)
    asyncio.run(nightly())
    assert sum(call.run.run_id in known for call in tasks._calls.values()) <= 2
    (run,) = history.list_runs()
    assert run.failed_count == 6


def test_what_was_said_of_a_run_that_goes_on_is_remembered(monkeypatch):
    monkeypatch.setattr(events_queue, "KEPT", 3)
    first = events_queue.said_of("a run", "kind")
    for n in range(5):
        events_queue.said_of(f"another {n}", "kind")
        assert events_queue.said_of("a run", "kind") is first


def test_a_child_shows_progress_though_its_parents_thread_waits(monkeypatch):
    run = SimpleNamespace(archive=SimpleNamespace(settings=SimpleNamespace(live_seconds=60.0)), turn=1, ended=None)
    monkeypatch.setattr(live, "Tally", lambda *given: None)
    monkeypatch.setattr(live.Progress, "_work", lambda self: shown.append(os.getpid()))
    shown: list[int] = []
    progress = live.Progress(run)  # type: ignore[arg-type]
    progress.tick()
    assert progress.waiting
    pid = os.fork()
    if not pid:
        try:
            shown.clear()
            progress.tick()
            end = time.monotonic() + 10
            while not shown and time.monotonic() < end:
                time.sleep(0.01)
        finally:
            os._exit(0 if shown == [os.getpid()] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_failed_files_page_says_what_is_known_of_it_by_now(monkeypatch):
    """At the flow's end a task that nobody waited for told nothing yet; it does later."""
    pages: dict[str, str] = {}

    def create(_prefect: Any, _run: str, _key: str, data: str, _about: str, **more: Any) -> str:
        pages[more["task_run_id"]] = data
        return str(more["task_run_id"])

    def update(_prefect: Any, known: str, data: str, *_more: Any) -> bool:
        updated.append(known)
        pages[known] = data
        return True

    monkeypatch.setattr(showing.posting, "create", create)
    monkeypatch.setattr(showing.posting, "update", update)
    updated: list[str] = []
    run = RunMetadata(run_id="r", command="nightly", started_at=datetime.now(timezone.utc))
    shown: dict[str, str] = {}
    texts: dict[str, str] = {}
    for error in ("its process died", "it was cancelled", "it was cancelled"):
        row = FileProcessingLog(file_path="f", status="failed", task_run_id="one", error_message=error)
        showing._show_files(None, run, [row], shown, time.monotonic() + 9, texts)  # type: ignore[arg-type]
        assert error in pages["one"]
    assert updated == ["one"], "nothing is sent where nothing is new"
