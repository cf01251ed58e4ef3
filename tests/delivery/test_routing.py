"""Who gets what, and when: filters of recipients, owners, rules, thresholds, attachments, own templates."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from servers import Handler, smtp_server

from prefect_trackrecord.delivery import load_config, parse_config, run_delivery_report
from prefect_trackrecord.errors import ConfigFileError
from prefect_trackrecord.pages import render_report
from prefect_trackrecord.tracking import RunTracker, TrackingStorage


@pytest.fixture
def storage(tmp_path: Path) -> TrackingStorage:
    storage = TrackingStorage(base_path=tmp_path / "history")
    track(storage, "nightly-invoices", "boom in invoices", tags=["prod"])
    track(storage, "train-model", None, tags=["prod", "ml"])
    track(storage, "train-model", "boom in staging", tags=["staging", "ml"])
    return storage


def track(storage: TrackingStorage, command: str, error: str | None, **more: Any) -> None:
    with RunTracker(command, storage=storage, **more) as tracker:
        if error:
            tracker.track_file(f"{command}.dat", "failed", error_type="E", error_message=error)
        tracker.track_file("good.dat", "success")
        tracker.metric("rows", 7)


def run(storage: TrackingStorage, *, now: datetime | None = None, more: Any = None, **fields: Any) -> Any:
    config = parse_config({"title": "Voice", "window": "today", **fields})
    return run_delivery_report(config, now=now or datetime.now(timezone.utc), archive=storage.archive, **(more or {}))


def mails(found: Any) -> dict[str, Any]:
    """The mails in the outbox by recipient."""
    kept = {
        r.email: r.reason.removeprefix("kept in the outbox: ") for r in found.emails if "outbox" in (r.reason or "")
    }
    return {who: message_from_bytes(Path(path).read_bytes(), policy=policy.default) for who, path in kept.items()}


def text_of(mail: Any) -> str:
    return str(mail.get_body(("plain",)).get_content())


FLOWS = {"*-invoices": {"owner": "finance", "runbook_url": "https://wiki.example.com/i"}, "train*": {"owner": "ml"}}


def test_owners_and_filters_get_reports_of_their_own(storage: TrackingStorage) -> None:
    found = run(
        storage,
        flows=FLOWS,
        filters={"tag": "prod"},
        cc="boss@example.com",
        recipients=[
            "all@example.com",
            {"email": "fin@example.com", "owner": "finance"},
            {"email": "ml@example.com", "owner": "ml"},
            {"email": "ml2@example.com", "filters": {"tag": "ml"}},
        ],
    )
    got = mails(found)
    assert list(got) == ["all@example.com", "boss@example.com", "fin@example.com", "ml@example.com", "ml2@example.com"]
    assert found.report.figure("runs").value == 2
    assert "boom in invoices" in text_of(got["all@example.com"])
    assert "boom in invoices" in text_of(got["fin@example.com"])
    for who in ("ml@example.com", "ml2@example.com"):  # the staging run is outside of the report's own filters
        assert "boom" not in text_of(got[who])
        assert "train-model" in text_of(got[who])
    assert str(got["fin@example.com"]["Subject"]).startswith("Voice (finance): 1 failed, 1 ok")
    assert got["fin@example.com"]["Cc"] is None
    assert got["boss@example.com"]["To"] == "all@example.com"
    assert len({str(m["References"]) for m in got.values()}) == 1
    assert len({str(m["Message-ID"]) for m in got.values()}) == 5
    assert len(storage.archive.store.list("reports")) == 2 * 4
    assert "https://wiki.example.com/i" in str(found.report.broken.items) or not found.report.broken.total


def test_routed_recipients_get_it_once_too(storage: TrackingStorage) -> None:
    handler = Handler()
    with smtp_server(handler) as port:
        smtp = {"host": "127.0.0.1", "port": port, "security": "none", "retry_for": 0}
        people = ["all@example.com", {"email": "fin@example.com", "owner": "finance"}]
        for _ in range(2):
            run(storage, flows=FLOWS, recipients=people, smtp=smtp, sender="r@x.y")
        # Another filter does not make it another report of the same day.
        run(storage, flows=FLOWS, recipients=["fin@example.com"], smtp=smtp, sender="r@x.y")
    assert [to for _, to, _ in handler.mails] == [["all@example.com"], ["fin@example.com"]]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"recipients": {"email": "a@b.c", "owner": "finanse"}, "flows": FLOWS}, "did you mean 'finance'"),
        ({"recipients": {"email": "a@b.c", "owner": "x"}}, "no flow in flows has the owner 'x'"),
        (
            {"recipients": {"email": "a@b.c", "owner": "ml", "filters": {"command": "x"}}, "flows": FLOWS},
            "an owner and filters by command",
        ),
        ({"recipients": ["a@b.c", {"email": "A@b.c", "when": "on_change"}]}, "stands twice in recipients"),
        ({"recipients": {"email": "a@b.c", "filters": {"comand": "x"}}}, "recipients.filters; did you mean"),
        ({"flows": {"f": {"ownr": "x"}}}, "unknown key 'ownr' in flows.f; did you mean 'owner'"),
        ({"flows": {"f": {"runbook_url": "wiki"}}}, "flows.f.runbook_url: 'wiki' is no URL"),
        ({"thresholds": {"metrics": {"rows": {"flor": 1}}}}, "in thresholds.metrics.rows; did you mean 'floor'"),
        ({"thresholds": {"metrics": {"rows": {}}}}, "a floor or a budget is needed"),
        ({"thresholds": {"sucess_rate": 1}}, "in thresholds; did you mean 'success_rate'"),
        ({"thresholds": {"success_rate": "150%"}}, "thresholds.success_rate"),
        ({"templates": {"email": "/no/such.j2"}}, "there is no file /no/such.j2"),
        ({"templates": {"mail": "x.j2"}}, "unknown key 'mail' in templates; did you mean 'email'"),
        ({"when": "on_failures"}, "when: "),
        ({"attachments": "pdf"}, "attachments"),
    ],
)  # fmt: skip
def test_what_would_go_astray_is_named(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigFileError, match=says):
        parse_config(fields)


def statuses(found: Any) -> dict[str, str]:
    return {r.email: "kept" if "outbox" in r.reason else r.reason for r in found.emails}


def test_when(tmp_path: Path) -> None:
    storage = TrackingStorage(base_path=tmp_path / "history")
    rules = ("always", "on_failure", "on_change", "unless_empty")
    people = [{"email": f"{rule}@x.y", "when": rule} for rule in rules]

    def due(**more: Any) -> set[str]:
        found = run(storage, recipients=people, **more)
        return {email.split("@")[0] for email, said in statuses(found).items() if said == "kept"}

    now = datetime.now(timezone.utc)
    assert due(now=now - timedelta(days=1)) == {"always", "on_change"}  # the first is a change
    assert due() == {"always"}
    assert statuses(run(storage, recipients=people))["unless_empty@x.y"] == "nothing ran"
    track(storage, "job", None)
    assert due() == {"always", "on_change", "unless_empty"}
    assert due() == {"always", "on_change", "unless_empty"}  # again the same day: against yesterday's still
    track(storage, "job", "boom")
    assert due() == {"always", "on_change", "unless_empty", "on_failure"}
    assert due(more={"resend": True}) == set(rules)
    assert [r.email for r in run(storage, recipients=people).emails] == [p["email"] for p in people]


def test_on_change_is_against_the_report_before(tmp_path: Path) -> None:
    storage = TrackingStorage(base_path=tmp_path / "history")
    handler = Handler()
    base = {"recipients": ["a@b.c"], "when": "on_change", "sender": "r@x.y"}
    with smtp_server(handler) as port:
        base["smtp"] = {"host": "127.0.0.1", "port": port, "security": "none", "retry_for": 0}
        days = [datetime.now(timezone.utc) - timedelta(days=n) for n in (3, 2, 1)]
        found = [run(storage, now=day, **base) for day in days]
        track(storage, "job", "boom")
        found.append(run(storage, **base))
    assert [f.emails[0].status for f in found] == ["sent", "skipped", "skipped", "sent"]
    assert found[1].emails[0].reason == "nothing changed since the last report"


def test_a_channel_is_told_when_it_is_due(tmp_path: Path) -> None:
    class Board:
        told = 0

        def notify(self, body: str, subject: str | None = None) -> None:
            self.told += 1

    storage, board = TrackingStorage(base_path=tmp_path / "history"), Board()
    run(storage, when="on_failure", more={"channels": {"x": board}})
    assert board.told == 0
    track(storage, "job", "boom")
    run(storage, when="on_failure", more={"channels": {"x": board}})
    assert board.told == 1


@pytest.mark.parametrize(
    ("thresholds", "level"),
    [
        ({}, "ok"),
        ({"success_rate": "100%", "failures": 0, "failed_runs": 0, "duration": "1h", "file_success_rate": 1}, "ok"),
        ({"metrics": {"rows": {"floor": 8}}}, "bad"),
        ({"metrics": {"rows": {"floor": 8, "level": "warn"}}}, "warn"),
        ({"metrics": {"rows": {"floor": 8, "flow": "other"}}}, "ok"),
        ({"metrics": {"rows": {"budget": 6, "flow": "jo*"}}}, "bad"),
        ({"metrics": {"rows": {"floor": 7, "budget": 7}}}, "ok"),
    ],
)
def test_thresholds_turn_the_verdict(tmp_path: Path, thresholds: Any, level: str) -> None:
    storage = TrackingStorage(base_path=tmp_path / "history")
    track(storage, "job", None)
    assert run(storage, thresholds=thresholds).report.verdict.level == level


@pytest.mark.parametrize(
    ("thresholds", "level"),
    [
        ({}, "warn"),
        ({"failures": 1, "success_rate": 0, "file_success_rate": "50%"}, "warn"),
        ({"failures": 0}, "bad"),
        ({"success_rate": "99%"}, "bad"),
        ({"file_success_rate": 0.51}, "bad"),
        ({"duration": "0s"}, "bad"),
        ({"duration": "0s", "level": "warn"}, "warn"),
    ],
)
def test_figures_have_thresholds_too(tmp_path: Path, thresholds: Any, level: str) -> None:
    storage = TrackingStorage(base_path=tmp_path / "history")
    with RunTracker("job", storage=storage, now=Ticks()) as tracker:
        tracker.track_file("a", "failed", error_type="E", error_message="boom")
        tracker.track_file("b", "success")
    assert run(storage, thresholds=thresholds).report.verdict.level == level


class Ticks:
    """A clock that goes a millisecond with every look."""

    def __init__(self) -> None:
        self.now = datetime.now(timezone.utc)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


def test_attachments(storage: TrackingStorage) -> None:
    found = run(storage, recipients="a@b.c", attachments=["csv", "json"], attach_page=True)
    (mail,) = mails(found).values()
    files = {part.get_filename().rsplit(".", 1)[-1]: part.get_payload(decode=True) for part in mail.iter_attachments()}
    assert list(files) == ["html", "csv", "json"]
    assert files["html"].decode() == found.rendered.page
    assert json.loads(files["json"])["name"] == "voice"
    assert files["csv"].decode() == render_report(found.report, "csv")


def test_own_templates_beside_the_configuration(storage: TrackingStorage, tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "part.j2").write_text("{{ report.verdict.sentence }}")
    (folder / "mail.j2").write_text("<h1>{{ report.title }}</h1>{% include 'part.j2' %}")
    (folder / "text.j2").write_text(
        "Own: {{ report.figure('runs').value | int }}\n{% if page_url %}{{ page_url }}{% endif %}"
    )
    (folder / "md.j2").write_text("{% include 'trackrecord/report/report.md.j2' %}\nOwn end")
    (folder / "report.yaml").write_text(
        "title: 'A <b> title'\nwindow: today\ntemplates: {email: mail.j2, text: text.j2, markdown: md.j2}\n"
    )
    config = load_config(folder / "report.yaml")
    found = run_delivery_report(config, now=datetime.now(timezone.utc), archive=storage.archive)
    assert found.problems == ()
    assert found.rendered.email.startswith("<h1>A &lt;b&gt; title</h1>")
    assert found.report.verdict.sentence in found.rendered.email
    assert found.rendered.text.startswith("Own: 3")
    assert found.rendered.markdown.endswith("Own end")
    assert "<html" in found.rendered.page


@pytest.mark.parametrize(
    ("template", "line", "says"),
    [
        ("one\n{{ report.title", 2, "unexpected end of template"),
        ("one\ntwo\n{{ no_such_name }}", 3, "no_such_name"),
        ("one\n{{ report.no_such_field }}", 2, "no_such_field"),
        ("one\n{{ 1 / 0 }}", 2, "division by zero"),
        ("{{ ''.__class__.__mro__ }}", 1, "unsafe"),
        ("\n{{ report.title.__init__.__globals__ }}", 2, "unsafe"),
        ("{% include '../secret.txt' %}", None, "secret"),
        ("{% for x in range(10000000) %}{% endfor %}", 1, "Range too big"),
        ("{% include 'bad.j2' %}", None, "bad.j2, line 1: Expected an expression"),
    ],
)
def test_a_template_with_an_error(
    storage: TrackingStorage, tmp_path: Path, template: str, line: int | None, says: str
) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "bad.j2").write_text("{% if %}")
    (folder / "mail.j2").write_text(template)
    found = run(storage, templates={"email": str(folder / "mail.j2")}, recipients="a@b.c")
    (problem,) = found.problems
    assert problem.startswith("templates.email: ")
    assert problem.endswith("the built-in one was taken")
    if line is not None:
        assert f"{folder / 'mail.j2'}, line {line}: " in problem
    assert says in problem
    assert found.report.verdict.sentence.split(";")[0] in found.rendered.email
    (mail,) = mails(found).values()
    told = mail.get_body(("plain",)).get_content()
    where = f"mail.j2, line {line}: " if line is not None else says
    for form in (told, found.rendered.page, found.rendered.email, found.rendered.markdown):
        assert "the built-in one was taken" in form
        assert where.replace("'", "&#39;") in form or where in form.replace("\\", "")


def test_a_mail_that_is_too_large_is_told(storage: TrackingStorage, tmp_path: Path) -> None:
    (tmp_path / "big.j2").write_text("x" * 1_000_000)
    found = run(storage, templates={"email": str(tmp_path / "big.j2")}, recipients="a@b.c")
    assert "1,000,000 bytes" in found.problems[0]
    assert len(mails(found)) == 1


def test_a_template_beside_a_configuration_of_this_folder_is_named_with_its_line_too(
    storage: TrackingStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mail.j2").write_text("Dear all,\n{{ reprot.title }}")
    (tmp_path / "report.yaml").write_text("window: today\ntemplates: {email: mail.j2}\n")
    config = load_config(Path("report.yaml"))
    found = run_delivery_report(config, now=datetime.now(timezone.utc), archive=storage.archive)
    (problem,) = found.problems
    assert "mail.j2, line 2: 'reprot' is undefined" in problem
