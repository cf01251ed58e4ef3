"""The public sender: true results per recipient, noted in the current run."""

from __future__ import annotations

from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from servers import Handler, smtp_server

from prefect_trackrecord.delivery import Email, send_emails
from prefect_trackrecord.errors import ConfigurationError, UsageError
from prefect_trackrecord.tracking import RunTracker, TrackingStorage

AGENT = {"email": "a@example.com", "name": "Agent One", "agent_id": 17}


@pytest.fixture
def storage(tmp_path: Path) -> TrackingStorage:
    return TrackingStorage(base_path=tmp_path / "history")


def mail(to: Any, **fields: Any) -> dict[str, Any]:
    return {"to": to, "subject": "Your calls", "text": "3 calls < 4\n", **fields}


def server(port: int) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, "security": "none", "timeout": 5, "retry_for": 0}


def test_each_result_is_in_the_current_run(storage: TrackingStorage, tmp_path: Path) -> None:
    handler = Handler()
    (tmp_path / "calls.csv").write_text("a,b\n")
    with smtp_server(handler) as port, RunTracker("report", storage=storage) as tracker:
        results = send_emails(
            [
                mail(AGENT, attachments=[tmp_path / "calls.csv"]),
                mail("nobody@example.com"),
                mail({"agent_id": "A3", "name": "Nobody Yet"}),
                Email(to="b@example.com", subject="x\r\nBcc: c@d.e", text="t", html="<b>t</b>", reply_to="h@x.y"),
                mail("drop@example.com"),
            ],
            sender="Reports <r@example.com>",
            smtp=server(port),
        )  # fmt: skip
    said = [("sent", "sent"), ("failed", "rejected"), ("skipped", None), ("sent", "sent"), ("failed", "unknown")]
    assert [(r.status, r.outcome) for r in results] == said
    run = storage.archive.run(tracker.run_id)
    assert [(r.status, r.outcome) for r in storage.archive.emails(run)] == said
    assert (run.emails_sent, run.emails_failed, run.emails_skipped) == (2, 2, 1)
    assert len(handler.sessions) <= 2
    first, second = (message_from_bytes(raw, policy=policy.default) for _, _, raw in handler.mails)
    assert first["To"] == "Agent One <a@example.com>"
    assert "3 calls &lt; 4" in first.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert [part.get_filename() for part in first.iter_attachments()] == ["calls.csv"]
    assert second["Bcc"] is None
    assert second["Reply-To"] == "h@x.y"
    assert first["Message-ID"] != second["Message-ID"]


def test_a_key_makes_it_once_in_a_run(storage: TrackingStorage) -> None:
    handler = Handler()
    with smtp_server(handler) as port, RunTracker("report", storage=storage) as tracker:
        for _ in range(2):
            send_emails([mail("a@example.com", key="calls"), mail("b@example.com")], sender="r@x.y", smtp=server(port))
        assert sorted(to[0] for _, to, _ in handler.mails) == ["a@example.com", "b@example.com", "b@example.com"]
    run = storage.archive.run(tracker.run_id)
    assert (run.emails_sent, run.emails_skipped) == (3, 0)
    with smtp_server(handler) as port, RunTracker("report", storage=storage):
        (result,) = send_emails([mail("a@example.com", key="calls")], sender="r@x.y", smtp=server(port))
    assert result.status == "sent"


def test_without_a_server_they_are_kept(storage: TrackingStorage, tmp_path: Path) -> None:
    with RunTracker("report", storage=storage):
        (kept,) = send_emails([mail("a@example.com")])
    assert kept.status == "skipped"
    assert len(list((tmp_path / "history" / "deliveries" / "outbox").iterdir())) == 1
    (outside,) = send_emails([mail("a@example.com")], outbox=tmp_path / "mails")
    assert outside.status == "skipped"
    assert len(list((tmp_path / "mails").iterdir())) == 1


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = Handler()
    with smtp_server(handler) as port:
        for name, value in {"HOST": "127.0.0.1", "PORT": str(port), "SECURITY": "none"}.items():
            monkeypatch.setenv(f"TRACKRECORD_SMTP_{name}", value)
        with pytest.raises(ConfigurationError, match="sender is missing"):
            send_emails([mail("a@example.com")])
        (result,) = send_emails([mail("a@example.com", sender="r@x.y")])
    assert (result.status, handler.mails[0][0]) == ("sent", "r@x.y")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (mail("not-an-address"), "message 2 is no mail: to.*is no email address"),
        (mail("a@b.c\r\nBcc: x@y.z"), "message 2 is no mail: to"),
        ({"to": "a@b.c", "text": "t"}, "message 2 is no mail: subject"),
        (mail("a@b.c", attachments=[Path("/no/such/file")]), "attachment /no/such/file can't be read"),
        (mail("a@b.c", colour="red"), "message 2 is no mail: colour"),
    ],
)
def test_what_is_no_mail_is_told_before_any_is_sent(bad: Any, says: str) -> None:
    handler = Handler()
    with smtp_server(handler) as port:
        with pytest.raises(UsageError, match=says):
            send_emails([mail("ok@example.com"), bad], sender="r@x.y", smtp=server(port))
        assert handler.mails == []
