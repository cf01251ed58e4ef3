"""The name of a run's deployment, which Prefect's API alone knows: also where that is busy, or the run was killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from httpx import ReadTimeout, Request, Response
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.states import Crashed

from prefect_trackrecord import track
from prefect_trackrecord._prefect import api, events_out, untold
from prefect_trackrecord._prefect.asking import Asker
from prefect_trackrecord._prefect.finishing import Finish
from prefect_trackrecord._prefect.reconciling import reconciler
from prefect_trackrecord.report.model import Filters
from prefect_trackrecord.tracking.recovery import recover

pytestmark = pytest.mark.prefect


@track(file="path")
@task
def work(path):
    if path == "bad":
        raise ValueError("no good")


@track
@flow(name="deployed")
def nightly(paths: list[str]):
    work.map(paths).wait()


def deployed_run(paths=("a",)):
    """A flow run of a deployment that no worker takes."""
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow(nightly), "every-night", job_variables={})
        return client.create_flow_run_from_deployment(deployment, parameters={"paths": list(paths)})


def run_it(flow_run):
    run_flow(nightly, flow_run=flow_run, parameters=flow_run.parameters, return_type="state")


def killed_run(monkeypatch):
    """A run of a deployment whose process told nothing of its end."""
    flow_run = deployed_run()
    with monkeypatch.context() as dying:
        dying.setattr(Finish, "__call__", lambda self: None)
        run_it(flow_run)
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run.id, Crashed(), force=True)


@pytest.fixture
def refuses(monkeypatch):
    """Lets the API be too busy to name a deployment, so many times; gives what it was asked."""
    ask, asked = api.deployment_name, []

    def begin(times):
        def busy(prefect, deployment_id, seconds):
            asked.append(seconds)
            if len(asked) <= times:
                raise ReadTimeout("busy")
            return ask(prefect, deployment_id, seconds)

        monkeypatch.setattr(api, "deployment_name", busy)
        return asked

    return begin


@pytest.mark.parametrize("paths", [["a"], ["bad"], []])
@pytest.mark.parametrize("times", [0, 1])
def test_a_busy_api_is_asked_once_more(history, refuses, times, paths):
    asked = refuses(times)
    run_it(deployed_run(paths))
    (run,) = history.list_runs()
    assert (run.deployment_name, len(asked), run.total_files) == ("every-night", times + 1, len(paths))
    assert run.tracking_errors == {}
    assert not list(Path(history.archive.settings.spool, "untold").glob("*"))


def test_what_it_never_told_is_asked_by_recover_and_nothing_is_told_twice(history, refuses, monkeypatch):
    asked = refuses(2)
    ended = []
    tell = events_out.run_ended
    monkeypatch.setattr(events_out, "run_ended", lambda *given: (ended.append(given), tell(*given)))
    run_it(deployed_run())
    (run,) = history.list_runs()
    assert (run.deployment_name, run.status.value, len(asked), len(ended)) == (None, "success", 2, 1)
    assert untold.tell(history) == 0
    (run,) = history.list_runs()
    assert (run.deployment_name, run.status.value, run.total_files) == ("every-night", "success", 1)
    assert (len(ended), list(Path(history.archive.settings.spool, "untold").glob("*"))) == (1, [])


@pytest.mark.parametrize("status", [403, 500])
def test_a_name_that_is_refused_stops_nothing_else(history, monkeypatch, status):
    """Where the API key may not see deployments, or the server fails at that alone."""
    answer = api.answer

    def refused(prefect, method, path, **more):
        if path.startswith("/deployments/"):
            return Response(status, request=Request("GET", "http://here/"))
        return answer(prefect, method, path, **more)

    monkeypatch.setattr(api, "answer", refused)
    for _ in range(2):
        killed_run(monkeypatch)
    asker = Asker()
    done = recover(history, ask=asker, reconcile=reconciler(asker))
    assert [(one.error, one.run.deployment_name) for one in done] == [(None, None)] * 2
    assert not asker.unreachable
    assert all(one.run.task_counts for one in done)
    run_it(deployed_run(["a"]))
    assert len(history.list_runs(status="success")) >= 1


def test_a_run_that_was_killed_has_it_too(history, monkeypatch):
    """Else a report that is made of one deployment's runs would leave out those that died."""
    killed_run(monkeypatch)
    asker = Asker()
    (one,) = recover(history, ask=asker, reconcile=reconciler(asker))
    assert one.run.deployment_name == "every-night"
    assert Filters(deployment=("every-*",)).matches(one.run)
