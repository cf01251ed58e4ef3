"""The mail: deterministic, threaded, and nothing can be injected into it."""

from __future__ import annotations

from datetime import datetime, timezone
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_trackrecord.delivery import Attachment, Letter, Person, build_message, message_id

NOW = datetime(2025, 1, 27, 7, tzinfo=timezone.utc)
SENDER = Person(email="reports@example.com", name="Reports")
ZOE = Person(email="zoe@example.com", name="Zoë O'Hara, Esq.")


def letter(**fields: Any) -> Letter:
    plain = {"subject": "s", "text": "plain", "html": "<p>rich</p>", "report": "voice", "period": "p1"}
    return Letter(**{**plain, **fields})


def through_the_wire(mail: EmailMessage) -> EmailMessage:
    raw = mail.as_bytes()
    assert raw.isascii()
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    found = message_from_bytes(raw, policy=policy.default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    return found


def build(mail: Letter | None = None, recipient: Person = ZOE, **options: Any) -> EmailMessage:
    return through_the_wire(build_message(mail or letter(), recipient, sender=SENDER, date=NOW, **options))


def test_headers() -> None:
    mail = build(cc=[Person(email="boss@example.com")], reply_to=Person(email="help@example.com"))
    assert mail["Subject"] == "s"
    assert mail["From"] == "Reports <reports@example.com>"
    assert mail["To"].addresses[0].display_name == "Zoë O'Hara, Esq."
    assert mail["Cc"] == "boss@example.com"
    assert mail["Reply-To"] == "help@example.com"
    assert mail["Date"].datetime == NOW
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert mail["Bcc"] is None
    assert "Cc" not in build()
    assert "List-Unsubscribe" not in mail
    assert "In-Reply-To" not in mail
    listed = build(letter(unsubscribe="mailto:off@example.com"))
    assert listed["List-Unsubscribe"] == "<mailto:off@example.com>"


def test_a_follow_up_answers_the_mail_before_it_in_the_same_thread() -> None:
    first, second = build(letter(period="p1")), build(letter(period="p2", answers="p1"))
    assert second["In-Reply-To"] == first["Message-ID"]
    assert second["References"].split() == [first["References"], first["Message-ID"]]
    assert second["Message-ID"] != first["Message-ID"]


def test_the_same_input_gives_the_same_bytes() -> None:
    mail = letter(attachments=(Attachment("a.html", b"x"),))
    one, two = (build_message(mail, ZOE, sender=SENDER, date=NOW).as_bytes() for _ in range(2))
    assert one == two
    assert len([part for part in build(mail).walk() if part.is_multipart()]) == 2


def test_text_and_html_are_alternatives() -> None:
    mail = build(letter(text="größe 漢字\n.\n", html="<p>größe 🎉</p>"))
    assert mail.get_content_type() == "multipart/alternative"
    text, rich = mail.iter_parts()
    assert (text.get_content_type(), rich.get_content_type()) == ("text/plain", "text/html")
    assert text.get_content().splitlines() == ["größe 漢字", "."]
    assert rich.get_content().strip() == "<p>größe 🎉</p>"


def test_attachments_with_any_name() -> None:
    data = b"<html>\xff\x00"
    mail = build(letter(attachments=(Attachment("Bericht März\r\nX: y – 漢字.html", data), Attachment("a.zip", b"z"))))
    assert mail.get_content_type() == "multipart/mixed"
    first, second = mail.iter_attachments()
    assert first.get_filename() == "Bericht März X: y – 漢字.html"
    assert first.get_content_type() == "text/html"
    assert first.get_payload(decode=True) == data
    assert second.get_content_type() == "application/zip"
    assert mail["X"] is None


def test_a_resend_is_recognisable_and_reports_are_threads() -> None:
    one, again = build(), build(letter(subject="another", text="another"))
    assert one["Message-ID"] == again["Message-ID"]
    assert one["References"] == again["References"]
    others = [
        build(letter(period="p2")),
        build(letter(report="other")),
        build(recipient=Person(email="x@example.com")),
    ]
    assert len({m["Message-ID"] for m in [one, *others]}) == 4
    assert others[0]["References"] == one["References"] == others[2]["References"]
    assert others[1]["References"] != one["References"]
    assert message_id("r", "p", "A@B.c", "d") == message_id("r", "p", "a@b.c", "d")


@pytest.mark.parametrize(
    "subject",
    [
        "x\r\nBcc: victim@example.com",
        "x\nBcc: victim@example.com\n\nbody",
        "x\x00\x0b\x85\u2028Bcc: victim@example.com",
        "\u202egpj.exe",
        "\ud800 lone",
        "",
        "שלום עולם: 3 נכשלו 🎉",
        "🎉" * 300,
        "ü" * 500,
        "a" * 2000,
        "=?utf-8?q?=0D=0ABcc:_victim@example.com?=",
    ],
)
def test_subjects_can_not_inject(subject: str) -> None:
    mail = build(letter(subject=subject))
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]
    assert mail["Subject"]
    assert mail["To"].addresses[0].addr_spec == "zoe@example.com"


@settings(deadline=None)  # a busy machine is no error
@given(st.text(max_size=300))
def test_any_subject_is_one_header(subject: str) -> None:
    mail = build(letter(subject=subject))
    headers = {"subject", "from", "to", "date", "message-id", "references", "auto-submitted"}
    assert {name.lower() for name in mail} == headers | {
        "x-auto-response-suppress",
        "mime-version",
        "content-type",
    }


def test_a_right_to_left_subject_arrives_as_it_was() -> None:
    for subject in ("דוח: 3 נכשלו, 997 תקינים 🎉", "Größe — 日報 " * 6):
        assert build(letter(subject=subject))["Subject"] == " ".join(subject.split())


def test_a_person_can_not_inject() -> None:
    for name in ("x\r\nBcc: y@z.a", "x\ny", "\x00", "\u2028", "=?utf-8?q?=0D=0ABcc:_y@z.a?="):
        with pytest.raises(ValueError, match="line break"):
            Person(email="a@b.c", name=name)


def test_an_attachment_can_not_inject() -> None:
    mail = build(letter(attachments=(Attachment("=?utf-8?q?=0D=0ABcc:_y@z.a?=\r\nBcc: y@z.a.html", b"x"),)))
    (attachment,) = mail.iter_attachments()
    assert attachment["Bcc"] is None
    assert mail["Bcc"] is None


def test_a_mail_of_a_megabyte_keeps_its_lines_short() -> None:
    mail = build(letter(html="x" * 1_000_000, text="ü" * 100_000))
    rich = list(mail.iter_parts())[1]
    assert len(rich.get_content().strip()) == 1_000_000
