"""Starting a flow's deployment again with what failed: what it is given, and when that is refused."""

from __future__ import annotations

import json

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client

from prefect_trackrecord import failed_files, track
from prefect_trackrecord.cli.app import run as main
from prefect_trackrecord.errors import ParameterNameError

pytestmark = pytest.mark.prefect


@track(file="path")
@task
def work(path):
    if path.startswith("bad"):
        raise ValueError("no good")


@track(items="paths")
@flow(name="retried")
def nightly(folder: str = "in", paths: list[str] | None = None):
    work.map(paths or ["a", "bad-1", "bad-2"]).wait()


def deployment_of(a_flow, name="here"):
    """A deployment that nobody runs; its id."""
    with get_client(sync_client=True) as client:
        flow_id = client.request("POST", "/flows/", json={"name": a_flow.name}).json()["id"]
        from prefect.utilities.callables import parameter_schema

        schema = parameter_schema(a_flow.fn).model_dump_for_openapi()
        body = {"name": name, "flow_id": flow_id, "parameter_openapi_schema": schema, "tags": ["own"]}
        return client.request("POST", "/deployments/", json=body).json()["id"]


def flow_run(run_id):
    with get_client(sync_client=True) as client:
        return client.request("GET", f"/flow_runs/{run_id}").json()


def said(capsys):
    return json.loads(capsys.readouterr().out)


def test_the_failed_files_are_given_to_the_parameter(history, capsys):
    deployment = deployment_of(nightly)
    run_id = str(nightly("elsewhere", return_state=True).state_details.flow_run_id)
    assert [r.file_path for r in failed_files(run_id, history)] == ["bad-1", "bad-2"]
    (run,) = history.list_runs()
    assert run.items_parameter == "paths"
    assert main(["retry", run_id[:8], "--deployment", "retried/here", "--json", "--dry-run"]) == 0
    assert (said(capsys)["items"], len(history.list_runs())) == (["bad-1", "bad-2"], 1)
    assert main(["retry", run_id, "--deployment", deployment, "--json"]) == 0
    made = flow_run(said(capsys)["flow_run_id"])
    assert made["parameters"] == {"folder": "elsewhere", "paths": ["bad-1", "bad-2"]}
    assert set(made["tags"]) == {"own", f"retry-of:{run_id}"}
    assert made["deployment_id"] == deployment
    assert main(["retry", run_id, "--deployment", deployment]) == 2  # it is on its way already
    assert "being retried already" in capsys.readouterr().err


def test_a_run_without_a_deployment_is_refused(history, capsys):
    run_id = str(nightly(return_state=True).state_details.flow_run_id)
    assert main(["retry", run_id]) != 0
    assert "--deployment FLOW/NAME" in capsys.readouterr().err
    assert main(["retry", run_id, "--deployment", "no/such"]) != 0
    assert "knows no deployment" in capsys.readouterr().err


def test_a_flow_that_says_no_parameter_is_refused(history, capsys):
    bare = track(flow(lambda: work.map(["bad"]).wait(), name="says-nothing"))
    run_id = str(bare(return_state=True).state_details.flow_run_id)
    assert main(["retry", run_id]) != 0
    assert '@track(items="PARAMETER")' in capsys.readouterr().err


def test_a_run_of_which_nothing_failed(history, capsys):
    run_id = str(nightly(paths=["a"], return_state=True).state_details.flow_run_id)
    assert main(["retry", run_id]) == 0
    assert "nothing to retry" in capsys.readouterr().err


def test_a_name_of_no_parameter_is_refused_at_the_definition():
    with pytest.raises(ParameterNameError, match="did you mean 'paths'"):
        track(items="path")(flow(lambda paths: None, name="wrong"))
