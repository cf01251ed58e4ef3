"""Stores that older code wrote are read by today's: every version's folder, and T-Record's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from prefect_trackrecord.tracking import FileStatus, RunStatus, TrackingStorage

HERE = Path(__file__).parent
VERSIONS = sorted(path.name for path in HERE.glob("v*"))
RUN = "00000000-0000-4000-8000-000000000001"


@pytest.fixture(params=VERSIONS)
def old(request, tmp_path):
    """A copy of an old store."""
    shutil.copytree(HERE / request.param, tmp_path / "history")
    return tmp_path / "history"


def check_run(storage):
    (run,) = [r for r in storage.list_runs("2026-11-20", "2026-11-20") if r.role is None]
    assert not storage.damaged
    assert (run.run_id, run.command, run.status) == (RUN, "book", RunStatus.PARTIAL_SUCCESS)
    assert (run.total_files, run.success_count, run.failed_count, run.skipped_count) == (3, 1, 1, 1)
    assert (run.metrics, run.tags, run.parameters["folder"]) == ({"rows_loaded": 1041.0}, ["prod"], "in")
    rows = {row.file_path: row for row in storage.archive.files(run)}
    assert rows["in/2.csv"].status is FileStatus.FAILED
    assert len(rows["in/2.csv"].attempts) == 2
    assert rows["in/3.csv"].reason == "empty"
    assert [e.status for e in storage.archive.emails(run)] == ["sent", "skipped"]
    return run


def test_documents_are_read(old):
    check_run(TrackingStorage(base_path=old))


def test_documents_are_made_again_from_an_old_journal(old):
    """The journal alone is enough, whatever has become of the documents."""
    for folder in ("run_metadata", "file_logs", "email_logs"):
        shutil.rmtree(old / folder)
    for seal in (old / "journal" / RUN).glob("[sd][eo]*"):
        seal.unlink()
    storage = TrackingStorage(base_path=old)
    from prefect_trackrecord.documents.seal import utc_now

    storage.archive.seal(RUN, now=utc_now())
    check_run(storage)


def test_records_are_read(old, monkeypatch):
    from prefect_trackrecord.record import load_records, record_history

    (entry,) = load_records(old / "records" / "book" / RUN)
    assert (entry.record_id, entry.status, entry.record_type) == ("INV-1041", "Completed", "Invoice")
    assert [trace.action for trace in entry.traces] == ["Initialize record", "Total fixed"]
    assert entry.traces[1].dict_updates["total"] == {"from": 7.0, "to": 12.0}
    assert (old / "records" / "book" / RUN / entry.traces[1].image).is_file()
    (told,) = record_history("INV-1041", old / "records")
    assert told.run_id == RUN


def test_the_ledger_still_knows_who_has_it(old, monkeypatch):
    from datetime import datetime, timezone

    from prefect_trackrecord.delivery import parse_config, run_delivery_report

    config = parse_config({"title": "Old", "date_from": "2026-11-20", "date_to": "2026-11-20", "sender": "r@example.com",  # noqa: E501
                           "recipients": ["a@example.com"],
                           "smtp": {"host": "127.0.0.1", "port": 9, "security": "none", "retry_for": 0}})  # fmt: skip
    storage = TrackingStorage(base_path=old)
    done = run_delivery_report(config, now=datetime(2026, 11, 22, tzinfo=timezone.utc), archive=storage.archive)
    assert [(r.status, r.outcome) for r in done.emails] == [("skipped", "sent")]


def test_incidents_are_read(old):
    from prefect_trackrecord.delivery.incident_log import read_state

    state, etag = read_state(TrackingStorage(base_path=old).archive.store, "book")
    assert etag is not None
    assert state.flow == "book"
    assert state.seen


def test_every_document_says_its_version(old):
    found = 0
    for path in old.rglob("*.json"):
        body = json.loads(path.read_text())
        for one in body if isinstance(body, list) else [body]:
            assert set(one) & {"schema_version", "format", "version"}, path
            found += 1
    for path in old.rglob("*.ndjson"):
        assert json.loads(path.read_text().splitlines()[0])["format"] == 1
        found += 1
    assert found > 8


def test_a_store_of_t_record_0_3_2_on_the_command_line(tmp_path, capsys, monkeypatch):
    """As that package wrote it; tests/record tells more of it."""
    from prefect_trackrecord.cli.app import run

    theirs = Path(__file__).parents[1] / "record" / "t_record_0_3_2"
    folder = tmp_path / "records_folder" / "process_name" / "run_id"
    shutil.copytree(theirs, folder)
    ids = list(json.loads((folder / "records_logs.json").read_text())["data"])
    monkeypatch.chdir(tmp_path)
    assert run(["records", "show", ids[0], "--folder", "records_folder", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["record"]["record_id"] == ids[0]
    assert run(["records", "report", "run_id", "--folder", "records_folder", "--output", "page.html"]) == 0
    page = (tmp_path / "page.html").read_text()
    assert all(one in page for one in ids)


def test_a_schema_is_published_for_every_document_and_fits_the_old_ones(old):
    jsonschema = pytest.importorskip("jsonschema")
    schemas = Path(__file__).parents[2] / "docs" / "reference" / "schemas"
    kinds = {
        "run_metadata": "run_metadata/**/*.json", "file_logs": "file_logs/**/*.json", "email_logs": "email_logs/**/*.json",  # noqa: E501
        "records_logs": "records/**/records_logs.json", "seal": "journal/**/seal-*.json",
        "incidents": "deliveries/incidents/*.json", "delivery": "deliveries/old/**/*.json",
    }  # fmt: skip
    for kind, pattern in kinds.items():
        schema = json.loads((schemas / f"{kind}.schema.json").read_text())
        paths = list(old.glob(pattern))
        assert paths, kind
        for path in paths:
            jsonschema.validate(json.loads(path.read_text()), schema)
    event = json.loads((schemas / "event.schema.json").read_text())
    for path in old.rglob("*.ndjson"):
        for line in path.read_text().splitlines():
            jsonschema.validate(json.loads(line), event)
