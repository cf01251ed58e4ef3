"""A project made by `trackrecord init`, deployed, run by schedule and by hand, looked at in Prefect's UIs, retried."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from .browser import CHROMIUM, UIS, opened
from .conftest import LONG, OURS, PREFECT, long, until

pytestmark = [pytest.mark.server, pytest.mark.timeout(900), pytest.mark.xdist_group("e2e")]
KEYS = {f"trackrecord-{kind}word-count" for kind in ("", "failures-", "file-", "pictures-")}
DOCS = Path(__file__).parents[2] / "docs" / "how-to"


def artifacts_of(place, run_id):
    return place.request("/artifacts/filter", {"flow_runs": {"id": {"any_": [run_id]}}})


def events_of(place, run_id):
    body = {"filter": {"any_resource": {"id": [f"prefect.flow-run.{run_id}"]}, "event": {"prefix": ["trackrecord."]}}}
    return {e["event"]: e for e in place.request("/events/filter", body)["events"]}


@pytest.fixture(scope="module")
def partial(place, begun):
    """A run by hand, of which one file failed; its id. Its artifacts are there."""
    run_id = begun.partial
    until(lambda: place.request(f"/flow_runs/{run_id}")["state_name"] == "PartialSuccess", LONG, "partial run")
    until(lambda: {a["key"] for a in artifacts_of(place, run_id)} >= KEYS, LONG, "artifacts")  # made after the state
    return run_id


def test_the_deployments_are_as_the_file_says(place, project):
    found = {d["name"]: d for d in place.request("/deployments/filter", {})}
    assert {"every-night", "daily", "every-15-minutes", "here"} <= set(found)
    assert found["every-15-minutes"]["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert found["daily"]["schedules"][0]["schedule"]["timezone"] == "Europe/Berlin"
    for name in ("every-night", "daily", "every-15-minutes"):
        assert found[name]["job_variables"]["env"]["TRACKING_PATH"] == str(place.folder / "history")
        assert found[name]["enforce_parameter_schema"] is True


def test_the_scheduled_run_is_tracked(place, begun, storage):
    scheduled = place.scheduled_run()

    def ended():
        return [r for r in storage.list_runs() if r.run_id == scheduled["id"] and r.completed_at]

    (run,) = until(ended, LONG, "document")
    if run.deployment_name is None:  # the API was too busy to tell: `recover` asks for what is still not known then
        place.run(*OURS, "recover")
        (run,) = ended()
    assert (run.status.value, run.deployment_name, run.items_parameter) == ("success", "every-night", "paths")


def test_its_artifacts_and_events(place, partial):
    by_key = {a["key"]: a for a in artifacts_of(place, partial)}
    assert set(by_key) - {f"trackrecord-run-{partial}"} == KEYS  # a slow one has shown its progress, too
    assert "# ⚠️ partial success" in by_key["trackrecord-word-count"]["data"]
    assert f"trackrecord retry {partial}" in by_key["trackrecord-word-count"]["data"]
    (row,) = json.loads(by_key["trackrecord-failures-word-count"]["data"])
    assert (row["file"].endswith("bad.txt"), row["error"]) == (True, "UnicodeDecodeError")
    assert row["path"].endswith("/inbox/bad.txt")
    task_run = place.request(f"/task_runs/{by_key['trackrecord-file-word-count']['task_run_id']}")
    assert task_run["name"].endswith("bad.txt")
    assert row["task run page"] == f"http://127.0.0.1:{place.port}/runs/task-run/{task_run['id']}"
    events = until(lambda: len(e := events_of(place, partial)) >= 3 and e, LONG, "events")
    assert {"trackrecord.run.partial", "trackrecord.file.failed", "trackrecord.record.status-changed"} == set(events)
    assert events["trackrecord.run.partial"]["payload"]["failed"] == 1
    assert events["trackrecord.run.partial"]["follows"]


@pytest.mark.skipif(not os.path.exists(CHROMIUM), reason="no Chromium")
def test_both_uis_show_it(place, partial):
    by_key = {a["key"]: a["id"] for a in artifacts_of(place, partial)}
    block = place.run(sys.executable, "-c", BLOCKS).split()
    with opened(f"http://127.0.0.1:{place.port}") as see:
        for ui in UIS:
            see(ui, f"/runs/flow-run/{partial}", "PartialSuccess", picture="run")
            text = see(ui, f"/artifacts/artifact/{by_key['trackrecord-word-count']}", "partial success", "bad.txt")
            assert "80 % of the files came through" in text
            see(
                ui,
                f"/artifacts/artifact/{by_key['trackrecord-failures-word-count']}",
                "UnicodeDecodeError",
                picture="table",
            )
            see(ui, f"/artifacts/artifact/{by_key['trackrecord-file-word-count']}", "Traceback", picture="file")
            see(
                ui,
                f"/artifacts/artifact/{by_key['trackrecord-pictures-word-count']}",
                "Pictures of the records",
                picture="image",
            )
            loaded = "[...document.images].some(i => i.src.startsWith('data:image/png') && i.naturalWidth === 10)"
            until(lambda loaded=loaded: see.page.evaluate(loaded), 10, f"picture in {ui}")
            see(ui, "/artifacts/key/trackrecord-word-count", "trackrecord-word-count", picture="time-line")
            for name, document in zip(("storage", "delivery"), block, strict=True):
                text = see(ui, f"/blocks/block/{document}", f"e2e-{name}", picture=f"block-{name}")
                assert "hunter2" not in text
                assert "hunter2" not in see.page.content()
            see(ui, "/blocks/catalog/trackrecord-storage/create", "Storage", picture="block-form")
        assert see.errors == []


BLOCKS = """
from prefect_trackrecord import TrackRecordDelivery, TrackRecordStorage
a = TrackRecordStorage(url="s3://bucket/history", storage_options={"key": "AKIA", "secret": "hunter2"})
b = TrackRecordDelivery(config={"title": "Nightly", "sender": {"email": "a@example.com"},
                                "smtp": {"host": "h", "username": "u"}}, smtp_password="hunter2")
for name, block in (("e2e-storage", a), ("e2e-delivery", b)):
    print(block.save(name, overwrite=True, _sync=True))
"""


@long
def test_an_automation_mails_what_the_event_tells(place, project, partial):
    """As in docs/how-to/act-on-events.md: a partial run starts the deployment that alerts people."""
    (project / "flows" / "alerts.py").write_text("from prefect_trackrecord.flows import alert_on_run\n")
    config = {"title": "Alerts", "recipients": [{"email": "ada@example.com"}], "outbox": str(place.folder / "outbox")}
    config |= {"storage": str(place.folder / "history"), "alerts": {"partial_is_bad": True}}
    params = [f"--param=config={json.dumps(config)}"]
    deploy = [*PREFECT, "--no-prompt", "deploy", "flows/alerts.py:alert_on_run", "--name", "for-automations"]
    place.run(*deploy, "--pool", "trackrecord", *params, "--prefect-file", "none.yaml", cwd=project)
    (deployment,) = [d for d in place.request("/deployments/filter", {}) if d["name"] == "for-automations"]
    example = (DOCS / "act-on-events.md").read_text().split("```yaml\n")[1].split("```")[0]
    file = place.folder / "automation.yaml"
    file.write_text(example.replace("DEPLOYMENT_ID", deployment["id"]))
    place.run(*PREFECT, "automation", "create", "--from-file", str(file))
    parameters = json.dumps({"folder": str(project / "inbox")})
    place.run(*PREFECT, "deployment", "run", "word-count/every-night", "--params", parameters)
    mails = until(lambda: list((place.folder / "outbox").rglob("*.eml")), 240, "mail")
    assert "ada@example.com" in mails[0].read_text()


def test_retry_runs_the_failed_file_alone(place, project, partial, storage):
    bad = project / "inbox" / "bad.txt"
    bad.write_text("mended now")
    said = place.run(*OURS, "retry", partial, "--json")
    made = json.loads(said)
    assert made["items"] == [str(bad)]
    again = until(lambda: [r for r in storage.list_runs() if r.retry_of == partial and r.completed_at], LONG, "retry")[
        0
    ]
    assert (again.status.value, again.total_files, again.run_id) == ("success", 1, made["flow_run_id"])
    from prefect_trackrecord import failed_files
    from prefect_trackrecord.history import ItemState, item_changes

    assert [r.file_path for r in failed_files(partial, storage)] == [str(bad)]
    assert json.loads(place.run(*OURS, "retry", partial, "--json"))["items"] == []
    earlier = [r for r in storage.list_runs() if r.run_id == partial]
    (change,) = item_changes([again], earlier, storage.archive.files).changes
    assert (change.path, change.state, change.failed_run_id) == (str(bad), ItemState.FIXED, partial)
