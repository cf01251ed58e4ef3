"""Which mail server: YAML, a block, or the environment; and deferred mails tried again."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from servers import Handler
from servers import smtp_server as serving

from prefect_trackrecord.delivery import Letter, SmtpServer, deliver, parse_config
from prefect_trackrecord.delivery.patience import Patience
from prefect_trackrecord.delivery.server import mail_server, sender_of
from prefect_trackrecord.errors import ConfigFileError, ConfigurationError

NOW = datetime(2025, 1, 27, 7, tzinfo=timezone.utc)
LETTER = Letter(subject="s", text="t", html="<p>t</p>", report="voice", period="p1")
BLOCK = "email-server-credentials/prod"


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse_config({"recipients": "a@example.com"})
    assert mail_server(config) is None
    for name, value in {
        "HOST": "mail.example.com",
        "SECURITY": "ssl",
        "USERNAME": "me",
        "PASSWORD": "hush",
        "VERIFY": "false",
        "TIMEOUT": "5",
        "RETRY_FOR": "2m",
    }.items():
        monkeypatch.setenv(f"TRACKRECORD_SMTP_{name}", value)
    assert mail_server(config) == SmtpServer(
        "mail.example.com", 465, "ssl", "me", "hush", timeout=5, verify=False, retry_for=120
    )
    with pytest.raises(ConfigurationError, match="sender is missing"):
        sender_of(config, SmtpServer("h", 25, username="me"))
    monkeypatch.setenv("TRACKRECORD_SMTP_SENDER", "Reports <r@example.com>")
    assert sender_of(config, SmtpServer("h", 25, username="me")).email == "r@example.com"
    assert mail_server(parse_config({"outbox": "./mails"})) is None
    named = parse_config({"smtp": {"host": "other"}})
    found = mail_server(named)
    assert found is not None
    assert found.host == "other"


def test_a_bad_variable_is_named_and_no_password_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKRECORD_SMTP_HOST", "h")
    monkeypatch.setenv("TRACKRECORD_SMTP_PORT", "many")
    monkeypatch.setenv("TRACKRECORD_SMTP_PASSWORD", "hush")
    monkeypatch.setenv("TRACKRECORD_SMTP_USERNAME", "u")
    with pytest.raises(ConfigurationError, match=r"TRACKRECORD_SMTP_HOST.*port") as caught:
        mail_server(parse_config({}))
    assert "hush" not in str(caught.value)


def test_a_block_that_somebody_above_loads() -> None:
    asked: list[str] = []

    def resolve(name: str) -> dict[str, Any]:
        asked.append(name)
        return {"host": "mail.example.com", "port": 587, "username": "me@example.com", "password": "hush"}

    config = parse_config({"recipients": "a@b.c", "smtp": {"block": BLOCK, "timeout": 3, "retry_for": 0}})
    server = mail_server(config, resolve)
    assert asked == [BLOCK]
    assert server == SmtpServer("mail.example.com", 587, "starttls", "me@example.com", "hush", timeout=3)
    with pytest.raises(ConfigurationError, match=f"the block {BLOCK} makes no mail server: a host or a block"):
        mail_server(config, lambda name: {})


@pytest.mark.parametrize(
    ("smtp", "says"),
    [
        ({"timeout": 3}, "a host or a block is needed"),
        ({"block": "slack-webhook/ops"}, "smtp.block"),
        ({"host": "h", "retry_for": "soon"}, "'soon' is no duration; write it as 90s, 15m, 36h or 2d"),
    ],
)
def test_what_is_wrong_is_named(smtp: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigFileError, match=says):
        parse_config({"smtp": smtp})


class Greylist(Handler):
    """One that takes each recipient at the n-th try."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.tries: dict[str, int] = {}
        self.refusals = refusals

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        self.tries[address] = self.tries.get(address, 0) + 1
        if address.startswith("grey") and self.tries[address] <= self.refusals:
            return "451 4.7.1 greylisted, try later"
        return await super().handle_RCPT(server, session, envelope, address, options)


@pytest.mark.parametrize(("refusals", "outcome", "waits"), [(2, "sent", [15, 30]), (9, "deferred", [15, 30, 55])])
def test_deferred_mails_are_tried_again_for_a_bounded_time(refusals: int, outcome: str, waits: list[float]) -> None:
    handler = Greylist(refusals)
    slept: list[float] = []
    told: list[Any] = []
    waited: list[Any] = []
    with serving(handler) as port:
        smtp = {"host": "127.0.0.1", "port": port, "security": "none", "retry_for": 100}
        config = parse_config({"sender": "r@x.y", "recipients": ["a@b.c", "grey@b.c", "nobody@b.c"], "smtp": smtp})
        results = deliver(
            LETTER, config, now=NOW, outbox=Path("unused"), sleep=slept.append,
            on_result=lambda r: told.append((r.email, r.outcome)), on_wait=lambda n, s, why: waited.append((n, why)),
        )  # fmt: skip
    assert [r.outcome for r in results] == ["sent", outcome, "rejected"]
    assert [round(s) for s in slept] == waits
    assert told == [("a@b.c", "sent"), ("nobody@b.c", "rejected"), ("grey@b.c", outcome)]
    assert waited == [(1, "451 4.7.1 greylisted, try later")] * len(waits)
    assert handler.tries["nobody@b.c"] == handler.tries["a@b.c"] == 1
    assert len(handler.mails) == (2 if outcome == "sent" else 1)


def test_no_patience_means_one_try() -> None:
    patience = Patience(0, 15, sleep=lambda s: pytest.fail("slept"))
    assert patience.next_wait == 0
    patience.wait(True)
