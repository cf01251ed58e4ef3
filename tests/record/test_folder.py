"""What is on disk: continued, damaged, unwritable, written by T-Record, journaled only."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from prefect_trackrecord.record import (
    RecordStatus,
    Status,
    ThoughtfulRecord,
    configure_records_tracing,
    dump_records,
    dump_records_html,
    load_records,
    pack_sharable_zip,
    record_history,
    save_records_to_html,
)
from prefect_trackrecord.record.tracing import finish, tracing

OLD = Path(__file__).parent / "t_record_0_3_2"
"""A run's folder as t-record-lib 0.3.2 wrote it, in two runs one after the other."""


class MyRecord(ThoughtfulRecord):
    status: RecordStatus = ""
    tags: list[str] = []


def test_nothing_is_written_before_there_is_something(folder):
    configure_records_tracing(folder)
    assert not folder.exists()
    finish()
    assert not folder.exists()


def test_a_dump_before_configure_says_so(caplog):
    MyRecord(id="1")
    dump_records()
    save_records_to_html()
    pack_sharable_zip()
    assert caplog.text.count("call configure_records_tracing(folder) first") == 3
    assert not Path("records.zip").exists()


def test_a_folder_of_t_record_is_continued(folder, run, log):
    shutil.copytree(OLD, run)
    configure_records_tracing(folder)
    record = MyRecord(id="rec_001", tags=["c"])
    assert record.status == "Running"
    before = record.get_traces()
    assert before[0] == {"action": "Initialize record", "reason": "", "timestamp": before[0]["timestamp"]}
    assert len(before) == 9
    record.status = Status.RUNNING
    record.status = Status.COMPLETED
    record.tags.append("d")
    record.log_trace("third run")
    dump_records()
    entry = log()["rec_001"]
    old = json.loads((OLD / "records_logs.json").read_text())["data"]["rec_001"]
    assert entry["traces"][:9] == old["traces"]
    assert entry["traces"][9]["dict_updates"] == {
        "status": {"from": "Running", "to": "Completed"},
        "tags[1]": {"from": None, "to": "d"},
    }
    assert entry["status_updates"][: len(old["status_updates"])] == old["status_updates"]
    assert [u["new_status"] for u in entry["status_updates"]][-2:] == ["Running", "Completed"]
    assert (entry["status"], entry["record_type"]) == ("Completed", "MyRecord")
    assert not list(run.glob("*.damaged*"))
    assert (run / "images").is_dir()


def test_load_reads_t_records_folder_as_it_is(folder, run):
    shutil.copytree(OLD, run)
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
    (entry,) = load_records(folder)
    old = json.loads((OLD / "records_logs.json").read_text())["data"]["rec_001"]
    found = entry.model_dump(mode="json")
    assert {k: found[k] for k in old} == old
    assert entry.record_type == ""
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*")} == before
    assert load_records(run) == [entry]


def test_another_class_of_the_same_id_after_a_history_without_types(folder, run, log):
    shutil.copytree(OLD, run)

    class Other(ThoughtfulRecord):
        pass

    configure_records_tracing(folder)
    MyRecord(id="rec_001")
    Other(id="rec_001")
    dump_records()
    assert {k: len(e["traces"]) for k, e in log().items()} == {"rec_001": 9, "rec_001#Other": 1}


@pytest.mark.parametrize("how", ["cut", "empty", "binary", "list", "no data", "half of the entry"])
def test_a_damaged_log_is_kept_beside_and_nothing_that_is_whole_is_lost(folder, run, log, how, caplog):
    configure_records_tracing(folder)
    for n in range(5):
        MyRecord(id=f"r{n}").log_trace("kept")
    dump_records()
    tracing.reset()
    path = run / "records_logs.json"
    data = path.read_bytes()
    torn = {
        "cut": data[: len(data) // 2], "empty": b"", "binary": os.urandom(500), "list": b"[1, 2]",
        "no data": b'{"else": 1}', "half of the entry": data.replace(b'"traces":[', b'"traces":7,"odd":[', 1),
    }[how]  # fmt: skip
    path.write_bytes(torn)
    assert [len(e.traces) for e in load_records(folder)][1:] == [2] * 4
    assert path.read_bytes() == torn
    configure_records_tracing(folder)
    MyRecord(id="r9")
    dump_records()
    assert set(log()) == {"r0", "r1", "r2", "r3", "r4", "r9"}
    if how != "half of the entry":  # that one is whole JSON
        assert (run / "records_logs.json.damaged-1").read_bytes() == torn
        assert "damaged" in caplog.text
        assert [len(e["traces"]) for e in log().values()] == [2, 2, 2, 2, 2, 1]


def test_of_a_damaged_log_without_journal_every_whole_record_is_there(folder, run):
    configure_records_tracing(folder)
    for n in range(5):
        MyRecord(id=f"r{n}").log_trace("kept")
    dump_records()
    tracing.reset()
    shutil.rmtree(run / "journal")
    path = run / "records_logs.json"
    path.write_bytes(path.read_bytes()[:-900])
    for round_ in (1, 2):
        configure_records_tracing(folder)
        assert len(load_records(folder)) >= 2 + round_
        MyRecord(id="new").log_trace("more")
        dump_records()
        tracing.reset()
        path.write_bytes(b"{")
        assert len(list(run.glob("*.damaged-*"))) == round_


def test_a_damaged_t_record_log_and_a_newer_journal_are_put_together(folder, run):
    shutil.copytree(OLD, run)
    configure_records_tracing(folder)
    MyRecord(id="rec_001").log_trace("ours")
    dump_records()
    tracing.reset()
    path = run / "records_logs.json"
    path.write_bytes(path.read_bytes().rstrip()[:-3])
    (entry,) = load_records(folder)
    assert len(entry.traces) == 10


@pytest.mark.parametrize("damage", [b"", b"\x00" * 5000])
def test_a_power_cut_costs_no_history_of_t_record(folder, run, damage):
    """A document that was replaced a moment before may come back empty or as zeros; what no journal has is kept."""
    shutil.copytree(OLD, run)
    configure_records_tracing(folder)
    MyRecord(id="rec_001").log_trace("ours")
    dump_records()
    tracing.reset()
    (run / "records_logs.json").write_bytes(damage)
    (entry,) = load_records(folder)
    assert len(entry.traces) == 10
    configure_records_tracing(folder)
    MyRecord(id="rec_001").log_trace("and on")
    dump_records()
    (entry,) = load_records(folder)
    assert [t.action for t in entry.traces][-2:] == ["ours", "and on"]
    assert len(entry.traces) == 11


def test_torn_lines_of_a_journal_cost_only_themselves(folder, run):
    configure_records_tracing(folder)
    record = MyRecord(id="1")
    for n in range(4):
        record.log_trace(f"t{n}")
    tracing.reset()
    (segment,) = (run / "journal").glob("*.ndjson")
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[-3] = lines[-3][:40] + b"\n"
    segment.write_bytes(b"".join(lines)[:-20])
    (entry,) = load_records(folder)
    assert [t.action for t in entry.traces] == ["Initialize record", "t0", "t2"]


def test_events_of_a_newer_version_are_let_pass(folder, run):
    configure_records_tracing(folder)
    MyRecord(id="1").log_trace("a")
    (segment,) = (run / "journal").glob("*.ndjson")
    newest = json.loads(segment.read_bytes().splitlines()[-1])
    with open(segment, "ab") as file:
        for change in (
            {"op": "teleported"}, {"kind": "record.v9"}, {"data": 3}, {"new": 1}, {"record_id": 7},
            {"record_id": "odd", "data": {"trace": {"timestamp": 5, "dict_updates": 3}}},
        ):  # fmt: skip
            file.write(json.dumps({**newest, **change}).encode() + b"\n")
    entries = {e.record_id: e for e in load_records(folder)}
    assert [t.action for t in entries["1"].traces] == ["Initialize record", "a", "a"]
    assert [t.action for t in entries["odd"].traces] == [""]
    tracing.reset()
    configure_records_tracing(folder)
    dump_records()
    assert len(load_records(folder)) == len(entries)


def test_a_document_of_a_newer_version_keeps_its_fields(folder, run, log):
    configure_records_tracing(folder)
    MyRecord(id="1").log_trace("a")
    dump_records()
    tracing.reset()
    path = run / "records_logs.json"
    body = json.loads(path.read_bytes())
    body["data"]["1"]["owner"] = {"name": "me"}
    body["data"]["1"]["traces"][1]["mood"] = "good"
    path.write_text(json.dumps(body))
    configure_records_tracing(folder)
    MyRecord(id="1").log_trace("b")
    dump_records()
    assert log()["1"]["owner"] == {"name": "me"}
    assert log()["1"]["traces"][1]["mood"] == "good"


def test_an_unwritable_folder(tmp_path, caplog, png):
    blocked = tmp_path / "blocked"
    blocked.write_text("this is a file, not a folder")
    caplog.set_level(logging.WARNING)
    configure_records_tracing(blocked)
    record = MyRecord(id="1")
    record.status = Status.RUNNING
    record.log_trace("kept", image=png)
    record.log_trace("again", image=png)
    dump_records()
    dump_records()
    finish()
    assert "could not be written" in caplog.text
    assert caplog.text.count("left its folder") == 1
    (entry,) = load_records(blocked)  # from the spool
    assert [t.action for t in entry.traces] == ["Initialize record", "kept", "again"]
    assert entry.traces[1].image
    save_records_to_html(tmp_path / "page.html")
    pack_sharable_zip(tmp_path / "all.zip")
    assert b"kept" in (tmp_path / "page.html").read_bytes()
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.read(entry.traces[1].image) == png
    save_records_to_html(blocked / "x.html")
    assert "x.html" in caplog.text
    blocked.unlink()
    tracing.reset()
    configure_records_tracing(blocked)
    MyRecord(id="1").log_trace("the folder is there now")
    dump_records()
    (entry,) = load_records(blocked)
    assert len(entry.traces) == 4
    assert len(json.loads((blocked / "process_name/run_id/records_logs.json").read_bytes())["data"]["1"]["traces"]) == 4


def test_the_dump_reads_nothing_again(folder, run, monkeypatch):
    configure_records_tracing(folder)
    records = [MyRecord(id=f"r{n}") for n in range(50)]
    dump_records()
    from prefect_trackrecord.record import folder as folder_module
    from prefect_trackrecord.record import state

    read: list[object] = []
    made: list[object] = []
    whole = state.story_of
    monkeypatch.setattr(folder_module, "_read_from", lambda *a: read.append(a) or b"")
    monkeypatch.setattr(folder_module.document, "read", lambda *a: read.append(a))
    monkeypatch.setattr(state, "story_of", lambda entry: made.append(entry) or whole(entry))
    records[7].log_trace("one more")
    dump_records()
    assert read == []
    assert len(made) == 1
    assert len(json.loads((run / "records_logs.json").read_bytes())["data"]["r7"]["traces"]) == 2


def test_a_large_document_lags_at_most_two_seconds(folder, run, monkeypatch):
    from prefect_trackrecord.record import output

    monkeypatch.setattr(output, "LARGE", 1000)
    configure_records_tracing(folder)
    records = [MyRecord(id=f"r{n}") for n in range(20)]
    dump_records()
    records[3].log_trace("late")
    dump_records()
    deadline = time.monotonic() + 5
    begin = time.monotonic()
    while b"late" not in (run / "records_logs.json").read_bytes() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert time.monotonic() - begin < 2.0
    while b"late" not in (run / "records_report.html").read_bytes() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert time.monotonic() - begin < 4.0  # two, and what a busy machine adds


def test_page_errors_never_cost_the_json(folder, run, log, monkeypatch, caplog):
    from prefect_trackrecord.record import output

    monkeypatch.setattr(output, "render", lambda *a: 1 / 0)
    configure_records_tracing(folder)
    MyRecord(id="1")
    dump_records()
    assert set(log()) == {"1"}
    assert "could not be written: ZeroDivisionError" in caplog.text


SCRIPT = """
import sys
from prefect_trackrecord.record import *
configure_records_tracing(sys.argv[1])
class MyRecord(ThoughtfulRecord):
    status: RecordStatus = ""
record = MyRecord(id="rec_001")
record.status = Status.RUNNING
record.log_trace(sys.argv[2])
if len(sys.argv) > 3: dump_records()
"""


def run_script(folder, *arguments):
    subprocess.run([sys.executable, "-c", SCRIPT, str(folder), *arguments], check=True, timeout=60)


def test_both_files_are_complete_at_exit_and_the_next_run_goes_on(folder, run, log):
    run_script(folder, "first")
    assert (run / "records_report.html").exists()
    assert [t["action"] for t in log()["rec_001"]["traces"]] == ["Initialize record", "first"]
    run_script(folder, "second", "dump")
    assert [t["action"] for t in log()["rec_001"]["traces"]] == ["Initialize record", "first", "second"]
    assert len(log()["rec_001"]["status_updates"]) == 1


def test_a_configuration_again_and_a_removed_folder(folder, run, log):
    configure_records_tracing(folder)
    MyRecord(id="1").log_trace("a")
    configure_records_tracing(folder)
    MyRecord(id="1").log_trace("b")
    dump_records()
    assert len(log()["1"]["traces"]) == 3
    shutil.rmtree(folder)
    configure_records_tracing(folder)
    MyRecord(id="2")
    dump_records()
    assert set(log()) == {"2"}


def test_names_of_process_and_run(tmp_path):
    configure_records_tracing(tmp_path, process_name="../my process", run_id="a/b")
    MyRecord(id="1")
    dump_records()
    (log,) = tmp_path.glob("*/*/records_logs.json")
    assert log.parent.parent.parent == tmp_path
    assert [e.record_id for e in load_records(tmp_path, "../my process", "a/b")] == ["1"]
    old = tmp_path / "Old name" / "run 7"
    shutil.copytree(OLD, old)
    configure_records_tracing(tmp_path, "Old name", "run 7")
    MyRecord(id="2")
    dump_records()
    assert len(load_records(tmp_path, "Old name", "run 7")) == 2
    assert len(json.loads((old / "records_logs.json").read_bytes())["data"]) == 2


def test_pages_and_archive(folder, run, tmp_path, png):
    configure_records_tracing(folder)
    record = MyRecord(id="</script><script>alert(1)</script>")
    record.log_trace("pictured", image=png)
    dump_records()
    assert b"pictured" in (run / "records_report.html").read_bytes()
    save_records_to_html(tmp_path / "sub" / "one.html")
    page = (tmp_path / "sub" / "one.html").read_bytes()
    assert b"<script>alert" not in page
    assert b"data:image/png;base64" in page
    with pytest.deprecated_call():
        dump_records_html(tmp_path / "two.html")
    (run / "images" / "..\\evil.png").write_bytes(png)
    pack_sharable_zip(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert sorted(names)[1:] == ["records_logs.json", "records_report.html"]
        assert names[-1].startswith("images/")
        assert "evil" not in "".join(names)
        archive.extractall(tmp_path / "out")
    assert load_records(tmp_path / "out")[0].traces[1].action == "pictured"


def test_a_page_of_records_that_changed_within_a_millisecond(folder, run, caplog):
    configure_records_tracing(folder)
    record = MyRecord(id="1", status=Status.PENDING)
    for _ in range(4):
        record.status = Status.RUNNING
        record.status = Status.COMPLETED
    entry = tracing.recorder().state.find("1", "MyRecord")
    entry.updates = [(entry.created + 1e-5 * n, update) for n, (_, update) in enumerate(entry.updates)]
    dump_records()
    assert caplog.text == ""
    assert b"Completed" in (run / "records_report.html").read_bytes()


def test_a_record_over_time(tmp_path, monkeypatch):
    from prefect_trackrecord import settings

    monkeypatch.setenv("PREFECT_UI_URL", "http://localhost:4200/")
    settings.current.cache_clear()
    flow_run = "0e2c6d84-6b8b-4a3f-9d3c-52f1c1c1f0aa"
    for process, run_id in (("b", "2"), ("a", flow_run), ("a", "other")):
        configure_records_tracing(tmp_path, process, run_id)
        if run_id != "other":
            MyRecord(id="x\u00e9").log_trace(f"in {run_id}")
        MyRecord(id="y")
        if run_id == "2":
            dump_records()
        tracing.reset()
    found = record_history("x\u00e9", tmp_path)
    assert [(h.process, h.run_id) for h in found] == [("b", "2"), ("a", flow_run)]
    assert [h.entry.traces[-1].action for h in found] == ["in 2", f"in {flow_run}"]
    assert [h.run_url for h in found] == [None, f"http://localhost:4200/runs/flow-run/{flow_run}"]
    assert record_history("nobody", tmp_path) == []
    assert len(record_history("y", tmp_path, record_type="MyRecord")) == 3
    assert record_history("y", tmp_path, record_type="Other") == []


def test_a_folder_that_cannot_even_be_looked_at(tmp_path):
    """Its name is too long, which the system says of every question; so does a parent that one may not enter."""
    folder = tmp_path / ("x" * 300)
    configure_records_tracing(folder)
    MyRecord(id="1").log_trace("goes on")
    dump_records()
    assert [t.action for t in load_records(folder)[0].traces] == ["Initialize record", "goes on"]
    assert record_history("1", folder) == []
