"""Alerts from hooks, from the flow that watches, and from the one that automations start."""

from __future__ import annotations

import sys
import threading
from datetime import datetime, timedelta, timezone
from email import message_from_bytes, policy
from pathlib import Path
from uuid import uuid4

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas import FlowRun
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from prefect.settings import PREFECT_API_URL, temporary_settings

from prefect_trackrecord import notify_on_failure, track
from prefect_trackrecord._prefect import api
from prefect_trackrecord._prefect.alerting import HOOKS
from prefect_trackrecord._prefect.flow_fields import flow_fields
from prefect_trackrecord._prefect.schedules import expected, expecting
from prefect_trackrecord.delivery import parse_config, run_delivery_report, watch
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.errors import ConfigFileError
from prefect_trackrecord.flows import alert_on_run, watch_flows
from prefect_trackrecord.history import Grace
from prefect_trackrecord.report import Filters

sys.path.insert(0, str(Path(__file__).parents[1] / "delivery"))
from servers import free_port  # noqa: E402

pytestmark = pytest.mark.prefect
CONFIG = {"recipients": "ops@example.com", "title": "Ops", "flows": {"nightly*": {"owner": "Ada"}}}


def mails(history):
    """What is in the outbox, oldest first, once the threads of hooks are done."""
    for thread in threading.enumerate():
        if thread.name == "trackrecord-alert":
            thread.join(60)
    found = sorted(history.archive.store.local_root.rglob("*.eml"), key=lambda p: p.stat().st_mtime_ns)
    return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in found]


def words(mail):
    return mail.get_body(("plain",)).get_content()


def tracked(name):
    @task
    def read(path):
        if path == "bad":
            raise ValueError(f"{path} has no rows")

    @flow(name=name)
    def nightly(paths):
        for future in [track(file="path")(read).submit(path) for path in paths]:
            future.result()

    return track(nightly)


@pytest.mark.parametrize("above", [True, False])
def test_a_failure_is_told_with_its_files_and_its_recovery_in_the_same_thread(history, above):
    tell = notify_on_failure(CONFIG)
    name = f"nightly-{above}"
    run = tell(tracked(name)) if above else track(tell(tracked(name)))
    for paths in (["a"], ["a", "bad"], ["bad"], ["a"], ["a"]):
        run(paths, return_state=True)
        mails(history)  # one run after the other, as a schedule has them
    first, second = mails(history)
    assert f"{name}: 1 of 2 files failed" in first["Subject"]
    for part in ("ValueError: bad has no rows", "bad", "owner", "Ada"):
        assert part.lower() in words(first).lower()
    assert f"{name} is well again" in second["Subject"]
    assert second["In-Reply-To"] == first["Message-ID"]


def test_a_flow_that_is_not_tracked_is_told_by_what_prefect_knows(history):
    tell = notify_on_failure(CONFIG)

    @flow(name="nightly-plain", on_failure=[tell], on_crashed=[tell], on_completion=[tell])
    def plain(bad):
        if bad:
            raise OSError("disk full")

    plain(True, return_state=True)
    mails(history)
    plain(False)
    first, second = mails(history)
    assert "nightly-plain failed: OSError: disk full" in first["Subject"]
    assert "well again" in second["Subject"]


async def test_an_async_flow_is_not_held_up(history):
    @notify_on_failure(CONFIG)
    @track
    @flow(name="nightly-async")
    async def plain():
        raise OSError("disk full")

    state = await plain(return_state=True)
    assert state.is_failed()
    (mail,) = mails(history)
    assert "disk full" in mail["Subject"]


@pytest.mark.parametrize("trouble", ["no file", "no server", "no store"])
def test_what_goes_wrong_with_an_alert_does_not_touch_the_flow(history, tmp_path, caplog, trouble):
    smtp = {"host": "127.0.0.1", "port": free_port(), "security": "none", "retry_for": 0}
    (tmp_path / "file").write_text("")
    config = {
        "no file": tmp_path / "nowhere.yaml",
        "no server": {"recipients": "ops@example.com", "sender": "r@example.com", "smtp": smtp},
        "no store": {**CONFIG, "storage": str(tmp_path / "file")},
    }[trouble]

    @notify_on_failure(config)
    @flow(name=f"nightly-{trouble}")
    def fails():
        raise OSError("disk full")

    state = fails(return_state=True)
    assert state.is_failed()
    assert "disk full" in state.message
    mails(history)
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert ("an alert did not arrive" if trouble == "no server" else "nobody could be alerted") in said


def test_it_is_one_hook_in_each_list_and_a_wrong_configuration_is_told_at_once():
    tell = notify_on_failure(CONFIG)
    twice = tell(tell(track(flow(lambda: None, name="x"))))
    assert all(getattr(twice, f"{name}_hooks").count(tell) == 1 for name in HOOKS)
    with pytest.raises(ConfigFileError, match="recipents"):
        notify_on_failure({"recipents": []})


def test_an_automation_names_a_run(history):
    run = tracked("nightly-auto")
    state = run(["bad"], return_state=True)
    run_id = state.state_details.flow_run_id
    told = alert_on_run(run_id, {**CONFIG, "storage": history.url}, return_state=True)
    assert (told.name, told.message) == ("Completed", "1 alerts, 0 recoveries")
    again = alert_on_run(run_id, {**CONFIG, "storage": history.url}, return_state=True)
    assert again.message == "nothing to tell"
    (mail,) = mails(history)
    assert "ValueError: bad has no rows" in words(mail)
    assert alert_on_run(uuid4(), CONFIG, return_state=True).is_failed()


@pytest.fixture
def deployed(history):
    """Deploys a flow with schedules that are older than they are, and gives what makes runs of it."""
    made = []

    def deploy(name, schedules, *, paused=False, flow_name=None, tags=()):
        with get_client(sync_client=True) as client:
            flow_id = client.create_flow_from_name(flow_name or name)
            asked = [{"schedule": s, "active": True} for s in schedules]
            found = client.create_deployment(flow_id, name, schedules=asked, paused=paused, tags=list(tags))
        made.append(found)
        return str(found)

    yield deploy
    with get_client(sync_client=True) as client:
        for one in made:
            client.delete_deployment(one)


@pytest.fixture
def long_ago(monkeypatch):
    """Schedules that were just made count as old."""
    from prefect_trackrecord._prefect import schedules

    real = schedules._all

    def older(prefect, path, body):
        rows = real(prefect, path, body)
        for row in rows if path == "/deployments/filter" else ():
            for schedule in row["schedules"]:
                schedule["updated"] = "2020-01-01T00:00:00Z"
        # The scheduler made its runs after these deployments, and so after every moment that is asked for.
        return [] if path == "/flow_runs/filter" else rows

    monkeypatch.setattr(schedules, "_all", older)


EVERY_OTHER_DAY = "DTSTART:20260101T120000\nFREQ=DAILY;INTERVAL=2"
DAY = datetime(2026, 3, 28, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        (CronSchedule(cron="30 2 * * *", timezone="UTC"), ["28 02:30", "29 02:30", "30 02:30"]),
        (CronSchedule(cron="0 7 * * *", timezone="Europe/Berlin"), ["28 06:00", "29 05:00", "30 05:00"]),
        (IntervalSchedule(interval=timedelta(hours=24), anchor_date=DAY), ["28 00:00", "29 00:00", "30 00:00"]),
        (
            RRuleSchedule(rrule="DTSTART:20260101T120000\nFREQ=DAILY;INTERVAL=2", timezone="UTC"),
            ["28 12:00", "30 12:00"],
        ),
    ],
)
def test_moments_of_every_kind_of_schedule(deployed, long_ago, schedule, wanted):
    name = f"kind-{uuid4()}"
    deployed(name, [schedule])
    found = expected([], DAY, DAY + timedelta(days=3), filters=Filters(flow=(name,)))
    assert [f"{at:%d %H:%M}" for at in found[name]] == wanted


def test_paused_and_new_ones_are_out_and_the_newest_moments_count(deployed, long_ago, monkeypatch):
    every = IntervalSchedule(interval=timedelta(seconds=30), anchor_date=DAY)
    names = [f"out-{uuid4()}", f"many-{uuid4()}"]
    deployed(names[0], [every], paused=True)
    deployed(names[1], [every])
    found = expected([], DAY, DAY + timedelta(days=3), filters=Filters(flow=tuple(names)), most=700)
    assert set(found) == {names[1]}
    assert len(found[names[1]]) == 700
    assert found[names[1]][-1] == DAY + timedelta(days=3) - timedelta(seconds=30)
    monkeypatch.undo()
    assert expected([], DAY, DAY + timedelta(days=3), filters=Filters(flow=tuple(names))) == {}


def test_what_the_scheduler_says_about_a_moment_without_a_run(deployed, monkeypatch):
    from prefect_trackrecord._prefect import schedules

    name = f"said-{uuid4()}"
    deployed(name, [CronSchedule(cron="0 * * * *", timezone="UTC")])
    real = schedules._all

    def row(hour, created, **more):
        at = (DAY + timedelta(hours=hour)).isoformat()
        when = (DAY + timedelta(hours=created)).isoformat()
        base = {"id": f"r{hour}", "auto_scheduled": True, "expected_start_time": at, "created": when}
        return {**base, "state_type": "SCHEDULED", "start_time": None, **more}

    rows = [
        row(0, -3),
        row(1, -2, state_type="CANCELLED"),
        row(2, -1, state_type="COMPLETED", start_time="2026-03-28T02:00:01Z"),
        row(4, 3.5),  # nothing was made for 3: the deployment was paused then
    ]

    def told(prefect, path, body):
        found = rows if path == "/flow_runs/filter" else real(prefect, path, body)
        for one in found if path == "/deployments/filter" else ():
            for schedule in one["schedules"]:
                schedule["updated"] = "2020-01-01T00:00:00Z"
        return found

    monkeypatch.setattr(schedules, "_all", told)
    found = expected([], DAY, DAY + timedelta(hours=7), filters=Filters(flow=(name,)))
    # 0 and 4 are late in Prefect; 5 and 6 nobody has scheduled, and nothing later either: the scheduler is down
    assert [at.hour for at in found[name]] == [0, 4, 5, 6]


@pytest.mark.parametrize(
    ("before", "back", "wanted"),
    [
        # The server went away: what was planned began when it was back, late; nothing else began meanwhile.
        ("2026-03-28T05:30:10Z", "2026-03-28T05:30:05Z", [2, 3, 4, 5, 6]),
        (None, "2026-03-28T05:30:05Z", [2, 3, 4, 5, 6]),
        # Other flows' runs began from 4 on: the server was there, so that the deployment was paused.
        ("2026-03-28T05:30:10Z", "2026-03-28T03:59:00Z", [2, 3, 5, 6]),
        # The run before the gap began in time: a pause.
        ("2026-03-28T02:00:02Z", "2026-03-28T02:05:00Z", [2, 6]),
    ],
)
def test_a_server_that_was_away_and_a_deployment_that_was_paused(deployed, monkeypatch, before, back, wanted):
    from prefect_trackrecord._prefect import schedules

    name = f"away-{uuid4()}"
    deployed(name, [CronSchedule(cron="0 * * * *", timezone="UTC")])
    real = schedules._all

    def row(hour, created, began=None):
        moments = [(DAY + timedelta(hours=h)).isoformat() for h in (hour, created)]
        base = {"id": f"r{hour}", "auto_scheduled": True, "state_type": "COMPLETED" if began else "SCHEDULED"}
        return {**base, "expected_start_time": moments[0], "created": moments[1], "start_time": began}

    rows = [row(2, -1, before), row(6, 5.5, "2026-03-28T06:00:01Z")]  # nothing was made for 3, 4, and 5

    def told(prefect, path, body):
        if path == "/flow_runs/filter":
            after = body["flow_runs"]["expected_start_time"]["after_"]
            return [row for row in rows if row["expected_start_time"] >= after]
        found = real(prefect, path, body)
        for one in found if path == "/deployments/filter" else ():
            for schedule in one["schedules"]:
                schedule["updated"] = "2020-01-01T00:00:00Z"
        return found

    with api.client() as prefect:  # the server understands what it is asked
        when = DAY.isoformat()
        schedules._one(prefect, {"flow_runs": {"start_time": {"after_": when}}, "sort": "START_TIME_ASC"})
        before_it = {"expected_start_time": {"before_": when}, "deployment_id": {"any_": [str(uuid4())]}}
        assert schedules._one(prefect, {"flow_runs": before_it, "sort": "EXPECTED_START_TIME_DESC"}) is None
    monkeypatch.setattr(schedules, "_all", told)
    asked = lambda prefect, body: rows[0] if body["sort"] == "EXPECTED_START_TIME_DESC" else {"start_time": back}  # noqa: E731
    monkeypatch.setattr(schedules, "_one", asked)
    runs = [
        RunMetadata(run_id=row["id"], command=name, started_at=row["start_time"], status="success", flow_name=name)
        for row in rows
        if row["start_time"]
    ]
    begin = DAY + timedelta(hours=2)
    found = expected(runs, begin, DAY + timedelta(hours=7), filters=Filters(flow=(name,)))
    assert [at.hour for at in found[name]] == wanted


@pytest.mark.parametrize("by_a_schedule", [False, True])
def test_a_run_of_a_schedule_knows_its_moment(by_a_schedule):
    due = DAY + timedelta(hours=2)
    run = FlowRun(flow_id=uuid4(), name="r", auto_scheduled=by_a_schedule, expected_start_time=due)
    assert flow_fields(None, run, None, {})["scheduled_for"] == (due.isoformat() if by_a_schedule else None)


def test_missing_runs_are_in_the_report_and_the_flow_that_watches_tells_them(history, deployed, long_ago):
    name = f"nightly-{uuid4()}"
    deployed(name, [CronSchedule(cron="0 * * * *", timezone="UTC")])
    config = parse_config({**CONFIG, "storage": history.url, "filters": {"flow": name}, "window": "yesterday"})
    now = datetime.now(timezone.utc)
    expect = expecting(config.filters, Grace())
    found = run_delivery_report(config, now=now, archive=history.archive, expect=expect)
    assert {line.flow for line in found.report.missing.items} == {name}
    assert found.report.missed == 24
    assert "24 scheduled runs did not come" in found.report.verdict.sentence
    for path in history.archive.store.local_root.rglob("*.eml"):
        path.unlink()

    fields = {**CONFIG, "storage": history.url, "filters": {"flow": name}}
    state = watch_flows(fields, look_back_days=2, return_state=True)
    assert (state.name, state.message) == ("Completed", "1 alerts, 0 recoveries")
    (mail,) = mails(history)
    assert f"{name} did not run" in mail["Subject"]
    assert watch_flows(fields, look_back_days=2, return_state=True).message == "nothing to tell"


def test_a_report_says_that_schedules_could_not_be_asked(history):
    config = parse_config({**CONFIG, "storage": history.url, "window": "today"})
    url = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: url}):
        expect = expecting(config.filters, Grace())
        found = run_delivery_report(config, now=datetime.now(timezone.utc), archive=history.archive, expect=expect)
    (problem,) = found.problems
    assert "schedules could not be asked" in problem
    assert "schedules could not be asked" in found.rendered.text
    assert watch(history.archive, config, now=datetime.now(timezone.utc)) == []
