"""`trackrecord delivery-report`: the report from a shell, and what it says of bad input."""

import json
import socket
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from prefect_trackrecord.delivery.patience import Patience
from prefect_trackrecord.documents.models import RunMetadata, RunStatus

sys.path.insert(0, str(Path(__file__).parents[1] / "delivery"))

from servers import Handler, smtp_server  # noqa: E402


@pytest.fixture
def config(tmp_path):
    """Writes a configuration and returns its path."""

    def write(text="title: Weekly report\nrecipients: [a@b.com]\n"):
        path = tmp_path / "report.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def week(history):
    for day, hour in ((19, 23), (20, 0), (26, 23), (27, 0)):
        started = datetime(2025, 1, day, hour, 30, tzinfo=timezone.utc)
        history.save_run_metadata(
            RunMetadata(
                run_id=f"run-{day}", command="extract", started_at=started, completed_at=started,
                status=RunStatus.SUCCESS, total_files=1, success_count=1,
            )
        )  # fmt: skip


DATES = ("--date-from", "2025-01-20", "--date-to", "2025-01-26")


def runs_in(printed):
    return sum(json.loads(printed)["runs_by"].values())


def test_it_stores_the_page_and_keeps_the_mail(trackrecord, history, config, week):
    done = trackrecord("delivery-report", "--config", config(), *DATES)
    assert done.code == 0, done.err
    root = history.archive.store.local_root
    (page,) = root.glob("reports/**/*.html")
    (mail,) = root.glob("deliveries/**/*.eml")
    assert f"page    {page}" in done.out
    assert f"outbox  {mail.parent}" in done.out
    assert "emails  1 kept in the outbox" in done.out
    assert "2 runs" in page.with_suffix(".txt").read_text()


def test_both_dates_are_included_in_the_reports_time_zone(trackrecord, config, week):
    def runs(zone):
        done = trackrecord("delivery-report", "--config", config(f"timezone: {zone}\n"), *DATES, "--dry-run", "--json")
        assert done.code == 0, done.err
        return [run["run_id"] for run in json.loads(done.out)["runs"]["items"]]

    assert runs("UTC") == ["run-26", "run-20"]
    assert runs("Europe/Berlin") == ["run-20", "run-19"]  # it is an hour later there
    assert runs("America/New_York") == ["run-27", "run-26"]  # and five hours earlier here


def test_dry_run_writes_nothing(trackrecord, history, config, week):
    before = sorted(history.archive.store.local_root.rglob("*"))
    done = trackrecord("delivery-report", "--config", config(), *DATES, "--dry-run")
    assert done.code == 0
    assert done.out.startswith("Weekly report\n")
    assert sorted(history.archive.store.local_root.rglob("*")) == before
    report = json.loads(trackrecord("delivery-report", "--config", config(), *DATES, "--dry-run", "--json").out)
    assert report["runs_by"]["success"] == 2


def test_a_preview_that_can_not_be_written(trackrecord, config, week, tmp_path):
    (tmp_path / "file").write_text("")
    done = trackrecord("delivery-report", "--config", config(), *DATES, "--preview", tmp_path / "file" / "x.html")
    assert (done.code, done.out) == (2, "")
    assert "error TR107: the preview " in done.err


def test_json(trackrecord, config, week):
    found = json.loads(trackrecord("delivery-report", "--config", config(), *DATES, "--json").out)
    assert found["emails"][0]["status"] == "skipped"
    assert found["page"].endswith(".html")
    assert found["problems"] == []


def test_window_wins_over_the_configured_one(trackrecord, config):
    config_ = config("date_from: 2025-01-20\ndate_to: 2025-01-26\n")
    report = json.loads(
        trackrecord("delivery-report", "--config", config_, "--window", "today", "--dry-run", "--json").out
    )
    assert report["period"]["start"] == report["period"]["end"] == f"{datetime.now(timezone.utc):%Y-%m-%d}"


def test_it_tracks_itself_where_tracking_path_is_set(program, history, config, week):
    path = config()
    done = program("delivery-report", "--config", path, *DATES, TRACKING_PATH=history.url)
    assert done.returncode == 0, done.stderr
    (run,) = history.list_runs(command="delivery-report")
    assert (run.role, run.status, run.emails_skipped) == ("report", RunStatus.SUCCESS, 1)
    assert (run.config_path, run.target_date) == (str(path), "2025-01-20--2025-01-26")


def test_it_does_not_where_it_is_not(trackrecord, history, config, week):
    trackrecord("delivery-report", "--config", config(), *DATES)
    assert not history.list_runs(command="delivery-report")


def test_the_storage_of_the_configuration(trackrecord, history, config, week):
    done = trackrecord(
        "delivery-report", "--config", config(f"storage: {history.url}\n"), *DATES, "--dry-run", "--json", storage=False
    )
    assert runs_in(done.out) == 2


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("recipient: [a@b.com]\n", DATES, "unknown key 'recipient'; did you mean 'recipients'?"),
        ("recipients: [a@@b.com]\n", DATES, "a@@b.com"),
        ("recipients: [a@b.com\n", DATES, "this is no YAML"),
        ("timezone: Mars/Olympus\n", DATES, "Mars/Olympus"),
        ("{}\n", ("--date-from", "2025-01-26", "--date-to", "2025-01-20"), "before it starts"),
        ("{}\n", ("--date-from", "2025-01-26"), "the last day is missing"),
        ("{}\n", ("--date-from", "26.1.2025", "--date-to", "2025-01-27"), "is no date; write it as YYYY-MM-DD"),
        ("{}\n", ("--window", "last-month"), "there is no window 'last-month'"),
        ("{}\n", (*DATES, "--window", "today"), "not both"),
        ("{}\n", ("--date-form", "2025-01-20"), "Unknown option: --date-form. Did you mean --date-from?"),
    ],
)
def test_bad_input_is_told_without_a_stack(trackrecord, config, text, arguments, message):
    done = trackrecord("delivery-report", "--config", config(text), *arguments)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_without_a_configuration(trackrecord, tmp_path):
    done = trackrecord("delivery-report", *DATES)
    assert done.code == 2
    assert "--config" in done.err
    done = trackrecord("delivery-report", "--config", tmp_path / "none.yaml", *DATES)
    assert (done.code, done.err) == (
        2,
        f"error TR105: {tmp_path / 'none.yaml'} can't be read: No such file or directory\n",
    )


def test_dry_run_says_what_would_be_sent(trackrecord, config, week):
    done = trackrecord("delivery-report", "--config", config(), *DATES, "--dry-run")
    assert "a@b.com: dry run: would be kept in the outbox" in done.err


def test_preview_writes_the_page_alone(trackrecord, history, config, week, tmp_path):
    before = sorted(history.archive.store.local_root.rglob("*"))
    page = tmp_path / "page.html"
    done = trackrecord("delivery-report", "--config", config(), *DATES, "--preview", page)
    assert done.code == 0
    assert f"page    {page}" in done.out
    assert "emails" not in done.out, "nothing is sent, whoever the recipients are"
    assert page.read_text().startswith("<!")
    assert sorted(history.archive.store.local_root.rglob("*")) == before


def test_preview_names_no_more_than_it_has_made(trackrecord, config, week, tmp_path):
    page = tmp_path / "page.html"
    done = trackrecord("delivery-report", "--config", config(), *DATES, "--preview", page, "--json")
    said = json.loads(done.out)
    assert (set(said), said["page"]) == ({"verdict", "page", "problems"}, str(page))
    done = trackrecord("delivery-report", "--config", config(), *DATES, "--preview", page, "--to", "me@b.com")
    assert (done.code, "--preview writes the page and sends nothing" in done.err) == (2, True)


def test_dry_run_shows_a_mail_of_ones_own_template(trackrecord, config, week, tmp_path):
    (tmp_path / "mail.html.j2").write_text("<h1>Mine: {{ report.title }}</h1>")
    given = config("title: Weekly report\nrecipients: [a@b.com]\ntemplates: {email: mail.html.j2}\n")
    done = trackrecord("delivery-report", "--config", given, *DATES, "--dry-run")
    assert "<h1>Mine: Weekly report</h1>" in done.out
    assert "<h1>" not in trackrecord("delivery-report", "--config", config(), *DATES, "--dry-run").out


def test_a_preview_with_a_template_that_can_not_be_used_has_failed(trackrecord, config, week, tmp_path):
    (tmp_path / "own.html").write_text("{% for %}")
    given = config("title: Weekly report\nrecipients: [a@b.com]\ntemplates: {page: own.html}\n")
    done = trackrecord("delivery-report", "--config", given, *DATES, "--preview", tmp_path / "page.html")
    assert (done.code, "error: " in done.err, "own.html" in done.err) == (1, True, True)


def test_a_test_copy_goes_to_the_given_addresses_only(trackrecord, history, config, week):
    done = trackrecord("delivery-report", "--config", config(), *DATES, "--to", "me@b.com", "--to", "you@b.com")
    assert (done.code, "emails  2 kept in the outbox" in done.out) == (0, True)
    mails = [p.name for p in history.archive.store.local_root.glob("deliveries/**/*.eml")]
    assert sorted("me@b.com" in m or "you@b.com" in m for m in mails) == [True, True]


def test_a_bad_address_is_told(trackrecord, history, config, week):
    done = trackrecord("delivery-report", "--config", config(), *DATES, "--to", "nobody")
    assert (done.code, "nobody" in done.err) == (2, True)
    assert not list(history.archive.store.local_root.glob("deliveries/**/*.eml"))


UNKNOWN = "sender: r@x.y\nsmtp: {host: smtp.example.invalid, security: none%s}\nrecipients: [a@b.com]\n"


def nobody_knows(monkeypatch, code):
    def asked(*_, **__):
        raise socket.gaierror(code, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", asked)


def test_a_mail_server_that_nobody_knows_is_told_of_at_once(trackrecord, history, config, week, monkeypatch):
    """Five minutes were waited for a slip of the pen. Once it is mended, the same command sends the mail."""
    with monkeypatch.context() as patch:
        nobody_knows(patch, socket.EAI_NONAME)
        patch.setattr(Patience, "wait", lambda self, needed: pytest.fail("waited") if needed else None)
        done = trackrecord("delivery-report", "--config", config(UNKNOWN % ""), *DATES)
    assert (done.code, "emails  1 failed" in done.out) == (1, True)
    assert "a@b.com: failed (smtp.example.invalid:25: no host has this name)" in done.err
    assert "mend the mail server's name" in done.err
    handler = Handler()
    with smtp_server(handler) as port:
        text = (UNKNOWN % f", port: {port}").replace("smtp.example.invalid", "127.0.0.1")
        done = trackrecord("delivery-report", "--config", config(text), *DATES)
    assert (done.code, "emails  1 sent" in done.out, len(handler.mails)) == (0, True, 1)


@pytest.mark.parametrize("more", [(), ("--to", "me@b.com")])
def test_what_is_waited_for_is_told(trackrecord, config, week, monkeypatch, more):
    nobody_knows(monkeypatch, socket.EAI_AGAIN)  # a resolver that does not answer may in a minute
    given = config(UNKNOWN % ", retry_for: 1, retry_first: 0.6")
    done = trackrecord("delivery-report", "--config", given, *DATES, *more)
    assert "the mail server is asked again in 1 s for 1 mail: smtp.example.invalid:25: " in done.err
    assert (done.code, "mend" in done.err) == (1, False)
