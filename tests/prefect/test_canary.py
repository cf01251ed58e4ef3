"""A secret that goes in wherever one may: looked for in every file, page, mail, log, artifact and event of the run."""

from __future__ import annotations

import base64
import email
import email.policy
import gzip
import json
import logging
import os
import re
import zlib
from pathlib import Path

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from pydantic import BaseModel, SecretStr

from prefect_trackrecord import RecordStatus, ThoughtfulRecord, TrackRecordStorage, current_tracker, track
from prefect_trackrecord.delivery import load_config, run_delivery_report
from prefect_trackrecord.documents.seal import utc_now
from prefect_trackrecord.record import dump_records, pack_sharable_zip
from prefect_trackrecord.tracking import TrackingStorage

pytestmark = pytest.mark.prefect

SECRETS = {place: f"canary-{place}-9f8e7d6c5b" for place in (
    "parameter", "nested", "typed", "model", "url", "query", "fileurl", "filequery", "error", "header", "record",
    "trace", "emailreason", "smtp", "block", "output", "metricerror",
)}  # fmt: skip


class Login(BaseModel):
    user: str
    password: str


class Claim(ThoughtfulRecord):
    id: str
    api_key: str = ""
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
    return [f"{place} in {name}" for text in texts_of(data) for place, s in SECRETS.items() if s.encode() in text]


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
    raise ConnectionError(
        f"no answer from postgres://reader:{SECRETS['error']}@db.example.com/x nor "
        f"https://api.example.com/?sig={SECRETS['query']} (Authorization: Bearer {SECRETS['header']})"
    )


@track
@flow
def careless(login: Login, key: SecretStr, api_token: str, options: dict, url: str):
    state = fetch(f"s3://key:{SECRETS['fileurl']}@bucket/a.csv?X-Amz-Signature={SECRETS['filequery']}", api_token,
                  return_state=True)  # fmt: skip
    current_tracker().record_email_results(
        {"failed": [{"email": "a@example.com", "error": f"smtp://u:{SECRETS['emailreason']}@mail.example.com refused"}]}
    )
    dump_records()
    return state


def test_no_secret_is_in_anything_that_a_run_makes(tmp_path, monkeypatch, caplog, capsys):
    caplog.set_level(logging.DEBUG, logger="prefect_trackrecord")
    history = tmp_path / "history"
    monkeypatch.setenv("TRACKING_PATH", str(history))
    monkeypatch.setenv("MAIL_PASSWORD", SECRETS["smtp"])
    block = TrackRecordStorage(url="memory://canary", storage_options={"password": SECRETS["block"]})
    block.save("canary", overwrite=True)

    state = careless(
        Login(user="u", password=SECRETS["model"]), SecretStr(SECRETS["typed"]), SECRETS["parameter"],
        {"db": {"passwd": SECRETS["nested"]}}, f"https://u:{SECRETS['url']}@example.com/", return_state=True,
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
    pack_sharable_zip(tmp_path / "records.zip")

    found, looked_at = [], 0
    for path in [p for p in tmp_path.rglob("*") if p.is_file()]:
        looked_at += 1
        data = path.read_bytes()
        found += leaks(str(path.relative_to(tmp_path)), data)
        if path.suffix == ".eml":
            for part in email.message_from_bytes(data, policy=email.policy.default).walk():
                if not part.is_multipart():
                    found += leaks(f"{path.name}: {part.get_content_type()}", part.get_payload(decode=True))
    ours = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("prefect_trackrecord"))
    found += leaks("our log", ours.encode())
    with get_client(sync_client=True) as api:
        artifacts = api.request("POST", "/artifacts/filter", json={}).json()
        mine = [a for a in artifacts if a["flow_run_id"] == run.run_id]
        found += [leak for a in mine for leak in leaks("artifact", json.dumps(a).encode())]
    assert mine, "the run has an artifact"
    assert any(p.suffix == ".eml" for p in tmp_path.rglob("*"))
    assert looked_at > 8, sorted(tmp_path.rglob("*"))
    assert not found, "\n".join(sorted(set(found)))


def test_what_a_person_sees_of_a_block_has_no_secret():
    block = TrackRecordStorage(url="memory://canary", storage_options={"password": SECRETS["block"]})
    storage = TrackingStorage(base_path="memory://x", options={"password": SECRETS["block"]})
    for shown in (repr(block), str(block), repr(storage), repr(block.store_config()), repr(storage.archive.config)):
        assert SECRETS["block"] not in shown
    assert Path  # the history's own rights are the umask's, see tests/security
