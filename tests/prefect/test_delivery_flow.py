"""The delivery report as a flow, and its deployment."""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from prefect_trackrecord.errors import ConfigFileError, UsageError
from prefect_trackrecord.flows import delivery_report
from prefect_trackrecord.tracking import RunTracker, TrackingStorage

sys.path.insert(0, str(Path(__file__).parents[1] / "delivery"))
from servers import Handler, smtp_server  # noqa: E402

pytestmark = pytest.mark.prefect
ROOT = Path(__file__).parents[2]
TODAY = datetime.now(timezone.utc).date()


@pytest.fixture
def some_runs(history):
    with RunTracker("transcribe", storage=history) as tracker:
        tracker.track_file("a.wav")
        tracker.track_file("b.wav", "failed", error_type="ValueError", error_message="no sound")
    return history


def test_it_reads_the_history_that_prefects_own_settings_name(some_runs, config, monkeypatch, tmp_path):
    monkeypatch.delenv("TRACKING_PATH")
    monkeypatch.chdir(tmp_path)
    Path("prefect.toml").write_text(f'[integrations.trackrecord]\nstorage = "{some_runs.url}"\n')
    page = Path(delivery_report({**config, "window": "today"}, return_state=True).result()["page"])
    assert page.is_relative_to(some_runs.archive.store.local_root)
    assert "no sound" in page.read_text()
    assert [run for run in some_runs.list_runs() if run.role == "report"]


@pytest.fixture
def config():
    return {"title": "Morning Report", "recipients": [{"name": "Ada", "email": "ada@example.com"}, {"name": "Bo"}]}


def test_a_report(some_runs, config):
    day = datetime.now(timezone.utc).date().isoformat()  # TODAY may be over by now
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
    assert set(artifacts) == {
        "delivery-report-morning-report",
        "delivery-failures-morning-report",
        "trackrecord-delivery-report",
    }
    assert "ValueError: no sound" in artifacts["delivery-failures-morning-report"]
    assert "no sound" in artifacts["delivery-report-morning-report"]


def test_its_own_run_is_kept_where_its_configuration_says(some_runs, config, tmp_path):
    other = TrackingStorage(base_path=tmp_path / "elsewhere")
    with RunTracker("of another history", storage=other) as tracker:
        tracker.track_file("c.wav")
    delivery_report({**config, "window": "today", "storage": str(tmp_path / "elsewhere")}, return_state=True)
    (own,) = [run for run in other.list_runs() if run.role == "report"]
    assert {e.email for e in own.email_results} == {"ada@example.com", None}
    assert not [run for run in some_runs.list_runs() if run.role == "report"]
    # One that can't be read is told where the settings say.
    delivery_report({"titel": "x"}, return_state=True)
    assert [(r.role, r.status.value) for r in some_runs.list_runs() if r.role] == [("report", "failed")]


def test_what_people_wrote_is_no_markup_in_an_artifact_s_description(some_runs, config):
    delivery_report({**config, "title": "<b>Morning</b> _x_", "window": "today"}, return_state=True)
    with get_client(sync_client=True) as client:
        body = {"artifacts": {"key": {"like_": "delivery-failures-b-morning"}}}
        (made,) = client.request("POST", "/artifacts/filter", json=body).json()
    assert made["description"].startswith(r"What failed: \<b\>Morning\</b\> \_x\_")


def names_of_task_runs(run_id):
    body = {"flow_runs": {"id": {"any_": [run_id]}}}
    with get_client(sync_client=True) as client:
        for _ in range(100):  # the API tells of task runs a moment later
            rows = client.request("POST", "/task_runs/filter", json=body).json()
            if rows and all(row["state_type"] in {"COMPLETED", "FAILED"} for row in rows):
                return {row["name"].rsplit("-", 1)[0] if "-" in row["name"] else row["name"]: row for row in rows}
            time.sleep(0.1)
    raise AssertionError([(row["name"], row["state_name"]) for row in rows])


def test_people_see_what_became_of_each_mail(some_runs, config):
    handler = Handler()
    with smtp_server(handler) as port:
        smtp = {"host": "127.0.0.1", "port": port, "security": "none", "retry_for": 1, "retry_first": 0.1}
        people = ["ada@example.com", "nobody@example.com", "later@example.com", "drop@example.com"]
        told = {**config, "recipients": people, "sender": "r@example.com", "smtp": smtp, "window": "today"}
        state = delivery_report(told, return_state=True)
        again = delivery_report(told, return_state=True)
    assert (state.name, state.message) == ("PartialSuccess", "3 emails failed")
    assert [to for _, recipients, _ in handler.mails for to in recipients] == ["ada@example.com"]
    own, later = sorted((r for r in some_runs.list_runs() if r.role == "report"), key=lambda r: r.started_at)
    assert {e.email: (e.status, e.outcome) for e in own.email_results} == {
        "ada@example.com": ("sent", "sent"),
        "nobody@example.com": ("failed", "rejected"),
        "later@example.com": ("failed", "deferred"),
        "drop@example.com": ("failed", "unknown"),
    }
    rows = names_of_task_runs(own.run_id)
    assert {f"deliver to {who}": rows[f"deliver to {who}"]["state_name"] for who in people} == {
        "deliver to ada@example.com": "Sent",
        "deliver to nobody@example.com": "Rejected",
        "deliver to later@example.com": "Deferred",
        "deliver to drop@example.com": "Unknown",
    }
    assert {"collect runs", "build Morning Report", "render Morning Report", "store Morning Report", "show"} <= set(
        rows
    )
    assert (again.name, again.message) == ("PartialSuccess", "3 emails failed")
    assert {e.email: (e.status, e.outcome) for e in later.email_results}["ada@example.com"] == ("skipped", "sent")


def test_a_dry_run_and_a_test_copy(some_runs, config):
    state = delivery_report({**config, "window": "today"}, dry_run=True, return_state=True)
    assert state.message.startswith("Dry run: ")
    root = some_runs.archive.store.local_root
    assert not list(root.rglob("*.eml"))
    assert not (root / "reports").exists()
    (own,) = [run for run in some_runs.list_runs() if run.role == "report"]
    assert own.email_results == []
    body = {"flow_runs": {"id": {"any_": [own.run_id]}}}
    with get_client(sync_client=True) as client:
        artifacts = {a["key"]: a["data"] for a in client.request("POST", "/artifacts/filter", json=body).json()}
    assert "ada@example.com" in artifacts["delivery-report-dry-run-morning-report-mails"]
    assert "would be kept" in artifacts["delivery-report-dry-run-morning-report-mails"]

    delivery_report({**config, "window": "today"}, to=["me@example.com"])
    (mail,) = root.rglob("*.eml")
    assert b"me@example.com" in mail.read_bytes()
    assert b"ada@example.com" not in mail.read_bytes()
    with pytest.raises(UsageError, match="no email address"):
        delivery_report(config, to=["me"])


def test_everybody_their_own_and_channels(some_runs, config, monkeypatch):
    told = []

    class Channel:
        def notify(self, body, subject=None):
            told.append(subject)

    monkeypatch.setattr("prefect_trackrecord.delivery.running.load_block", lambda name: Channel())
    people = ["ada@example.com", {"email": "fin@example.com", "owner": "finance"}]
    fields = {"recipients": people, "flows": {"invoices": {"owner": "finance"}}, "channels": "slack-webhook/ops"}
    state = delivery_report({**config, **fields, "window": "today"}, return_state=True)
    assert state.is_completed()
    assert len(told) == 1
    mails = {m.name: m.read_bytes() for m in some_runs.archive.store.local_root.rglob("*.eml")}
    assert len(mails) == 2
    (own,) = [mail for name, mail in mails.items() if "fin@example.com" in name]
    assert b"(finance)" in own


def test_the_form_in_the_ui_has_fields_with_kinds_and_words():
    fields = parameter_schema(delivery_report).model_dump()["properties"]
    assert fields["dry_run"]["type"] == "boolean"
    assert fields["resend"]["enum"] == ["no", "undelivered", "all"]
    assert fields["to"]["items"] == {"type": "string"}
    assert {kind.get("format") for kind in fields["date_from"]["anyOf"]} == {"date", None}
    assert "yesterday" in fields["window"]["anyOf"][0]["enum"]
    assert all(field["description"] for field in fields.values())


@pytest.mark.parametrize("name", ["flows.delivery_report", "watching.watch_flows", "watching.alert_on_run"])
def test_flows_deploy_from_the_wheels_module_path(name):
    loaded = load_flow_from_entrypoint(f"prefect_trackrecord._prefect.{name}", use_placeholder_flow=False)
    assert loaded.name in {"delivery-report", "trackrecord-watch", "alert-on-run"}


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
    by_who_starts_it = {"alert-on-run": {"flow_run_id": uuid4()}}.get(loaded.name, {})
    loaded.validate_parameters({**deployment.get("parameters", {}), **by_who_starts_it})
    if loaded.name == "delivery-report":
        assert loaded.fn.__wrapped__ is delivery_report.fn.__wrapped__
        (schedule,) = deployment["schedules"]
        assert (schedule["cron"], schedule["timezone"]) == ("0 7 * * *", "Europe/Berlin")
        assert deployment["concurrency_limit"]["limit"] == 1
        from prefect_trackrecord.delivery import load_config

        load_config(deployment["parameters"]["config"])
