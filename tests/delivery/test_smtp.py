"""Real SMTP servers on loopback: what each recipient got, and what we say of it, agree."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from servers import Handler, free_port, make_certificate, raw_server, smtp_server

from prefect_trackrecord.delivery import Letter, Mailer, SmtpServer, deliver, parse_config
from prefect_trackrecord.documents.models import EmailResult

NOW = datetime(2025, 1, 27, 7, tzinfo=timezone.utc)
LETTER = Letter(subject="ünd", text=".\n..dots\nFrom x\n", html="<p>.</p>", report="voice", period="p1")


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def plain(handler: Handler) -> Iterator[int]:
    with smtp_server(handler) as port:
        yield port


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def send(port: int, *who: str, outbox: Path = Path("unused"), **smtp: Any) -> list[EmailResult]:
    settings = {"host": "127.0.0.1", "port": port, "security": "none", "timeout": 5, "retry_for": 0, **smtp}
    config = parse_config(
        {"sender": "reports@example.com", "recipients": [f"{w}@example.com" for w in who], "smtp": settings}
    )
    return deliver(LETTER, config, now=NOW, outbox=outbox)


def outcomes(results: list[EmailResult]) -> list[tuple[str, str | None]]:
    return [(r.status, r.outcome) for r in results]


def got(handler: Handler) -> list[str]:
    return [address.split("@")[0] for _, to, _ in handler.mails for address in to]


def test_everybody_gets_one_mail_over_one_session(handler: Handler, plain: int) -> None:
    results = send(plain, "a", "b", "c")
    assert outcomes(results) == [("sent", "sent")] * 3
    assert got(handler) == ["a", "b", "c"]
    assert len(handler.sessions) == 1
    for (sender, _, raw), result in zip(handler.mails, results):
        mail = message_from_bytes(raw, policy=policy.default)
        assert sender == "reports@example.com"
        assert mail["Message-ID"] == result.message_id
        assert mail["To"] == result.email
        (text, _) = mail.iter_parts()
        assert text.get_content().splitlines() == LETTER.text.splitlines()


def test_each_recipient_gets_the_true_word(handler: Handler, plain: int) -> None:
    """Sent, deferred, rejected and unknown side by side; a drop in the data does not touch the next."""
    who = ("a", "nobody", "later", "b", "full", "spam", "drop", "c")
    results = send(plain, *who)
    assert dict(zip(who, outcomes(results))) == {
        "a": ("sent", "sent"),
        "nobody": ("failed", "rejected"),
        "later": ("failed", "deferred"),
        "b": ("sent", "sent"),
        "full": ("failed", "deferred"),
        "spam": ("failed", "rejected"),
        "drop": ("failed", "unknown"),
        "c": ("sent", "sent"),
    }
    assert got(handler) == ["a", "b", "c"]
    reasons = {r.email: r.reason for r in results}
    assert reasons["nobody@example.com"] == "550 5.1.1 no such user"
    assert reasons["later@example.com"] == "451 4.7.1 greylisted, try later"
    assert reasons["spam@example.com"] == "554 5.7.1 looks like spam"
    assert reasons["drop@example.com"] == f"127.0.0.1:{plain}: the connection was lost"
    assert reasons["a@example.com"] is None


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_tls_with_a_certificate_of_ones_own(handler: Handler, certificate: Any, security: str) -> None:
    context, ca_file = certificate
    with smtp_server(handler, context=context, ssl_only=security == "ssl") as port:
        assert outcomes(send(port, "a", security=security, ca_file=str(ca_file))) == [("sent", "sent")]
        assert handler.tls == [True]
        (refused,) = send(port, "b", security=security)
        assert (refused.status, refused.outcome) == ("failed", "rejected")
        assert "certificate is refused: self-signed certificate" in (refused.reason or "")
        assert outcomes(send(port, "c", security=security, verify=False)) == [("sent", "sent")]
    assert got(handler) == ["a", "c"]


def test_a_certificate_of_another_name_is_refused(handler: Handler, tmp_path: Path) -> None:
    context, ca_file = make_certificate(tmp_path, "other.example.com")
    with smtp_server(handler, context=context) as port:
        (result,) = send(port, "a", security="starttls", ca_file=str(ca_file))
    assert result.outcome == "rejected"
    assert "mismatch" in (result.reason or "")
    assert got(handler) == []


def test_no_mail_goes_in_clear_where_starttls_is_asked_for(handler: Handler, plain: int) -> None:
    (result,) = send(plain, "a", security="starttls")
    assert (result.status, result.outcome) == ("failed", "rejected")
    assert "STARTTLS" in (result.reason or "")
    assert got(handler) == []


def test_login(handler: Handler) -> None:
    with smtp_server(handler, auth=True) as port:
        assert outcomes(send(port, "a", username="me", password="hush")) == [("sent", "sent")]
        (wrong,) = send(port, "b", username="me", password="wrong-secret")
        assert (wrong.outcome, (wrong.reason or "")[:3]) == ("rejected", "535")
        assert "wrong-secret" not in str(wrong)
        (without,) = send(port, "c")
        assert (without.outcome, (without.reason or "")[:3]) == ("rejected", "530")
    assert got(handler) == ["a"]


def test_login_where_the_server_has_none(handler: Handler, plain: int) -> None:
    (result,) = send(plain, "a", username="me", password="hush")
    assert result.outcome == "rejected"
    assert got(handler) == []


def test_a_silent_server_costs_one_timeout_for_all() -> None:
    with raw_server(lambda s: time.sleep(20)) as port:
        began = time.monotonic()
        results = send(port, *"abcdefgh", timeout=0.5)
        assert time.monotonic() - began < 3
    assert outcomes(results) == [("failed", "deferred")] * 8
    assert "no answer in time" in (results[0].reason or "")


def test_a_server_that_hangs_in_the_data_is_given_up_after_some(handler: Handler, plain: int) -> None:
    began = time.monotonic()
    results = send(plain, *["hang"], timeout=0.5)
    assert outcomes(results) == [("failed", "unknown")]
    config = parse_config(
        {
            "sender": "r@example.com",
            "recipients": [f"hang@{n}.example.com" for n in range(6)],
            "smtp": {"host": "127.0.0.1", "port": plain, "security": "none", "timeout": 0.4, "retry_for": 0},
        }
    )
    many = deliver(LETTER, config, now=NOW, outbox=Path("unused"))
    assert [o for _, o in outcomes(many)] == ["unknown"] * 3 + ["deferred"] * 3
    assert "not tried" in (many[-1].reason or "")
    assert time.monotonic() - began < 8


def test_nobody_listens() -> None:
    results = send(free_port(), "a", "b")
    assert outcomes(results) == [("failed", "deferred")] * 2
    assert "refused" in (results[0].reason or "")


def test_a_host_that_is_not_there() -> None:
    config = {
        "sender": "r@x.y",
        "recipients": "a@b.c",
        "smtp": {"host": "no.such.host.invalid", "timeout": 5, "retry_for": 0},
    }
    (result,) = deliver(LETTER, parse_config(config), now=NOW, outbox=Path("unused"))
    assert (result.status, result.outcome) == ("failed", "deferred")


def _says(*lines: bytes) -> Any:
    def answer(connection: socket.socket) -> None:
        for line in lines:
            connection.sendall(line)
            connection.recv(4096)

    return answer


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        ([b"554 go away\r\n"], "rejected"),
        ([b"421 too busy\r\n"], "deferred"),
        ([b"220 hi\r\n"], "deferred"),
        ([b"220 hi\r\n", b"250 ok\r\n", b"451 not you now\r\n"], "deferred"),
        ([b"220 hi\r\n", b"250 ok\r\n", b"550 bad sender\r\n"], "rejected"),
        ([b"220 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n"], "deferred"),
        ([b"220 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"451 no data\r\n"], "deferred"),
        ([b"220 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"], "unknown"),
        ([b"220 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"421 bye\r\n"], "deferred"),
        ([b"220 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"what?\r\n"], "unknown"),
        ([b"220 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"554 no\r\n"], "rejected"),
        ([b"\x00\xff garbage\r\n" * 9], "rejected"),
    ],
)
def test_every_moment_of_a_refusal_or_a_loss(lines: list[bytes], outcome: str) -> None:
    with raw_server(_says(*lines)) as port:
        (result,) = send(port, "a", timeout=2)
    assert (result.status, result.outcome) == ("failed", outcome)
    assert result.reason


def test_the_dots_are_doubled_and_lines_ended() -> None:
    """On the wire itself, not by the client's own account."""
    wire: list[bytes] = []

    def record(connection: socket.socket) -> None:
        connection.sendall(b"220 hi\r\n")
        stream = connection.makefile("rb")
        for line in stream:
            if line.upper().startswith((b"EHLO", b"MAIL", b"RCPT", b"RSET")):
                connection.sendall(b"250 ok\r\n")
            elif line.upper().startswith(b"DATA"):
                connection.sendall(b"354 go\r\n")
                while (data := stream.readline()) != b".\r\n":
                    wire.append(data)
                connection.sendall(b"250 taken\r\n")
            else:
                connection.sendall(b"221 bye\r\n")
                return

    server = SmtpServer("127.0.0.1", 0, "none", timeout=5)
    with raw_server(record) as port, Mailer(SmtpServer(**{**server.__dict__, "port": port})) as mailer:
        assert mailer.send(b"A: b\n\n.one\r\n..two\n.\nlast", "a@b.c", "d@e.f").outcome == "sent"
    assert wire == [b"A: b\r\n", b"\r\n", b"..one\r\n", b"...two\r\n", b"..\r\n", b"last\r\n"]


def test_a_password_is_not_shown() -> None:
    assert "hush" not in repr(SmtpServer("h", 25, password="hush"))
