"""Hostile bytes for whatever reads: journal, documents, configuration, addresses. Longer: `TRACKRECORD_FUZZ=20000`."""

from __future__ import annotations

import json
import os

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prefect_trackrecord import events as ev
from prefect_trackrecord.delivery import check_address, parse_config
from prefect_trackrecord.documents.models import FileProcessingLog, RunMetadata
from prefect_trackrecord.errors import ConfigurationError, DamagedDocumentError, TrackRecordError
from prefect_trackrecord.events import decode, encode
from prefect_trackrecord.journal.reader import SegmentReader
from prefect_trackrecord.record import document
from prefect_trackrecord.store import parse_url

EXAMPLES = int(os.environ.get("TRACKRECORD_FUZZ", "0"))
fuzz = settings(
    max_examples=EXAMPLES or 60, derandomize=not EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck)
)

MOMENT = ev.datetime(2026, 11, 20, tzinfo=ev.datetime.now().astimezone().tzinfo)
GOOD = b"".join(
    encode(ev.FileTracked(at=MOMENT, row={"file_path": f"{n}.wav", "status": "failed", "error_message": "x" * n}))
    for n in range(20)
)
RUN = json.dumps({"run_id": "r", "command": "x", "started_at": "2026-11-20T00:00:00Z", "email_results": [{}]}).encode()
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def torn(draw, whole: bytes):
    """`whole` with some bytes changed, cut out or put in."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        how = draw(st.sampled_from("xic"))
        if how == "x" and data:
            data[at] = draw(st.integers(0, 255))
        elif how == "i":
            data[at:at] = draw(st.binary(max_size=12))
        else:
            del data[at : at + draw(st.integers(1, 40))]
    return bytes(data)


@fuzz
@given(st.binary(max_size=400) | torn(GOOD))
def test_a_journal_is_read_to_its_end(data):
    reader = SegmentReader(data)
    found = list(reader)
    assert reader.size <= len(data)
    lines = data.count(b"\n")
    assert len(found) <= lines
    assert reader.damaged <= lines  # a torn line may hold a whole event, and counts as both
    assert reader.alive in {True, False, None}


@fuzz
@given(st.binary(max_size=200) | torn(encode(ev.RunEnded(at=MOMENT, status="failed"))))
def test_a_line_is_an_event_or_refused(line):
    try:
        event = decode(line)
    except ValueError:
        return
    assert event is None or decode(encode(event)).kind == event.kind


@fuzz
@given(torn(GOOD), values)
def test_a_fold_takes_any_event(data, odd):
    from prefect_trackrecord.documents.fold import Fold

    fold = Fold("r")
    for event in SegmentReader(data):
        fold.add(event)
    for kind in ("run", "files", "emails", "odd"):
        for event in SegmentReader(encode(ev.DocumentSaved(at=MOMENT, document=kind, value=odd))):
            fold.add(event)
    docs = fold.documents(None, generation=1)
    assert docs.run.run_id == "r"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    from prefect_trackrecord.tracking import TrackingStorage

    return TrackingStorage(base_path=tmp_path_factory.mktemp("fuzz"))


@fuzz
@given(data=st.binary(max_size=300) | torn(RUN) | values.map(lambda v: json.dumps(v, default=str).encode()))
def test_a_document_is_read_or_named(store, data):
    key = "run_metadata/2026/11/20/r.json"
    store.archive.store.put(key, data)
    runs = store.list_runs()  # of any day: what is damaged may be the day
    assert len(runs) + len(store.damaged) == 1
    assert all(isinstance(run, RunMetadata) for run in runs)
    assert all(isinstance(e, DamagedDocumentError) and e.key == key for e in store.damaged)


@fuzz
@given(data=st.binary(max_size=300) | values.map(lambda v: json.dumps(v, default=str).encode()))
def test_rows_are_read_or_named(store, data):
    run = RunMetadata(run_id="f", started_at="2026-11-20T00:00:00Z")
    store.archive.store.put("file_logs/2026/11/20/f_files.json", data)
    try:
        rows = store.archive.files(run)
    except DamagedDocumentError as exc:
        assert exc.key.endswith("f_files.json")  # noqa: PT017
        return
    assert all(isinstance(row, FileProcessingLog) for row in rows)


@fuzz
@given(st.binary(max_size=300) | torn(b'{"data":{"a":{"record_id":"a","record":"{}","traces":[{}]}},"format":1}'))
def test_records_are_salvaged(data):
    found = document.read(data)
    assert isinstance(found.entries, list)


@fuzz
@given(values | st.dictionaries(
    st.sampled_from(["title", "window", "recipients", "smtp", "flows", "thresholds", "filters", "subject", "sender",
                     "attachments", "date_from", "timezone", "late_after", "templates", "channels"]), values))  # fmt: skip  # noqa: E501
def test_a_configuration_is_right_or_refused(data):
    try:
        parse_config(yaml.safe_load(yaml.safe_dump(data)))
    except ConfigurationError as exc:
        assert str(exc)  # noqa: PT017


@fuzz
@given(st.text(max_size=80) | st.from_regex(r"[^@\s]{1,20}@[^@]{1,30}", fullmatch=True))
def test_an_address_is_right_or_refused(text):
    try:
        found = check_address(text)
    except (ConfigurationError, ValueError):
        return
    assert "@" in found
    assert not set(found) & set("\r\n\0")


@fuzz
@given(st.text(max_size=60) | st.from_regex(r"[a-z0-9+]{0,6}://[^\n]{0,30}", fullmatch=True))
def test_a_url_is_right_or_refused(text):
    try:
        parse_url(text)
    except TrackRecordError as exc:
        assert str(exc)  # noqa: PT017
