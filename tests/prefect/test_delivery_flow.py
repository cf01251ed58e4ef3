"""The delivery report as a flow, and its deployment."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.flows import load_flow_from_entrypoint

from prefect_trackrecord._prefect.flows import delivery_report
from prefect_trackrecord.errors import ConfigFileError, UsageError
from prefect_trackrecord.tracking import RunTracker

pytestmark = pytest.mark.prefect
ROOT = Path(__file__).parents[2]
TODAY = datetime.now(timezone.utc).date()


@pytest.fixture
def some_runs(history):
    with RunTracker("transcribe", storage=history) as tracker:
        tracker.track_file("a.wav")
        tracker.track_file("b.wav", "failed", error_type="ValueError", error_message="no sound")
    return history


@pytest.fixture
def config():
    return {"title": "Morning Report", "recipients": [{"name": "Ada", "email": "ada@example.com"}, {"name": "Bo"}]}


def test_a_report(some_runs, config):
    day = TODAY.isoformat()
    state = delivery_report(config, date_from=day, date_to=day, return_state=True)
    assert (state.name, state.message) == ("Completed", None)
    page = Path(state.result()["page"])
    assert page.is_relative_to(some_runs.archive.store.local_root)
    assert "no sound" in page.read_text()
    mails = list(some_runs.archive.store.local_root.rglob("*.eml"))
    assert len(mails) == 1
    assert b"ada@example.com" in mails[0].read_bytes()

    (own,) = [run for run in some_runs.list_runs() if run.role == "report"]
    assert (own.command, own.status.value, own.target_date) == ("delivery-report", "success", f"{day}..{day}")
    assert {(e.email, e.status) for e in own.email_results} == {("ada@example.com", "skipped"), (None, "skipped")}
    assert own.emails_skipped == 2

    body = {"flow_runs": {"id": {"any_": [own.run_id]}}}
    with get_client(sync_client=True) as client:
        artifacts = {a["key"]: a["data"] for a in client.request("POST", "/artifacts/filter", json=body).json()}
    assert set(artifacts) == {"delivery-report-morning-report", "trackrecord-delivery-report"}
    assert "no sound" in artifacts["delivery-report-morning-report"]


def test_a_configuration_file_and_a_window(some_runs, config, tmp_path):
    path = tmp_path / "report.yaml"
    path.write_text(yaml.safe_dump(config))
    state = delivery_report(path, window="today", return_state=True)
    assert state.name == "Completed"
    (own,) = [run for run in some_runs.list_runs() if run.role == "report"]
    assert (own.config_path, own.target_date) == (str(path), "today")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"config": {"titel": "x"}}, ConfigFileError, "unknown key 'titel'; did you mean 'title'"),
        ({"config": Path("nowhere.yaml")}, ConfigFileError, "nowhere.yaml can't be read"),
        ({"config": {}, "window": "today", "date_from": TODAY, "date_to": TODAY}, UsageError, "not both"),
    ],
)
def test_bad_input(history, given, error, words):
    with pytest.raises(error, match=words):
        delivery_report(**given)
    (own,) = history.list_runs()
    assert (own.status.value, own.error_type) == ("failed", error.__name__)


def test_dates_backwards_are_refused(history):
    state = delivery_report({}, date_from=TODAY, date_to=TODAY - timedelta(days=1), return_state=True)
    assert state.is_failed()
    (own,) = history.list_runs()
    assert own.error_type == "DateRangeError"


@pytest.mark.parametrize(
    "deployment", yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"], ids=lambda d: d["name"]
)
def test_deployments_can_be_loaded_and_take_their_parameters(deployment, monkeypatch):
    monkeypatch.chdir(ROOT)
    loaded = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    loaded.validate_parameters(deployment.get("parameters", {}))
    if loaded.name == "delivery-report":
        assert loaded.fn.__wrapped__ is delivery_report.fn.__wrapped__
        (schedule,) = deployment["schedules"]
        assert (schedule["cron"], schedule["timezone"]) == ("0 7 * * *", "Europe/Berlin")
        assert deployment["concurrency_limit"]["limit"] == 1
        from prefect_trackrecord.delivery import load_config

        load_config(deployment["parameters"]["config"])
