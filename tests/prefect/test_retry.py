"""Starting a flow's deployment again with what failed: what it is given, and when that is refused."""

from __future__ import annotations

import json

import pytest
from prefect import flow, tags, task
from prefect.client.orchestration import get_client

from prefect_trackrecord import failed_files, track
from prefect_trackrecord._prefect import posting, retrying
from prefect_trackrecord._prefect.settings import current
from prefect_trackrecord.cli.app import run as main
from prefect_trackrecord.errors import ParameterNameError

pytestmark = pytest.mark.prefect
MENDED = set()
"""Files that are good meanwhile."""


@track(file="path")
@task
def work(path):
    if path.startswith("bad") and path not in MENDED:
        raise ValueError("no good")


@track(items="paths")
@flow(name="retried")
def nightly(folder: str = "in", paths: list[str] | None = None):
    work.map(paths or ["a", "bad-1", "bad-2"]).wait()


def deployment_of(a_flow, name="here", **more):
    """A deployment that nobody runs; its id."""
    with get_client(sync_client=True) as client:
        flow_id = client.request("POST", "/flows/", json={"name": a_flow.name}).json()["id"]
        from prefect.utilities.callables import parameter_schema

        schema = parameter_schema(a_flow.fn).model_dump_for_openapi()
        body = {
            "name": name,
            "flow_id": flow_id,
            "parameter_openapi_schema": schema,
            "tags": ["own"],
            "enforce_parameter_schema": False,
            **more,
        }
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
    assert main(["retry", run_id, "--deployment", deployment]) == 1  # it is on its way already
    assert "being retried already" in capsys.readouterr().err


def test_it_is_started_where_and_how_the_first_run_was(history, monkeypatch, capsys):
    """Its own job variables may say where its history is."""
    deployment = deployment_of(nightly)
    run_id = str(nightly(return_state=True).state_details.flow_run_id)
    asked = retrying._flow_run
    variables = {"env": {"TRACKING_PATH": "/elsewhere"}}
    monkeypatch.setattr(retrying, "_flow_run", lambda *given: {**asked(*given), "job_variables": variables})
    assert main(["retry", run_id, "--deployment", deployment, "--json"]) == 0
    assert flow_run(said(capsys)["flow_run_id"])["job_variables"] == variables


@track(file="order")
@task
def pack(order: dict | int):
    raise ValueError("no good")


@track(items="orders")
@flow(name="numbered")
def numbered(orders: list[dict | int]):
    pack.map(orders).wait()


@flow(name="other")
def other(paths: list[str]): ...


def test_a_deployment_of_another_flow_is_refused(history, capsys):
    theirs = deployment_of(other, "theirs")
    run_id = str(nightly(return_state=True).state_details.flow_run_id)
    for name in (theirs, "other/theirs"):
        assert main(["retry", run_id, "--deployment", name, "--dry-run"]) == 2
        assert f"deployment {name} is of another flow than retried" in capsys.readouterr().err


def test_items_that_are_no_text_are_given_as_they_were(history, capsys):
    deployment = deployment_of(numbered)
    orders = [{"id": 7, "lines": ["a", "b"]}, 3]
    run_id = str(numbered(orders, return_state=True).state_details.flow_run_id)
    assert main(["retry", run_id, "--deployment", deployment, "--json"]) == 0
    assert flow_run(said(capsys)["flow_run_id"])["parameters"] == {"orders": orders}


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


def summary_of(run_id):
    with get_client(sync_client=True) as client:
        body = {"flow_runs": {"id": {"any_": [run_id]}}, "artifacts": {"key": {"any_": ["trackrecord-retried"]}}}
        (found,) = client.request("POST", "/artifacts/filter", json=body).json()
    return found


@pytest.fixture(autouse=True)
def nothing_mended():
    yield
    MENDED.clear()


def again(first, *args, of=nightly):
    """The run that tries another one's files again, as `trackrecord retry` would have it."""
    with tags(f"retry-of:{first}"):
        return str(of(*args, return_state=True).state_details.flow_run_id)


def test_the_summaries_of_both_runs_tell_of_the_retry(history):
    first = str(nightly(return_state=True).state_details.flow_run_id)
    MENDED.add("bad-1")
    one = again(first, "in", ["bad-1", "bad-2", "another"])
    assert "**Tried again**: 1 of its 2 files came through" in summary_of(first)["data"]
    MENDED.add("bad-2")
    two = again(one, "in", ["bad-2"])  # a retry of the retry
    names = {run.run_id: run.flow_run_name for run in history.list_runs()}
    assert f"Retry of [{names[first]}](" in summary_of(one)["data"]
    assert ": 1 of 2 files came through now." in summary_of(one)["data"]
    assert ": 1 of 1 file came through now." in summary_of(two)["data"]
    told, ui = summary_of(first), current().ui_url
    assert "✅ **Fixed since**: its 2 files came through" in told["data"]
    assert [line for line in told["data"].splitlines() if line.startswith("- [") and "/runs/flow-run/" in line] == [
        f"- [{names[one]}]({ui}/runs/flow-run/{one}): 1",
        f"- [{names[two]}]({ui}/runs/flow-run/{two}): 1",
    ]
    assert told["metadata_"]["status"] == "partial_success"
    before = summary_of(two)["data"].split("## The runs before")[1]
    assert before.index(names[one]) < before.index(names[first])


@track(file="path")
@task
def read(path): ...


@track(items="paths")
@flow(name="retried")
def two_steps(paths):
    read.map(paths).wait()
    work.map(paths).wait()


def test_a_file_that_came_through_one_step_alone_is_not_fixed(history, capsys):
    """Nor are other files that the retry tracked: what failed first must have come through, as `files failed` says."""
    first = str(two_steps(["bad-1", "bad-2"], return_state=True).state_details.flow_run_id)
    one = again(first, ["bad-1", "bad-2"], of=two_steps)
    again(first, "in", ["other-1", "other-2"])
    assert "Fixed since" not in summary_of(first)["data"]
    assert "**Tried again**: 0 of its 2 files came through" in summary_of(first)["data"]
    assert ": 0 of 2 files came through now." in summary_of(one)["data"]
    assert main(["files", "failed", "--still", "--json"]) == 0
    assert {row["file_path"] for row in said(capsys) if row["run_id"] == first} == {"bad-1", "bad-2"}


SIGNED = [f"https://bad/{name}?sig=s3cr3t{name}" for name in "ab"]


@track(file="path")
@task
def fetch(path):
    raise ValueError("no good")


@track(items="paths")
@flow(name="signed")
def signed(paths: list[str] | None = None):
    fetch.map(paths or SIGNED).wait()


def test_what_is_masked_in_the_history_is_handed_over_as_it_was_given(history, capsys):
    deployment = deployment_of(signed)
    run_id = str(signed(SIGNED, return_state=True).state_details.flow_run_id)
    masked = [row.file_path for row in failed_files(run_id, history)]
    assert all("s3cr3t" not in path for path in masked)
    assert main(["retry", run_id, "--deployment", deployment, "--json"]) == 0
    made = said(capsys)
    assert made["items"] == masked  # the secrets are not shown
    assert flow_run(made["flow_run_id"])["parameters"] == {"paths": SIGNED}


def test_a_masked_file_that_prefect_was_not_given_is_refused(history, capsys):
    deployment = deployment_of(signed, "never-started")
    by_itself = str(signed(return_state=True).state_details.flow_run_id)
    same = [f"https://bad/c?sig={n}s3cr3t" for n in range(2)]
    one_name = str(signed(same, return_state=True).state_details.flow_run_id)
    for run_id, why in ((by_itself, "https://bad/a?sig=********"), (one_name, "https://bad/c?sig=********")):
        for more in (["--dry-run"], []):
            assert main(["retry", run_id, "--deployment", deployment, *more]) == 2
            told = capsys.readouterr().err
            assert why in told
            assert f"prefect deployment run signed/never-started --tag retry-of:{run_id} --param paths=" in told
    with get_client(sync_client=True) as client:
        body = {"flow_runs": {"deployment_id": {"any_": [deployment]}}}
        assert client.request("POST", "/flow_runs/filter", json=body).json() == []


def test_a_summary_does_without_other_runs_where_they_can_t_be_asked(history, monkeypatch):
    def refuse(*_args):
        raise TimeoutError

    monkeypatch.setattr(posting, "timeline", refuse)
    run_id = str(nightly(paths=["a"], return_state=True).state_details.flow_run_id)
    assert "The runs before" not in summary_of(run_id)["data"]
    assert "✅ success" in summary_of(run_id)["data"]
