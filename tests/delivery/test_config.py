"""The configuration: what is right is read, what is wrong is named with what to type instead."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from prefect_trackrecord.delivery import Person, check_address, load_config, parse_config
from prefect_trackrecord.errors import ConfigFileError

NOW = datetime(2025, 1, 27, 7, tzinfo=timezone.utc)

FULL = """
name: voice
title: Voice pipeline
storage: s3://bucket/history
storage_options: {key: AKIA, secret: hush}
window: last-7-days
timezone: Europe/Berlin
filters: {command: [transcribe, "extract*"], tag: prod, status: [failed, partial_success]}
recipients:
  - ops@example.com
  - Zoë O'Hara <zoe@bücher.example>
  - {email: a1@example.com, name: Agent One, agent_id: 17}
  - {agent_id: A3, name: Nobody Yet}
cc: boss@example.com
sender: Reports <reports@example.com>
reply_to: help@example.com
subject: "[prod] {{ title }}: {{ short }} - {{ date_to }}"
smtp: {host: smtp.example.com, security: ssl, username: me, password: hush-hush, timeout: 5, verify: no}
outbox: ./mails
attach_page: yes
base_url: https://files.example.com/history
ui_url: https://prefect.example.com
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "report.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_everything(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, FULL))
    assert (config.slug, config.heading) == ("voice", "Voice pipeline")
    assert [p.email for p in config.recipients] == [
        "ops@example.com",
        "zoe@xn--bcher-kva.example",
        "a1@example.com",
        None,
    ]
    assert config.recipients[1].name == "Zoë O'Hara"
    assert config.recipients[2].agent_id == "17"
    assert config.cc == (Person(email="boss@example.com"),)
    assert config.smtp is not None
    assert (config.smtp.security, config.smtp.secret, config.smtp.verify) == ("ssl", "hush-hush", False)
    assert config.filters.tag == ("prod",)
    period = config.period(None, None, NOW)
    assert (period.start, period.end, period.tz) == (date(2025, 1, 20), date(2025, 1, 26), "Europe/Berlin")
    assert config.period("2025-01-01", "2025-01-02", NOW).length == 2


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, FULL))
    assert "hush" not in repr(config)
    assert "hush" not in str(config)


def test_nothing_is_enough(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "# all defaults\n"))
    assert (config.slug, config.heading, config.recipients) == ("delivery-report", "Delivery report", ())
    assert config.period(None, None, NOW).start == date(2025, 1, 26)


def test_a_name_comes_from_the_title() -> None:
    assert parse_config({"title": "Voice: Pipeline (EU)"}).slug == "voice-pipeline-eu"
    assert parse_config({"title": "日報"}).slug == "日報"
    assert parse_config({"name": "x"}).heading == "x"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("recipents: [a@example.com]", r"unknown key 'recipents'; did you mean 'recipients'\?"),
        ("smtp: {host: h, prot: 25}", r"unknown key 'prot' in smtp; did you mean 'port'\?"),
        ("filters: {comand: x}", r"unknown key 'comand' in filters; did you mean 'command'\?"),
        ("recipients: [{emial: a@b.c}]", r"unknown key 'emial' in entry 1 of recipients; did you mean 'email'\?"),
        ("sender: {email: a@b.c, qqq: 1}", r"unknown key 'qqq' in sender; there are email, name, agent_id"),
        ("recipients: [ok@example.com, not-an-address]", "entry 2 of recipients.email: 'not-an-address' is no email"),
        ("recipients: ['a@b.c\\nBcc: x@y.z']", "entry 1 of recipients.email"),
        ('recipients: [{email: a@b.c, name: "x\\r\\nBcc: y@z.a"}]', "entry 1 of recipients.name.*line break"),
        ("recipients: [{}]", "entry 1 of recipients: an entry needs an email"),
        ("recipients: [17]", "entry 1 of recipients"),
        ("window: yesterdy", "window: there is no window 'yesterdy'; there are today, yesterday"),
        ("timezone: Mars/Olympus", "timezone: there is no time zone 'Mars/Olympus'"),
        ("date_from: 2025-01-20", "needs both date_from and date_to"),
        ("{date_from: 2025-01-26, date_to: 2025-01-20}", "before it starts"),
        ("{date_from: 2025-01-20, date_to: 2025-01-26, window: today}", "not both"),
        ("date_from: soon\ndate_to: later", "date_from: 'soon' is no date"),
        ("date_from: 2025-02-30", "day is out of range"),
        ("subject: '{{ title'", "subject: the template"),
        ("base_url: ftp://x", "base_url: .*must begin with http"),
        ("smtp: {host: h, security: tls}", "smtp.security"),
        ("smtp: {host: h, username: u}", "a username needs a password"),
        ("smtp: {host: h, username: u, password: p, password_env: P}", "not both"),
        ("smtp: {host: h, ca_file: /no/such.pem}", "there is no file /no/such.pem"),
        ("smtp: {host: h}\nrecipients: [a@b.c]", "sender is missing"),
        ("filters: {status: broken}", "filters.status"),
        ("- a\n- b", "keys and values are expected, not list"),
        ("title: [", "line 2: this is no YAML"),
        ("title: T\nwindow: today\ntitle: U", "line 3: the key 'title' is given twice"),
        ("smtp:\n  host: h\n  'host': i", "line 3: the key 'host' is given twice"),
        ("window: last-99999-days", "or any last-N-days of 1 to 3660 days"),
        ("title: 'a\n  b", "no YAML"),
        ("attach_page: maybe", "attach_page"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text + "\n")
    with pytest.raises(ConfigFileError, match=says) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_what_is_merged_may_be_said_otherwise(tmp_path: Path) -> None:
    smtp = load_config(write(tmp_path, "smtp: {<<: {host: h, port: 25}, port: 26}\n")).smtp
    assert smtp is not None
    assert (smtp.host, smtp.port) == ("h", 26)


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError) as caught:
        load_config(write(tmp_path, "titel: x\ntimezone: Nowhere\nrecipients: [x]\n"))
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("3 errors")
    assert len(lines) == 4


def test_errors_do_not_echo_a_password(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError) as caught:
        load_config(write(tmp_path, "smtp: {host: h, port: x, password: hush, username: u, prot: 1}\n"))
    assert "hush" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match="can't be read: No such file"):
        load_config(tmp_path / "no.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(b"title: \xff\xfe\xfa")
    with pytest.raises(ConfigFileError, match="UTF-8"):
        load_config(bad)


def test_the_password_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse_config({"smtp": {"host": "h", "username": "u", "password_env": "MY_SMTP_PASSWORD"}})
    assert config.smtp is not None
    monkeypatch.delenv("MY_SMTP_PASSWORD", raising=False)
    with pytest.raises(ConfigFileError, match="MY_SMTP_PASSWORD is not set"):
        _ = config.smtp.secret
    monkeypatch.setenv("MY_SMTP_PASSWORD", "hush")
    assert config.smtp.secret == "hush"


@pytest.mark.parametrize(
    "text",
    ["a@b.c", "root@localhost", "first.last+tag@sub.example.co.uk", "o'hara@example.com", "x@1.2.example"],
)
def test_good_addresses(text: str) -> None:
    assert check_address(f" {text} ") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "a@",
        "@b.c",
        "a b@c.d",
        "a@b@c.d",
        "a@-b.c",
        "a@b..c",
        "a..b@c.d",
        ".a@b.c",
        "a@b.c\n",
        "a@b.c\r\nBcc: x@y.z",
        "a@b_c.d",
        "<a@b.c>",
        "a@b.c,d@e.f",
        "a@b.c>",
        "ü@b.c",
        "a@" + "b" * 64 + ".c",
        "x" * 65 + "@b.c",
        "a@[127.0.0.1]",
        "a\x00@b.c",
    ],
)
def test_bad_addresses(text: str) -> None:
    if text.strip() == "a@b.c":  # a line break at its end is blank space
        assert check_address(text) == "a@b.c"
        return
    with pytest.raises(ValueError, match="is no email address"):
        check_address(text)
