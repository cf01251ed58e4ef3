"""The whole way: tracked runs in a real store, report, page and text in it, mails out, results recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from servers import Handler, smtp_server

from prefect_trackrecord.delivery import parse_config, run_delivery_report
from prefect_trackrecord.delivery.outbox import keep
from prefect_trackrecord.errors import ConfigFileError, DateRangeError, DeliveryError, StoreUnavailableError
from prefect_trackrecord.tracking import RunTracker, TrackingStorage


@pytest.fixture
def storage(tmp_path: Path) -> TrackingStorage:
    """Two runs of one flow: the second has a file mended, one newly broken, one broken still."""
    storage = TrackingStorage(base_path=tmp_path / "history")
    _run(storage, {"lib/a.py": None, "lib/b.py": "invalid syntax", "lib/c.py": "bad coding", "lib/d.py": None})
    _run(storage, {"copy/a.py": "unexpected indent", "copy/b.py": None, "copy/c.py": "bad coding"})
    return storage


def _run(storage: TrackingStorage, files: dict[str, str | None], command: str = "check") -> None:
    with RunTracker(command, storage=storage) as tracker:
        for path, error in files.items():
            if error:
                tracker.track_file(path, "failed", error_type="SyntaxError", error_message=error)
            else:
                tracker.track_file(path, "success")


def now() -> datetime:
    return datetime.now(timezone.utc)


def config(**fields: Any) -> Any:
    people = {"recipients": ["Ops <ops@example.com>", {"agent_id": "A3", "name": "Nobody"}], "cc": "boss@example.com"}
    return parse_config({"title": "Voice", "window": "today", **people, **fields})


def mail_in(path: Path) -> EmailMessage:
    mail = message_from_bytes(path.read_bytes(), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def test_without_a_mail_server_the_mails_are_in_the_outbox(storage: TrackingStorage) -> None:
    told: list[str] = []
    found = run_delivery_report(config(), now=now(), archive=storage.archive, progress=told.append)
    root = storage.archive.store.local_root
    assert root is not None
    assert found.outbox == root / "deliveries" / "outbox"
    assert [(r.email, r.agent_id, r.status) for r in found.emails] == [
        ("ops@example.com", None, "skipped"),
        (None, "A3", "skipped"),
        ("boss@example.com", None, "skipped"),
    ]
    assert found.emails[1].reason == "No email configured"
    files = sorted(found.outbox.iterdir())
    assert len(files) == 2
    assert [f.suffix for f in files] == [".eml", ".eml"]
    assert found.emails[0].reason == f"kept in the outbox: {files[1]}"
    mail = mail_in(files[1])
    assert mail["To"] == "Ops <ops@example.com>"
    assert mail["Cc"] == "boss@example.com"
    assert mail["Subject"] == found.rendered.subject
    assert mail["Message-ID"] == found.emails[0].message_id
    assert mail_in(files[0])["To"] == "Ops <ops@example.com>"
    text, rich = (part.get_content() for part in mail.iter_parts())
    assert text.splitlines() == found.rendered.text.splitlines()
    assert rich.split() == found.rendered.email.split()
    assert told[0].startswith("read 2 runs of")
    assert told[-1].startswith("boss@example.com: skipped")


def test_the_first_mail_tells_new_recurring_and_fixed_apart(storage: TrackingStorage) -> None:
    found = run_delivery_report(config(), now=now(), archive=storage.archive)
    states = {g.example_message: g.state for g in found.report.groups.items}
    assert states == {"unexpected indent": "new", "bad coding": "recurring", "invalid syntax": "fixed"}
    changes = {f.path: f.state for f in found.report.files.items}
    assert changes == {"copy/a.py": "new", "copy/c.py": "again", "lib/b.py": "fixed"}
    assert found.rendered.subject.startswith("Voice: 4 failed, 3 ok - ")


def test_the_page_and_the_text_are_in_the_store(storage: TrackingStorage) -> None:
    found = run_delivery_report(config(base_url="https://files.example.com/h/"), now=now(), archive=storage.archive)
    day = found.report.period.end
    key = f"reports/{day:%Y/%m/%d}/voice-{day}--{day}"
    assert (found.stored.page_key, found.stored.text_key) == (f"{key}.html", f"{key}.txt")
    assert found.stored.page_path is not None
    assert found.stored.page_path.read_text(encoding="utf-8") == found.rendered.page
    assert found.stored.text_path is not None
    assert found.stored.text_path.read_text(encoding="utf-8") == found.rendered.text
    assert found.stored.page_url == f"https://files.example.com/h/{key}.html"
    assert found.stored.page_url in found.rendered.text
    assert found.stored.page_url in found.rendered.email


def test_a_second_delivery_overwrites_and_is_recognisable(storage: TrackingStorage) -> None:
    first = run_delivery_report(config(), now=now(), archive=storage.archive)
    second = run_delivery_report(config(), now=now(), archive=storage.archive)
    assert [r.message_id for r in first.emails] == [r.message_id for r in second.emails]
    assert first.outbox is not None
    assert len(list(first.outbox.iterdir())) == 2


def test_its_own_run_is_tracked_and_left_out_of_the_next_report(storage: TrackingStorage) -> None:
    with RunTracker("delivery-report", storage=storage, role="report") as tracker:
        run_delivery_report(config(), now=now(), archive=storage.archive, tracker=tracker)
    run = storage.archive.run(tracker.run_id)
    assert (run.role, run.emails_skipped) == ("report", 3)
    assert {r.email for r in storage.archive.emails(run)} == {"ops@example.com", "boss@example.com", None}
    after = run_delivery_report(config(), now=now(), archive=storage.archive)
    assert after.report.figure("runs").value == 2
    assert after.report.undelivered.total == 0
    assert after.report.reports_left_out == 1


def test_over_smtp_with_a_refusal_the_log_says_what_each_got(storage: TrackingStorage) -> None:
    handler = Handler()
    with smtp_server(handler) as port, RunTracker("delivery-report", storage=storage, role="report") as tracker:
        settings = config(
            recipients=["a@example.com", "nobody@example.com", "later@example.com", "A@example.com"],
            cc=[],
            sender="reports@example.com",
            smtp={"host": "127.0.0.1", "port": port, "security": "none", "retry_for": 0},
            attach_page=True,
        )
        found = run_delivery_report(settings, now=now(), archive=storage.archive, tracker=tracker)
    assert [to for _, to, _ in handler.mails] == [["a@example.com"]]
    log = {r.email: (r.status, r.outcome) for r in storage.archive.emails(storage.archive.run(tracker.run_id))}
    assert log == {
        "a@example.com": ("sent", "sent"),
        "nobody@example.com": ("failed", "rejected"),
        "later@example.com": ("failed", "deferred"),
    }
    assert found.outbox is None
    mail = message_from_bytes(handler.mails[0][2], policy=policy.default)
    (attachment,) = mail.iter_attachments()
    assert attachment.get_filename() == found.stored.page_key.rsplit("/", 1)[-1]
    assert attachment.get_payload(decode=True) == found.rendered.page.encode()


def test_a_missing_password_is_told_before_any_work(storage: TrackingStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_PASSWORD", raising=False)
    smtp = {"host": "h", "username": "u@example.com", "password_env": "NO_SUCH_PASSWORD"}
    with pytest.raises(ConfigFileError, match="NO_SUCH_PASSWORD"):
        run_delivery_report(config(smtp=smtp), now=now(), archive=storage.archive)
    assert not list((storage.archive.store.local_root or Path()).glob("reports/**/*.html"))


def test_dates_include_both_ends_in_the_zone_of_the_report(storage: TrackingStorage) -> None:
    today = now().date()
    found = run_delivery_report(
        config(), date_from=str(today - timedelta(days=3)), date_to=str(today), now=now(), archive=storage.archive
    )
    assert found.report.figure("runs").value == 2
    tomorrow = str(today + timedelta(days=1))
    later = run_delivery_report(config(), date_from=tomorrow, date_to=tomorrow, now=now(), archive=storage.archive)
    assert later.report.verdict.level == "empty"
    with pytest.raises(DateRangeError):
        run_delivery_report(config(), date_from=tomorrow, date_to=str(today), now=now(), archive=storage.archive)


def test_a_store_that_cannot_be_written_does_not_keep_the_mail(
    storage: TrackingStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(key: str, data: bytes) -> str:
        raise StoreUnavailableError("no space left")

    monkeypatch.setattr(storage.archive.store, "put", full, raising=True)
    found = run_delivery_report(config(outbox=str(tmp_path / "mails")), now=now(), archive=storage.archive)
    assert found.stored.error == "the report could not be stored: no space left"
    assert found.problems == (found.stored.error,)
    assert len(list((tmp_path / "mails").iterdir())) == 2


def test_damaged_documents_are_named_and_the_rest_is_reported(storage: TrackingStorage) -> None:
    root = storage.archive.store.local_root or Path()
    (root / f"run_metadata/{now():%Y/%m/%d}/bad.json").write_text("[]")
    found = run_delivery_report(config(), now=now(), archive=storage.archive)
    assert found.report.figure("runs").value == 2
    assert [u.key for u in found.report.unread.items] == [f"run_metadata/{now():%Y/%m/%d}/bad.json"]
    assert "bad.json" in found.rendered.text


def test_a_subject_that_fails_is_replaced_and_told(storage: TrackingStorage) -> None:
    found = run_delivery_report(config(subject="{{ no_such }}"), now=now(), archive=storage.archive)
    assert found.rendered.subject == "Voice: 4 failed, 3 ok"
    assert "no_such" in found.problems[0]
    good = run_delivery_report(
        config(subject="[{{ level }}] {{ report.title }} {{ date_to }}"), now=now(), archive=storage.archive
    )
    assert good.rendered.subject == f"[warn] Voice {now().date()}"


def test_filters_leave_runs_out(storage: TrackingStorage) -> None:
    _run(storage, {"x": "boom"}, command="other")
    found = run_delivery_report(config(filters={"command": "oth*"}), now=now(), archive=storage.archive)
    assert (found.report.figure("runs").value, found.report.figure("files").value) == (1, 1)
    assert found.report.reports_left_out == 0


def test_the_configured_storage_is_used(storage: TrackingStorage) -> None:
    found = run_delivery_report(config(storage=str(storage.archive.store.local_root)), now=now())
    assert found.report.figure("runs").value == 2


def test_an_outbox_that_cannot_be_written_is_a_failed_mail(storage: TrackingStorage, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = run_delivery_report(config(outbox=str(tmp_path / "file")), now=now(), archive=storage.archive)
    assert [r.status for r in found.emails] == ["failed", "skipped", "failed"]
    assert "can't be written" in (found.emails[0].reason or "")


def test_a_mail_is_kept_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = keep(tmp_path, "a.eml", b"one")
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DeliveryError, match="No space left"):
        keep(tmp_path, "a.eml", b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_the_whole_way_needs_no_prefect() -> None:
    code = (
        "import sys, prefect_trackrecord.delivery, prefect_trackrecord.pages.delivery_report;"
        "sys.exit('prefect' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
