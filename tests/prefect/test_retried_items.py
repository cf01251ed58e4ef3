"""Which items a retry hands over for the failed files, and that a dry run refuses what the start would."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from pydantic import BaseModel

from prefect_trackrecord import track
from prefect_trackrecord._prefect import retrying
from prefect_trackrecord._prefect.retried_items import value_of
from prefect_trackrecord.cli.app import run as main
from prefect_trackrecord.errors import UsageError

from .test_retry import deployment_of, flow_run, nightly, said, work

pytestmark = pytest.mark.prefect


def refused(capsys, run_id, deployment, *why):
    """Both the dry run and the start refuse it, in the same words."""
    told = []
    for more in (["--dry-run"], []):
        assert main(["retry", run_id, "--deployment", deployment, *more]) == 2
        told.append(capsys.readouterr().err)
    assert told[0] == told[1]
    for words in (*why, f"--tag retry-of:{run_id} --param "):
        assert words in told[0]
    with get_client(sync_client=True) as client:
        body = {"flow_runs": {"deployment_id": {"any_": [deployment]}}}
        assert client.request("POST", "/flow_runs/filter", json=body).json() == []


def started(capsys, run_id, deployment):
    """What it was started with; the dry run says the same before."""
    assert main(["retry", run_id, "--deployment", deployment, "--json", "--dry-run"]) == 0
    dry = said(capsys)
    assert main(["retry", run_id, "--deployment", deployment, "--json"]) == 0
    made = said(capsys)
    assert made["items"] == dry["items"]
    return flow_run(made["flow_run_id"])["parameters"]


def as_of_a_deployment(monkeypatch):
    """A deployment's run has those parameters only that it was given: others take their defaults in the flow."""
    asked = retrying._flow_run
    monkeypatch.setattr(retrying, "_flow_run", lambda *given: {**asked(*given), "parameters": {}})


@track(file="number")
@task
def count(number):
    raise ValueError("no good")


@track(items="numbers")
@flow(name="counted")
def counted(numbers: list[int] = [3, 5]):  # noqa: B006
    count.map(numbers).wait()


@track(items="numbers")
@flow(name="found")
def found_by_itself(numbers: list[int] | None = None):
    count.map(numbers or [7, 9]).wait()


@pytest.mark.parametrize(("a_flow", "items"), [(counted, [3, 5]), (found_by_itself, [7, 9])])
def test_items_of_a_default_and_found_ones_are_as_the_schema_says(history, monkeypatch, capsys, a_flow, items):
    deployment = deployment_of(a_flow, enforce_parameter_schema=True)
    run_id = str(a_flow(return_state=True).state_details.flow_run_id)
    as_of_a_deployment(monkeypatch)
    assert started(capsys, run_id, deployment) == {"numbers": items}


class Item(BaseModel):
    name: str
    kind: str = "x"


@track(file=lambda item: item.name)
@task
def handle(item):
    raise ValueError("no good")


@track(items="items")
@flow(name="models")
def models(items: list[Item] = [Item(name="b1"), Item(name="b2")], more: bool = False):  # noqa: B006
    handle.map(items).wait()
    if more:
        handle(Item(name="of-its-own"))


def test_models_that_are_named_by_a_field_are_given_whole(history, monkeypatch, capsys):
    deployment = deployment_of(models, enforce_parameter_schema=True)
    run_id = str(models(return_state=True).state_details.flow_run_id)
    as_of_a_deployment(monkeypatch)
    given = started(capsys, run_id, deployment)
    assert given == {"items": [{"name": "b1", "kind": "x"}, {"name": "b2", "kind": "x"}]}


def test_a_model_that_was_not_given_is_refused(history, capsys):
    deployment = deployment_of(models, "never-started", enforce_parameter_schema=True)
    run_id = str(models(more=True, return_state=True).state_details.flow_run_id)
    refused(capsys, run_id, deployment, "1 file of run", "of-its-own", "'items'")
    by_itself = str(models([], True, return_state=True).state_details.flow_run_id)
    refused(capsys, by_itself, deployment, "does not take", "is not of type 'object'")


@track(file=lambda path: Path(path).name)
@task
def by_its_name(path):
    raise ValueError("no good")


@track(items="paths")
@flow(name="named")
def named(paths: list[str]):
    by_its_name.map(paths).wait()


def test_files_that_are_called_by_their_last_part(history, capsys):
    deployment = deployment_of(named)
    paths = ["/data/x/bad.txt", "/data/y/other.txt"]
    run_id = str(named(paths, return_state=True).state_details.flow_run_id)
    assert started(capsys, run_id, deployment) == {"paths": paths}


def test_two_items_of_one_name_are_not_guessed(history, capsys):
    deployment = deployment_of(named, "never-started")
    run_id = str(named(["/data/x/bad.txt", "/data/y/bad.txt"], return_state=True).state_details.flow_run_id)
    refused(capsys, run_id, deployment, "can't be told among the items", "bad.txt")


@pytest.mark.parametrize(
    ("paths", "items", "files", "given"),
    [
        (["b"], ["a/b", "b"], ["b"], None),
        (["b"], ["a/b", "b"], ["a/b", "b"], ["b"]),
        (["x"], ["/a/x.csv", "/b/x"], ["x"], None),
        (["x"], ["/a/x.csv", "/b/x"], ["x", "x.csv"], ["/b/x"]),
        (["/in/b.txt"], ["/in/a/b.txt", "/in/b.txt"], ["/in/b.txt"], ["/in/b.txt"]),
        (["/in/b.txt"], ["/in/a/b.txt", "/in/b.txt"], ["/in/b.txt", "sum"], ["/in/b.txt"]),
        (["b"], ["a/b", "b"], ["a/b", "b", "sum"], None),
        (["b.txt"], ["/in/b.txt", "/in/c.txt"], ["b.txt", "c.txt"], ["/in/b.txt"]),
    ],
)
def test_a_naming_that_fits_two_items_is_a_doubt_that_the_runs_files_settle(paths, items, files, given):
    def ask():
        deployment = {"name": "here"}
        parameters = {"paths": items}
        return value_of(paths, parameters, "paths", deployment, files=set(files), way_out="", run_id="1")[0]

    if given is not None:
        assert ask() == given
        return
    with pytest.raises(UsageError, match="can't be told among the items"):
        ask()


@track(items="paths")
@flow(name="narrower")
def narrower(paths: list[str], folder: str):
    work.map(paths).wait()


def test_a_dry_run_refuses_what_prefect_would(history, capsys):
    """Meanwhile the deployment's flow takes something else."""
    run_id = str(narrower(["bad-1"], "in", return_state=True).state_details.flow_run_id)
    changed = flow(lambda paths, folder, day: None, name="narrower")
    deployment = deployment_of(changed, enforce_parameter_schema=True)
    refused(capsys, run_id, deployment, "Prefect would refuse", "'day' is a required property")


def test_a_dry_run_says_that_it_is_being_retried_already(history, capsys):
    deployment = deployment_of(nightly)
    run_id = str(nightly(return_state=True).state_details.flow_run_id)
    assert main(["retry", run_id, "--deployment", deployment]) == 0
    assert main(["retry", run_id, "--deployment", deployment, "--dry-run"]) == 1
    assert "being retried already" in capsys.readouterr().err
