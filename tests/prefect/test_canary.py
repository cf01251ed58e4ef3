"""A secret that goes in wherever one may: looked for in each file, page, mail, log, artifact, event and print."""

from __future__ import annotations

import base64
import email
import email.policy
import gzip
import json
import logging
import os
import re
import shlex
import zipfile
import zlib
from pathlib import Path

import pytest
from prefect import flow, tags, task
from prefect.client.orchestration import get_client
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker
from pydantic import BaseModel, SecretStr

from prefect_trackrecord import RecordStatus, ThoughtfulRecord, TrackRecordStorage, current_tracker, track
from prefect_trackrecord.cli.app import run as command_line
from prefect_trackrecord.delivery import load_config, run_delivery_report
from prefect_trackrecord.documents.seal import utc_now
from prefect_trackrecord.record import dump_records
from prefect_trackrecord.tracking import TrackingStorage

pytestmark = pytest.mark.prefect

SECRETS = {place: f"canary-{place}-9f8e7d6c5b" for place in (
    "parameter", "nested", "typed", "model", "url", "query", "fileurl", "filequery", "error", "header", "record",
    "trace", "emailreason", "smtp", "block", "output", "glued", "plural", "environment", "repr", "json", "escaped",
    "validation", "field", "headers", "tuples", "apikey", "cookie", "option", "argv", "assigned", "slash", "at", "user",
    "key", "webhook", "reason", "recordfield", "recorddict", "recordtext", "skipped", "traceback",
    "listed", "taskname", "filename", "argument", "flowname", "tag", "metric", "filemetric", "list", "namedtext",
    "quotes", "recordid", "status", "step", "outcome", "code", "dictkey", "image", "words",
)}  # fmt: skip
SECRETS["alone"] = "ghp_" + "k7Q2" * 9  # nothing but its shape tells that it is one


class Login(BaseModel):
    user: str
    password: str


class Port(BaseModel):
    number: int
    db_password: int


class Claim(ThoughtfulRecord):
    id: str
    api_key: str = ""
    dbpassword: str = ""
    settings: dict = {}
    note: str = ""
    link: str = ""
    status: RecordStatus = RecordStatus("")


def texts_of(data: bytes):
    """The bytes, and what is packed in them: pages hold their data compressed, mails in base64."""
    yield data
    for piece in re.findall(rb"[A-Za-z0-9+/=\r\n]{64,}", data):
        try:
            inner = base64.b64decode(piece)
        except ValueError:
            continue
        yield inner
        for unpack in (gzip.decompress, zlib.decompress, lambda d: zlib.decompress(d, -15)):
            try:
                yield unpack(inner)
            except (OSError, EOFError, zlib.error):
                continue


def leaks(name: str, data: bytes) -> list[str]:
    wanted = {form: place for place, s in SECRETS.items() for form in (s.encode(), s.replace("-", "").encode())}
    return [f"{place} in {name}" for text in texts_of(data) for form, place in wanted.items() if form in text]


def test_the_search_finds_what_is_packed():
    secret = SECRETS["record"].encode()
    page = b"<script>" + base64.b64encode(gzip.compress(secret + b"x" * 500)) + b"</script>"
    assert leaks("page", page)
    assert leaks("page", b"<script>" + base64.b64encode(zlib.compress(os.urandom(99) + secret)) + b"</script>")


@track(file="path", output=lambda path, **_: f"https://u:{SECRETS['output']}@out.example.com/x")
@task
def fetch(path: str, token: str):
    Claim(id="C-1", api_key=SECRETS["record"], link=f"https://x.example.com/?api_key={SECRETS['trace']}").log_trace(
        "Fetched", reason=f"from https://x.example.com/?access_token={SECRETS['trace']}"
    )
    claim = Claim(
        id="C-2", dbpassword=SECRETS["recordfield"], settings={"userpass": SECRETS["recorddict"]},
        note=f"login with {{'password': '{SECRETS['recordtext']}'}}",
    )  # fmt: skip
    claim.status = RecordStatus(f"refused, password={SECRETS['status']}")
    with claim.step(f"send with token={SECRETS['step']}") as step:
        step.outcome = f"password={SECRETS['outcome']}"
    claim.settings = {f"password={SECRETS['dictkey']}": 1, "argv": ["--password", SECRETS["words"]]}
    claim.fail("no", code=f"api_key={SECRETS['code']}", status=None)
    claim.log_trace("Pictured", image=f"https://x.example.com/a.png?sig={SECRETS['image']}")
    Claim(id=record_id()).log_trace("Named")
    claim.log_trace("Posted", reason=f'answered {{"api_key": "{SECRETS["reason"]}", "ok": false}}')
    raise ConnectionError(
        f"no answer from postgres://reader:{SECRETS['error']}@db.example.com/x nor "
        f"https://api.example.com/?sig={SECRETS['query']} (Authorization: Bearer {SECRETS['header']})"
    )


def record_id():
    return f"https://x.example.com/claims?token={SECRETS['recordid']}"


@track
@task(task_run_name="get {url}")
def named(url: str):
    raise RuntimeError("no")


@track(file="path")
@task(task_run_name="get {path} by {url}")
def filed(path: str, url: str):
    raise RuntimeError("no")


@track
@task
def argued(user: str, password: str, url: str):
    return user


@track(file="path")
@task
def told(path: str, message: str):
    raise RuntimeError(message)


@track(file="path")
@task
def validated(path: str, number: object, password: object):
    Port.model_validate({"number": number, "db_password": password})


def messages():
    """How the message of an error may hold a secret."""
    s = {place: secret.replace("-", "") for place, secret in SECRETS.items()}  # as a word without joints, too
    yield "repr", f"can't use {{'user': 'u', 'password': '{s['repr']}'}}"
    yield "json", json.dumps({"error": "refused", "sent": {"password": s["json"], "n": 1}})
    yield "escaped", json.dumps({"body": json.dumps({"client_secret": s["escaped"]})})
    yield "headers", f"sent Headers({{'accept': '*/*', 'x-api-key': '{s['headers']}'}})"
    yield "tuples", f"sent {[(b'host', b'h'), (b'x-auth-token', s['tuples'].encode())]}"
    yield "apikey", f"GET / HTTP/1.1\nHost: h\nX-Api-Key: {s['apikey']}\nAccept: */*"
    yield "cookie", f"GET / HTTP/1.1\nCookie: a=b; sid={s['cookie']}\nAccept: */*"
    yield "option", f"command failed: psql -h db --password {s['option']} -c 'select 1'"
    yield "argv", f"Command {['curl', '-u', 'me:' + s['argv'], 'https://h']} returned 1"
    yield "assigned", f"PGPASSWORD={s['assigned']} psql returned 2"
    yield "slash", f"no route to postgresql://u:ab/{s['slash']}@db/x"
    yield "at", f"no route to postgresql://u:ab@{s['at']}@db/x"
    yield "user", f"git clone https://{s['user']}@github.com/x.git failed"
    yield "key", f"403 for https://maps.example.com/api?key={s['key']}&q=1"
    yield "alone", SECRETS["alone"]
    yield "namedtext", json.dumps([{"name": "API_TOKEN", "value": s["namedtext"]}])
    yield "quotes", f'password = """{s["quotes"]}"""'
    yield "webhook", f"404 for https://hooks.slack.com/services/T0/B0/{s['webhook']}"


@track
@flow(flow_run_name=f"sync password={SECRETS['flowname']}")
def careless(login: Login, key: SecretStr, api_token: str, options: dict, url: str, dbpassword: str):
    state = fetch(f"s3://key:{SECRETS['fileurl']}@bucket/a.csv?X-Amz-Signature={SECRETS['filequery']}", api_token,
                  return_state=True)  # fmt: skip
    for place, message in messages():
        told(f"{place}.csv", message, return_state=True)
    validated("validation.csv", {"password": SECRETS["validation"]}, SECRETS["field"], return_state=True)
    named(f"https://x.example.com/a?token={SECRETS['taskname']}", return_state=True)
    filed("filed.csv", f"https://x.example.com/a?token={SECRETS['filename']}", return_state=True)
    argued("u", SECRETS["argument"], f"https://x.example.com/a?token={SECRETS['argument']}")
    tracker = current_tracker()
    tracker.metric(f"password={SECRETS['metric']}", 1)
    tracker.track_file("measured.csv", metrics={f"token={SECRETS['filemetric']}": 1})
    tracker.track_file("skipped.csv", "skipped", reason=f"password: {SECRETS['skipped']}")
    tracker.track_file("traceback.csv", "failed", traceback=f"  login(password='{SECRETS['traceback']}')")
    tracker.record_email_results(
        {"failed": [{"email": "a@example.com", "error": f"smtp://u:{SECRETS['emailreason']}@mail.example.com refused"}]}
    )
    dump_records()
    return state


@pytest.fixture
def sent():
    """What went to Prefect's events; nothing where this Prefect's queue can't be looked into."""
    if not hasattr(EventsWorker, "set_client_override"):
        yield list
        return
    EventsWorker.set_client_override(AssertingEventsClient)
    AssertingEventsClient.reset()

    def read():
        EventsWorker.drain_all()
        return [e for c in AssertingEventsClient.all for e in c.events if e.event.startswith("trackrecord.")]

    yield read
    EventsWorker.drain_all()  # or the next test's events go to this one's client
    EventsWorker.set_client_override(None)


def written_of(event) -> bytes:
    """What we wrote of an event: to those that are sent within a run, Prefect's worker adds that run's tags itself."""
    body = event.model_dump(mode="json")
    if not event.event.startswith("trackrecord.run."):
        body["related"] = [r for r in body["related"] if r.get("prefect.resource.role") != "tag"]
    return json.dumps(body).encode()


COMMANDS = (
    "runs list", "runs list --json", "runs show {run}", "runs show {run} --json", "files failed", "files failed --json",
    "records show '{record}'", "records show C-1", "records show C-2", "records show C-2 --json",
    "records pack {run} --output records.zip", "delivery-report --config r",
    "delivery-report --config r --json --preview preview.html", "sql 'select * from files' --json",
)  # fmt: skip


def test_no_secret_is_in_anything_that_a_run_makes(tmp_path, monkeypatch, caplog, capsys, sent):
    caplog.set_level(logging.DEBUG, logger="prefect_trackrecord")
    history = tmp_path / "history"
    monkeypatch.setenv("TRACKING_PATH", str(history))
    monkeypatch.setenv("MAIL_PASSWORD", SECRETS["smtp"])
    block = TrackRecordStorage(url="memory://canary", storage_options={"password": SECRETS["block"]})
    block.save("canary", overwrite=True)

    with tags(f"token={SECRETS['tag']}"):
        state = careless(
            Login(user="u", password=SECRETS["model"]), SecretStr(SECRETS["typed"]), SECRETS["parameter"],
            {"db": {"passwd": SECRETS["nested"]}, "env": {"PGPASSWORD": SECRETS["environment"]},
             "api_keys": [SECRETS["plural"]], "max_tokens": 4096,
             "args": ["push", SECRETS["alone"], "--password", SECRETS["list"]],
             "container": [{"name": "DB_PASSWORD", "value": SECRETS["listed"]}]},
            f"https://u:{SECRETS['url']}@example.com/", SECRETS["glued"], return_state=True,
        )  # fmt: skip
    assert state.is_failed()
    storage = TrackingStorage(base_path=history)
    (run,) = storage.list_runs()
    config = tmp_path / "report.yaml"
    config.write_text(
        "title: Canary\nwindow: today\nrecipients: [a@example.com]\nattachments: [page, csv, json]\n"
        "outbox: outbox\nsender: r@example.com\n"
        "smtp: {host: 127.0.0.1, port: 9, security: none, username: u, password_env: MAIL_PASSWORD, retry_for: 0}\n"
    )
    monkeypatch.chdir(tmp_path)
    run_delivery_report(load_config(config), now=utc_now(), archive=storage.archive)
    config.write_text(config.read_text().split("smtp:")[0])
    run_delivery_report(load_config(config), now=utc_now(), archive=storage.archive, resend=True)

    found, looked_at = [], 0
    events = sent()
    if hasattr(EventsWorker, "set_client_override"):
        assert {e.event for e in events} >= {"trackrecord.file.failed", "trackrecord.run.failed"}
    found += [leak for e in events for leak in leaks(f"event {e.event}", written_of(e))]
    capsys.readouterr()
    for command in COMMANDS:
        words = shlex.split(
            command.format(run=run.run_id, record=record_id()).replace("--config r", "--config report.yaml")
        )
        code = command_line([*words, "--storage", str(history)])
        printed = capsys.readouterr()
        assert code in {0, 1}, (command, printed.err)
        assert printed.out, command
        found += leaks(f"trackrecord {command}", (printed.out + printed.err).encode())
    for path in [p for p in tmp_path.rglob("*") if p.is_file()]:
        looked_at += 1
        data = path.read_bytes()
        found += leaks(str(path.relative_to(tmp_path)), data)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                found += [leak for name in archive.namelist() for leak in leaks(f"zip: {name}", archive.read(name))]
        if path.suffix == ".eml":
            for part in email.message_from_bytes(data, policy=email.policy.default).walk():
                if not part.is_multipart():
                    found += leaks(f"{path.name}: {part.get_content_type()}", part.get_payload(decode=True))
    ours = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("prefect_trackrecord"))
    found += leaks("our log", ours.encode())
    with get_client(sync_client=True) as api:
        mine = api.request("POST", "/artifacts/filter", json={"flow_runs": {"id": {"any_": [run.run_id]}}}).json()
        found += [leak for a in mine for leak in leaks("artifact", json.dumps(a).encode())]
    assert mine, "the run has an artifact"
    assert any(p.suffix == ".eml" for p in tmp_path.rglob("*"))
    assert (tmp_path / "records.zip").exists()
    assert looked_at > 8, sorted(tmp_path.rglob("*"))
    assert not found, "\n".join(sorted(set(found)))


def test_what_a_person_sees_of_a_block_has_no_secret():
    block = TrackRecordStorage(url="memory://canary", storage_options={"password": SECRETS["block"]})
    storage = TrackingStorage(base_path="memory://x", options={"password": SECRETS["block"]})
    for shown in (repr(block), str(block), repr(storage), repr(block.store_config()), repr(storage.archive.config)):
        assert SECRETS["block"] not in shown
    assert Path  # the history's own rights are the umask's, see tests/security
