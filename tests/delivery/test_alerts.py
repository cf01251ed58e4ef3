"""Alerts over a real store: once per incident, recovered, silenced, threaded; whoever calls, and however often."""

from __future__ import annotations

import re
import threading
from datetime import datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from servers import Handler, smtp_server

from prefect_trackrecord.delivery import Told, alert_on, parse_config, silence, silences, watch
from prefect_trackrecord.delivery.alert_rules import silence_until
from prefect_trackrecord.delivery.incident_log import read_state, state_key
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.layout import day_of, files_key, run_key
from prefect_trackrecord.documents.models import FileProcessingLog, FileStatus, RunMetadata, RunStatus
from prefect_trackrecord.documents.window import FILE_ROWS
from prefect_trackrecord.documents.writing import dump_model
from prefect_trackrecord.errors import ConfigurationError, UsageError
from prefect_trackrecord.pages import MAX_EMAIL_BYTES, render_alert, render_alerts
from prefect_trackrecord.report.alert import build_alert
from prefect_trackrecord.report.incidents import Rules, incidents
from prefect_trackrecord.report.rows import FlowNote
from prefect_trackrecord.store import StoreConfig

START = datetime(2025, 1, 20, 6, tzinfo=timezone.utc)
S, F, R = RunStatus.SUCCESS, RunStatus.FAILED, RunStatus.RUNNING


class Place:
    """A store, runs in it, and the outbox that mails go to."""

    def __init__(self, root: Path) -> None:
        self.archive = Archive(StoreConfig(str(root)))
        self.outbox = root / "deliveries" / "outbox"
        self.config = parse_config({"title": "Ops", "recipients": ["ops@example.com"], "timezone": "Europe/Berlin"})
        self.number = 0

    def run(self, status: RunStatus, rows: list[FileProcessingLog] | None = None, **fields: Any) -> RunMetadata:
        started = fields.pop("started_at", START + timedelta(hours=self.number))
        took = fields.pop("minutes", 10)
        self.number += 1
        rows = rows or []
        made = RunMetadata(
            run_id=f"run-{self.number:03d}",
            command=fields.pop("command", "nightly"),
            started_at=started,
            completed_at=None if status is R else started + timedelta(minutes=took),
            status=status,
            total_files=len(rows),
            failed_count=sum(r.status is FileStatus.FAILED for r in rows),
            **fields,
        )
        day = day_of(started)
        self.archive.store.put(run_key(made.run_id, day), dump_model(made))
        self.archive.store.put(files_key(made.run_id, day), FILE_ROWS.dump_json(rows))
        return made

    def on(self, run: RunMetadata, **options: Any) -> list[Told]:
        now = options.pop("now", (run.completed_at or run.started_at) + timedelta(seconds=5))
        return alert_on(run, self.archive, self.config, now=now, **options)

    def mails(self) -> list[EmailMessage]:
        found = [message_from_bytes(p.read_bytes(), policy=policy.default) for p in sorted(self.outbox.glob("*.eml"))]
        return [m for m in found if isinstance(m, EmailMessage)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def kinds(told: list[Told]) -> list[str]:
    return [f"{t.alert.state} {t.alert.kind}" for t in told]


def test_what_became_of_each_message_is_in_an_email_log_and_the_run_it_tells_of_is_left_alone(place: Place) -> None:
    bad = place.run(F)
    handler = Handler()
    with smtp_server(handler) as port:
        smtp = {"host": "127.0.0.1", "port": port, "security": "none", "retry_for": 0}
        who = ["ops@example.com", "nobody@example.com"]
        place.config = parse_config({"sender": "r@example.com", "recipients": who, "smtp": smtp})
        for _ in range(2):
            place.on(bad)
            watch(place.archive, place.config, now=START + timedelta(hours=1))
    (log,) = [run for run in place.archive.runs(None, None).runs if run.command == "alert"]
    assert (log.role, log.parent_run_id, log.status) == ("alert", bad.run_id, RunStatus.PARTIAL_SUCCESS)
    assert {e.email: e.outcome for e in log.email_results} == {who[0]: "sent", who[1]: "rejected"}
    assert place.archive.run(bad.run_id) == bad


def test_a_failed_run_is_told_once_and_its_recovery_once(place: Place) -> None:
    rows = [
        FileProcessingLog(
            file_path=f"in/{n}.csv", status=FileStatus.FAILED, error_type="KeyError", error_message="'id'"
        )
        for n in range(3)
    ]
    bad = place.run(F, rows, error_type="ValueError", error_message="no rows in batch 7", flow_name="nightly")
    (told,) = place.on(bad, notes={"nightly": FlowNote(owner="Ada", runbook_url="https://wiki.example.com/n")})
    assert kinds([told]) == ["alert failed"]
    assert place.on(bad) == []
    assert place.on(place.run(F)) == []
    assert kinds(place.on(good := place.run(S))) == ["recovery failed"]
    assert place.on(good) == []
    assert place.on(place.run(S)) == []
    assert kinds(place.on(place.run(F))) == ["alert failed"]
    mails = place.mails()
    assert len(mails) == 3
    assert len({m["Message-ID"] for m in mails}) == 3
    assert len({m["References"].split()[0] for m in mails}) == 1
    first = next(m for m in mails if "3 of 3 files" in m["Subject"])
    text = first.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    rich = first.get_body(("html",)).get_content()  # type: ignore[union-attr]
    for part in ("ValueError: no rows in batch 7", "in/0.csv", "in/2.csv", "KeyError", "Ada", "wiki.example.com/n"):
        assert part in text
        assert part in rich.replace("&#39;", "'")
    assert "20 Jan 07:00" in text
    well = next(m for m in mails if "well again" in m["Subject"])
    assert well["In-Reply-To"] == first["Message-ID"] == well["References"].split()[1]
    assert "After 2 bad runs" in well.get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_other_flows_have_threads_and_incidents_of_their_own(place: Place) -> None:
    place.on(place.run(F, command="a"))
    place.on(place.run(F, command="b"))
    assert len({m["References"] for m in place.mails()}) == 2


def test_failures_before_alert_and_successes_before_recovery(place: Place) -> None:
    rules = Rules(failures_before_alert=3, successes_before_recovery=2)
    steps = [F, F, S, F, F, F, F, S, F, S, S, S]
    told = [kinds(place.on(place.run(status), rules=rules)) for status in steps]
    wanted = [[] for _ in steps]
    wanted[5], wanted[10] = ["alert failed"], ["recovery failed"]
    assert told == wanted


def test_a_run_that_failed_and_was_run_again_is_well_again(place: Place) -> None:
    bad = place.run(F)
    place.on(bad)
    again = bad.model_copy(update={"status": S, "completed_at": START + timedelta(hours=2)})
    assert kinds(place.on(again)) == ["recovery failed"]


def test_silence_and_what_lasts_beyond_it(place: Place) -> None:
    silence(place.archive, "nightly", START + timedelta(hours=2))
    assert place.on(place.run(F)) == []
    told = watch(place.archive, place.config, now=START + timedelta(hours=1))
    assert told == []
    assert kinds(watch(place.archive, place.config, now=START + timedelta(hours=3))) == ["alert failed"]
    silence(place.archive, "*", START + timedelta(days=3))
    assert place.on(place.run(F, command="other")) == []
    silence(place.archive, "*", None)
    assert kinds(place.on(place.run(F, command="third"))) == ["alert failed"]


def test_hook_and_watch_together_tell_once(place: Place) -> None:
    told = []
    for status in (S, F, F, F, S, S):
        run = place.run(status)
        now = (run.completed_at or START) + timedelta(minutes=1)
        told += kinds(watch(place.archive, place.config, now=now))
        told += kinds(place.on(run))
        told += kinds(watch(place.archive, place.config, now=now))
    assert told == ["alert failed", "recovery failed"]


def test_many_hooks_at_once_tell_once(place: Place) -> None:
    run = place.run(F)
    found: list[list[Told]] = []
    threads = [threading.Thread(target=lambda: found.append(place.on(run))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(place.mails()) == 1
    state, _ = read_state(place.archive.store, "nightly")
    assert len(state.noted) == 1
    assert state.noted[0].alerted_at is not None


def test_what_no_hook_can_find(place: Place) -> None:
    hours = [START + timedelta(hours=n) for n in range(20)]
    for _ in range(12):
        place.run(S)
    place.run(R)  # hour 12: never ends
    at = hours[12] + timedelta(minutes=50)
    options: dict[str, Any] = {"expected": {"nightly": hours, "never": [START + timedelta(hours=1)]}}
    assert kinds(watch(place.archive, place.config, now=at, **options)) == ["alert missed", "alert stuck"]
    assert watch(place.archive, place.config, now=at, **options) == []
    at = hours[14] + timedelta(minutes=12)  # nothing came at 13 and 14
    (late,) = watch(place.archive, place.config, now=at, **options)
    assert late.incident.flow == "nightly"
    assert "2 scheduled runs in a row" in late.alert.sentence
    place.run(S, started_at=hours[15])
    told = watch(place.archive, place.config, now=hours[15] + timedelta(minutes=15), **options)
    assert kinds(told) == ["recovery missed", "recovery stuck"] or kinds(told) == ["recovery stuck", "recovery missed"]
    assert watch(place.archive, place.config, now=hours[15] + timedelta(minutes=16), **options) == []


def test_the_first_look_tells_only_what_lasts(place: Place) -> None:
    for status in (F, F, S, F, S):
        place.run(status)
    assert watch(place.archive, place.config, now=START + timedelta(days=1)) == []
    place.run(F, started_at=START + timedelta(days=1, hours=1))
    assert kinds(watch(place.archive, place.config, now=START + timedelta(days=1, hours=2))) == ["alert failed"]


def test_an_incident_keeps_its_name_when_the_history_gets_shorter(place: Place) -> None:
    place.run(S)
    for _ in range(30):
        place.run(F)
    told = []
    for hours in range(2, 40):
        at = START + timedelta(hours=hours)
        told += watch(place.archive, place.config, now=at, look_back=timedelta(hours=6))
    assert kinds(told)[:1] == ["alert failed"]
    assert len([t for t in told if t.alert.state == "alert"]) == 1


def test_a_damaged_note_tells_nobody_twice(place: Place) -> None:
    run = place.run(F)
    assert kinds(place.on(run)) == ["alert failed"]
    place.archive.store.put(state_key("nightly"), b"{")
    before = [m["Message-ID"] for m in place.mails()]
    place.on(run)
    assert [m["Message-ID"] for m in place.mails()] == before


def test_filters_say_which_runs_it_is_about(place: Place) -> None:
    place.config = parse_config({"recipients": "ops@example.com", "filters": {"command": "other"}})
    assert place.on(place.run(F)) == []
    assert place.on(place.run(F, command="other", role="report")) == []
    assert kinds(place.on(place.run(F, command="other"))) == ["alert failed"]


HOSTILE = '<script>alert(1)</script>\r\nBcc: x@example.com\u202e{{ 7 * 7 }}"'


def test_hostile_and_huge_texts(place: Place) -> None:
    rows = [
        FileProcessingLog(file_path=HOSTILE * 30, status=FileStatus.FAILED, error_type="E", error_message=HOSTILE * 900)
        for _ in range(400)
    ]
    bad = place.run(F, rows, error_message=HOSTILE * 20_000, traceback=HOSTILE * 9000, command=HOSTILE, flow_name="f")
    (told,) = place.on(bad, notes={HOSTILE: FlowNote(description=HOSTILE, runbook_url="javascript:alert(1)")})
    (mail,) = place.mails()
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]
    rich = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert len(rich.encode()) < MAX_EMAIL_BYTES
    assert "<script" not in rich
    assert "javascript:" not in rich
    assert "49" not in told.alert.headline
    assert "\u202e" not in rich
    assert "of 400" in rich


def test_the_alert_reads_well(place: Place) -> None:
    runs = [place.run(S) for _ in range(2)] + [place.run(F, error_type="OSError", error_message="disk full")]
    (found,) = incidents(runs, Rules(), START + timedelta(days=1))
    alert = build_alert(found, runs[-1], now=START + timedelta(hours=3), ui_url="https://prefect.example.com")
    text = render_alert(alert, "text", zone=timezone.utc)
    assert text.splitlines()[0] == "nightly failed: OSError: disk full"
    assert "The run failed." in text
    assert text.count("disk full") == 1


def test_the_alert_of_a_run_that_came_through_in_part(place: Place) -> None:
    rows = [FileProcessingLog(file_path=f"{n}.csv", status="failed" if n < 2 else "success") for n in range(10)]
    run = place.run(RunStatus.PARTIAL_SUCCESS, rows, success_count=8)
    (found,) = incidents([run], Rules(partial_is_bad=True), START + timedelta(days=1))
    text = render_alert(build_alert(found, run, now=START), "text", zone=timezone.utc)
    assert text.splitlines()[0] == "nightly: 2 of 10 files failed"
    assert "The run came through in part." in text


@pytest.mark.parametrize("kind", ["email", "text"])
def test_equal_errors_are_said_once_and_missed_moments_by_name(place: Place, kind: Any) -> None:
    run = place.run(F, error_type="TimeoutError", error_message="no answer")
    (found,) = incidents([run], Rules(), START + timedelta(days=1))
    rows = [
        FileProcessingLog(file_path=f"/a/{n}.wav", status="failed", error_message="no answer" if n < 3 else "no sound")
        for n in range(5)
    ]
    rich = render_alert(build_alert(found, run, now=START, rows=rows), kind, zone=timezone.utc)
    assert all(f"/a/{n}.wav" in rich for n in range(5))
    assert rich.count("no sound") == 1
    expected = {"nightly": [START + timedelta(hours=n) for n in range(9)]}
    (missed,) = [i for i in incidents([], Rules(), START + timedelta(days=1), expected) if i.family == "schedule"]
    rich = render_alert(build_alert(missed, None, now=START), kind, zone=timezone.utc)
    due = [f"{START + timedelta(hours=n):%H:%M}" for n in range(8, 2, -1)]
    assert re.search("[Dd]ue .*" + ".*".join(due) + "…", rich.replace("\n", " "))


class Slack:
    """A channel that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str | None, str]] = []

    def notify(self, body: str, subject: str | None = None) -> None:
        self.told.append((subject, body))


def many(place: Place, count: int) -> None:
    for n in range(count):
        place.run(F, command=f"flow-{n}", error_type="OSError", error_message=f"disk {n} is full", minutes=1)


def test_many_incidents_at_once_are_one_mail(place: Place) -> None:
    many(place, 12)
    at = START + timedelta(days=1)
    told = watch(place.archive, place.config, now=at)
    assert kinds(told) == ["alert failed"] * 12
    (mail,) = place.mails()
    assert mail["Subject"] == "12 alerts: 12 failed"
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert all(f"disk {n} is full" in text for n in range(12))
    assert watch(place.archive, place.config, now=at) == []
    for n in range(3):  # fewer than `together`: one each, in the threads of their flows
        place.run(S, command=f"flow-{n}", started_at=at)
    assert kinds(watch(place.archive, place.config, now=at + timedelta(hours=1))) == ["recovery failed"] * 3
    assert len(place.mails()) == 4


def test_a_thousand_incidents_fit_one_mail() -> None:
    runs = [
        RunMetadata(
            run_id=f"r{n}",
            command=f"flow-{n}" + "x" * 200,
            started_at=START,
            completed_at=START,
            status=F,
            error_type="E" * 50,
            error_message=HOSTILE * 50,
        )
        for n in range(1000)
    ]
    alerts = [
        build_alert(i, runs[0], now=START, note=FlowNote(owner="Ada", runbook_url="https://x.example.com"))
        for i in incidents(runs, Rules(), START + timedelta(days=1))
    ]
    page = render_alerts(alerts, "email", zone=timezone.utc, now=START)
    assert len(page.encode()) < MAX_EMAIL_BYTES
    assert "of 1,000" in page
    assert "<script" not in page


def test_a_mail_about_many_and_hooks_at_the_same_time_tell_each_once(place: Place) -> None:
    """Over SMTP, since the outbox asks no ledger: every incident reaches its reader in one mail, whoever sends it."""
    handler = Handler()
    with smtp_server(handler) as port:
        smtp = {"host": "127.0.0.1", "port": port, "security": "none", "retry_for": 0}
        place.config = parse_config({"recipients": "ops@example.com", "sender": "t@example.com", "smtp": smtp})
        many(place, 8)
        runs = place.archive.runs(START, START + timedelta(days=1)).runs
        at = START + timedelta(hours=10)
        looks = [threading.Thread(target=lambda: watch(place.archive, place.config, now=at)) for _ in range(3)]
        hooks = [threading.Thread(target=place.on, args=(run,), kwargs={"now": at}) for run in runs]
        for thread in (*looks, *hooks):
            thread.start()
        for thread in (*looks, *hooks):
            thread.join()
        watch(place.archive, place.config, now=at + timedelta(minutes=1))
    bodies = [message_from_bytes(raw, policy=policy.default).get_body(("plain",)) for _, _, raw in handler.mails]
    text = "\n".join(body.get_content() for body in bodies)  # type: ignore[union-attr]
    assert [text.count(f"disk {n} is full") > 0 for n in range(8)] == [True] * 8
    heads = [text.count(f"flow-{n} failed: OSError: disk {n} is full") for n in range(8)]
    assert heads == [1] * 8


def test_alerts_go_to_those_whom_they_concern(place: Place) -> None:
    place.config = parse_config(
        {
            "recipients": [
                "ops@example.com",
                {"email": "fin@example.com", "owner": "finance"},
                {"email": "ml@example.com", "filters": {"tag": "ml", "status": "success"}},
            ],
            "flows": {"inv*": {"owner": "finance", "description": "Books invoices"}},
        }
    )
    (told,) = place.on(place.run(F, command="invoices"))
    assert [e.email for e in told.emails] == ["ops@example.com", "fin@example.com"]
    assert told.alert.note is not None
    assert told.alert.note.description == "Books invoices"
    (told,) = place.on(place.run(F, command="train", tags=["ml"]))
    assert [e.email for e in told.emails] == ["ops@example.com", "ml@example.com"]
    late = {"invoices": [START + timedelta(days=1)]}
    found = watch(place.archive, place.config, now=START + timedelta(days=1, hours=7), expected=late)
    (missed,) = [t for t in found if t.incident.kind == "missed"]
    assert [e.email for e in missed.emails][:2] == ["ops@example.com", "fin@example.com"]


def test_channels_are_told_too_and_one_that_is_not_there_is_said(place: Place) -> None:
    slack = Slack()

    def resolve(name: str) -> Any:
        if name == "slack-webhook/gone":
            raise ConfigurationError("the block slack-webhook/gone can't be loaded")
        return slack

    place.config = parse_config(
        {"recipients": "ops@example.com", "channels": ["slack-webhook/ops", "slack-webhook/gone"]}
    )
    run = place.run(F, error_type="OSError", error_message="disk full")
    (told,) = place.on(run, resolve=resolve)
    assert slack.told == [("nightly failed: OSError: disk full", "The run failed.\nOSError: disk full")]
    assert [(e.agent_name or e.email, e.status) for e in told.emails] == [
        ("ops@example.com", "skipped"),
        ("slack-webhook/gone", "failed"),
        ("slack-webhook/ops", "sent"),
    ]
    assert place.on(run, resolve=resolve) == []
    assert len(slack.told) == 1


@pytest.mark.parametrize("who", ["nightly", "*"])
def test_what_began_and_ended_in_a_silence_is_not_told_after_it(place: Place, who: str) -> None:
    watch(place.archive, place.config, now=START - timedelta(hours=1))
    assert kinds(place.on(place.run(F, command="known"))) == ["alert failed"]
    silence(place.archive, who, START + timedelta(hours=8))
    for name in ("nightly", "known"):
        place.on(place.run(F, command=name))
        place.on(place.run(S, command=name))
    assert kinds(watch(place.archive, place.config, now=START + timedelta(hours=7))) == []
    # Who was told of the one that began before is told that it is over; of the other nobody knows.
    found = watch(place.archive, place.config, now=START + timedelta(hours=9))
    assert [(t.incident.flow, t.alert.state) for t in found] == ([("known", "recovery")] if who == "*" else [])
    assert kinds(watch(place.archive, place.config, now=START + timedelta(hours=10))) == []


def test_rules_and_silences_from_configuration(place: Place) -> None:
    place.config = parse_config({"recipients": "ops@example.com", "alerts": {"failures_before_alert": 2}})
    assert place.on(place.run(F)) == []
    assert kinds(place.on(place.run(F))) == ["alert failed"]
    until = silence_until("2h", START)
    silence(place.archive, "nightly", until)
    silence(place.archive, "*", START + timedelta(minutes=5))
    assert [(s.flow, s.until) for s in silences(place.archive, START)] == [
        ("*", START + timedelta(minutes=5)),
        ("nightly", START + timedelta(hours=2)),
    ]
    assert [s.flow for s in silences(place.archive, START + timedelta(hours=1))] == ["nightly"]
    silence(place.archive, "nightly", None)
    assert silences(place.archive, START + timedelta(hours=1)) == []


@pytest.mark.parametrize("text", ["soon", "2", "0h", "-1h", "400d", "", "2 weeks"])
def test_what_is_no_silence(text: str) -> None:
    with pytest.raises(UsageError):
        silence_until(text, START)


def test_upkeep_that_came_by_its_schedule_is_no_incident_and_one_that_did_not_is(place: Place) -> None:
    at = START + timedelta(hours=1)
    place.run(S, command="recover", role="upkeep", started_at=at + timedelta(seconds=15), minutes=1)
    place.run(F, command="recover", role="upkeep", started_at=at + timedelta(hours=1), minutes=1)  # no flow of theirs
    assert watch(place.archive, place.config, now=at + timedelta(hours=2), expected={"recover": [at]}) == []
    due = {"recover": [at, at + timedelta(hours=9)]}
    (told,) = watch(place.archive, place.config, now=at + timedelta(hours=20), expected=due)
    assert (told.incident.flow, told.incident.kind) == ("recover", "missed")
