"""Hostile names and values: paths, archives, mail headers, pages, spreadsheets, logs and terminals; rights of files."""

from __future__ import annotations

import csv
import email
import email.policy
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from datetime import datetime, timezone
from pathlib import Path

import pytest

from prefect_trackrecord.delivery import parse_config, run_delivery_report
from prefect_trackrecord.documents.layout import safe_part
from prefect_trackrecord.errors import ConfigFileError
from prefect_trackrecord.journal.plain import mask_text
from prefect_trackrecord.record import ThoughtfulRecord, configure_records_tracing, dump_records, pack_sharable_zip
from prefect_trackrecord.record.tracing import tracing
from prefect_trackrecord.tracking import RunMetadata, RunTracker, TrackingStorage

EVIL = (
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "{{ 7 * 191 }}", "=HYPERLINK(\"http://x\")",
    "+1+1", "-1+1", "@SUM(1)", "\tcmd", "a\r\nBcc: all@example.com", "\x1b[31mred\x1b[0m", "\x9b31m", "../../etc/passwd",  # noqa: E501
    "C:\\windows\\x", "\x00nul", "\u202egnp.exe", "'; DROP TABLE runs; --",
)  # fmt: skip


@pytest.fixture
def history(tmp_path):
    """A history all of whose names and messages are hostile."""
    storage = TrackingStorage(base_path=tmp_path / "history")
    for evil in EVIL:
        with RunTracker(evil, evil, evil, storage, tags=[evil], parameters={"x": evil}) as tracker:
            tracker.track_file(evil, "failed", error_type=evil, error_message=evil, file_type=evil)
            tracker.record_email_results({"failed": [{"email": "a@example.com", "agent_name": evil, "error": evil}]})
            tracker.metric(evil, 1)
            tracker.complete("failed", error_message=evil)
    return storage


@pytest.fixture
def mail(history, tmp_path):
    config = parse_config(
        {"title": "T\r\nBcc: all@example.com <script>alert(1)</script>", "window": "today", "sender": "r@example.com",
         "recipients": [{"email": "a@example.com", "name": "A <b>, \"c\""}],
         "attachments": ["page", "csv", "json"], "outbox": str(tmp_path / "outbox")}
    )  # fmt: skip
    run_delivery_report(config, now=datetime.now(timezone.utc), archive=history.archive)
    (path,) = (tmp_path / "outbox").glob("*.eml")
    return email.message_from_bytes(path.read_bytes(), policy=email.policy.default)


def test_no_file_lies_outside(history, tmp_path):
    assert {p.name for p in tmp_path.iterdir()} == {"history"}
    for path in (tmp_path / "history").rglob("*"):
        assert re.fullmatch(r"[\w.@+=-]+", path.name), path


def test_a_recipient_of_two_lines_is_refused():
    for evil in ({"email": "a@example.com", "name": "A\nBcc: x@example.com"}, "a@example.com\r\nBcc: x@example.com"):
        with pytest.raises(ConfigFileError):
            parse_config({"title": "T", "recipients": [evil]})


def test_headers_are_those_that_were_meant(mail):
    assert mail["Bcc"] is None
    assert mail.get_all("To") == [mail["To"]]
    assert set(mail.keys()) <= {
        "From", "To", "Cc", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Reply-To", "Auto-Submitted",  # noqa: E501
        "In-Reply-To", "References", "Content-Transfer-Encoding", "List-Id", "X-Auto-Response-Suppress", "Precedence",
    }  # fmt: skip


def test_pages_hold_no_tag_of_others(mail):
    for part in mail.walk():
        if part.get_content_type() == "text/html":
            page = part.get_content()
            assert "<script>alert(1)" not in page
            assert "<img src=x" not in page
            assert "1337" not in re.sub(r"\d{5,}", "", page), "7 * 191 was computed"


def test_cells_are_no_formulas(mail):
    (table,) = [p for p in mail.walk() if (p.get_filename() or "").endswith(".csv")]
    text = table.get_payload(decode=True).decode("utf-8-sig")
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert any("HYPERLINK" in cell for cell in cells)
    for cell in cells:
        number = re.fullmatch(r"[+-]?[\d.,]+%?", cell)
        assert number or not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell


@pytest.mark.parametrize("command", [("runs", "list"), ("files", "failed"), ("runs", "list", "--json")], ids=" ".join)
def test_terminals_are_not_steered(history, command):
    done = subprocess.run(
        [sys.executable, "-m", "prefect_trackrecord", *command, "--storage", history.url],
        capture_output=True, check=True,
    )  # fmt: skip
    printed = (done.stdout + done.stderr).decode()
    assert "alert(1)" in printed
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", printed.replace("\r\n", "\n") if "--json" not in command  # noqa: E501
                         else re.sub(r"[\x7f-\x9f\u202e]", "", printed))  # fmt: skip


def test_logs_have_a_line_for_each_event(history):
    for path in Path(history.url).rglob("journal/**/*.ndjson"):
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
            assert isinstance(json.loads(line), dict)


def test_an_errors_message_forges_no_log_line(tmp_path, caplog):
    archive = TrackingStorage(base_path=tmp_path / "history").archive
    archive.not_stored("r", OSError("disk full\n2026-11-20 ERROR root: pay 1,000 to eve\x1b[2J"))
    (line,) = [r.getMessage() for r in caplog.records if r.name == "prefect_trackrecord"]
    assert "disk full\\n2026-11-20" in line
    assert line.isprintable()


def test_archives_unpack_where_they_are_told(tmp_path):
    class Thing(ThoughtfulRecord):
        id: str

    tracing.reset()
    configure_records_tracing(tmp_path / "r", process_name="../../up", run_id="/etc/passwd")
    for n, evil in enumerate(EVIL):
        Thing(id=f"{n}{evil}").log_trace(evil, reason=evil)
    dump_records()
    pack_sharable_zip(tmp_path / "x.zip")
    tracing.reset()
    assert {p.name for p in tmp_path.iterdir()} == {"r", "x.zip"}
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        for name in archive.namelist():
            assert not name.startswith(("/", "..")), name
            assert ".." not in name.split("/")
        page = archive.read("records_report.html").decode()
    assert "<script>alert(1)" not in page
    assert "Content-Security-Policy" in page


@pytest.mark.parametrize("evil", [*EVIL, "", " ", "/", "..."])
def test_parts_of_keys_are_plain(evil):
    part = safe_part(evil)
    assert re.fullmatch(r"[\w.@+= -]+", part)
    assert part not in {".", ".."}
    assert safe_part("../../etc/passwd") != safe_part("..-..-etc-passwd")


def test_a_saved_run_with_a_hostile_id_stays_inside(tmp_path):
    storage = TrackingStorage(base_path=tmp_path / "history")
    storage.save_run_metadata(
        RunMetadata(run_id="../../../outside", command="x", started_at=datetime.now(timezone.utc))
    )
    assert {p.name for p in tmp_path.iterdir()} == {"history"}
    assert [run.run_id for run in storage.list_runs()] == ["../../../outside"]


def test_yaml_makes_no_objects(tmp_path):
    from prefect_trackrecord.delivery import load_config

    path = tmp_path / "report.yaml"
    path.write_text("title: !!python/object/apply:os.system ['touch pwned']\n")
    with pytest.raises(ConfigFileError):
        load_config(path)
    assert not Path("pwned").exists()


def test_a_template_reads_no_file_outside_of_its_folder(tmp_path):
    from prefect_trackrecord.errors import TemplateError
    from prefect_trackrecord.pages.own_templates import render_own

    folder = tmp_path / "templates"
    (folder / "parts").mkdir(parents=True)
    (tmp_path / "secret").write_text("hunter22")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_text("hunter22")
    (folder / "link.html").symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(tmp_path / "outside")
    (folder / "parts" / "real.html").write_text("inside")
    (folder / "inner.html").symlink_to("parts/real.html")
    archive = TrackingStorage(base_path=tmp_path / "history").archive
    config = parse_config({"title": "x", "window": "today"})
    report = run_delivery_report(config, now=datetime.now(timezone.utc), archive=archive).report
    template = folder / "own.html"
    for name in ("link.html", "linked/x", "../secret"):
        template.write_text(f"{{% include '{name}' %}}")
        with pytest.raises(TemplateError, match="there is no template"):
            render_own(report, template, "html")
    template.write_text("{% include 'inner.html' %}, {% include 'parts/real.html' %}")
    assert render_own(report, template, "html") == "inside, inside"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("postgres://u:hunter22@h/db", "postgres://u:********@h/db"),
        ("https://h/?a=1&sig=hunter22", "https://h/?a=1&sig=********"),
        ("Authorization: Bearer hunter22xyz", "Authorization: Bearer ********"),
        ("{'Authorization': 'Basic aHVudGVyMjI='}", "{'Authorization': 'Basic ********'}"),
        ("refused (Bearer eyJhbGciOi1)", "refused (Bearer ********)"),
        ("host=db password=hunter22 user=x", "host=db password=******** user=x"),
        ("AccountName=a;AccountKey=aHVudGVy;x=1", "AccountName=a;AccountKey=********;x=1"),
        ("connect(password='hunter22')", "connect(password='********')"),
        ("the bearer of this letter; a=b", "the bearer of this letter; a=b"),
        ("unexpected token: foo", "unexpected token: foo"),
        ("tokens=3 monkey=5", "tokens=3 monkey=5"),
    ],
)
def test_what_is_masked_in_texts(text, kept):
    assert mask_text(text) == kept


@pytest.mark.skipif(os.name == "nt", reason="there are no such rights")
@pytest.mark.parametrize(("mask", "wider"), [(0o077, 0o077), (0o022, 0o022)], ids=["077", "022"])
def test_nothing_is_wider_than_the_umask(tmp_path, mask, wider):
    """A private history is one `umask 077` away, and mails in the outbox are private anyway."""
    from prefect_trackrecord.cli.app import run

    before = os.umask(mask)
    try:
        assert run(["demo", "--output", str(tmp_path / "demo")]) == 0
    finally:
        os.umask(before)
        tracing.reset()
    modes = {p: p.stat().st_mode & 0o777 for p in (tmp_path / "demo").rglob("*") if "modules" not in p.parts}
    assert len(modes) > 20
    assert not [p for p, mode in modes.items() if mode & wider]
    assert {mode for p, mode in modes.items() if p.suffix == ".eml"} == {0o600}
