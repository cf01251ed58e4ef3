"""`records report`, `records pack`, `runs open`: pages and archives of runs, from folders and from a bucket."""

from __future__ import annotations

import concurrent.futures
import io
import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from prefect_trackrecord.record import RecordStatus, Status, ThoughtfulRecord
from prefect_trackrecord.record.tracing import tracing
from prefect_trackrecord.tracking import RunTracker, TrackingStorage


class Invoice(ThoughtfulRecord):
    id: str
    amount: float = 0.0
    status: RecordStatus = RecordStatus("")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "scan.png"
    Image.new("RGB", (40, 30), "red").save(path)
    return path


@pytest.fixture
def run_with_records(picture):
    def make(storage, **options):
        with RunTracker("book", storage=storage, **options) as tracker:
            for n in range(3):
                invoice = Invoice(id=f"INV-{n}", amount=n)
                invoice.status = Status.RUNNING
                invoice.log_trace("Scanned", reason="it lay there", image=str(picture))
        tracing.reset()
        return tracker.run_id

    return make


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path):
    """A history in a folder, and one in a bucket whose credentials only the storage knows."""
    if request.param == "folder":
        return TrackingStorage(base_path=tmp_path / "history"), tmp_path / "history"
    server, patient = request.getfixturevalue("s3_server"), request.getfixturevalue("patient")
    bucket = request.getfixturevalue("bucket")
    url = f"s3://{bucket}/history"
    return TrackingStorage(base_path=url, options=server.options, settings=patient), url


@pytest.fixture
def command(place, capsys, tmp_path, monkeypatch):
    """Runs a command on the place as it would be with a storage block: the storage brings its own options."""
    from prefect_trackrecord.cli import app

    storage, _ = place
    monkeypatch.chdir(tmp_path)
    for module in ("records", "record_files", "runs", "opening", "files"):
        found = __import__(f"prefect_trackrecord.cli.{module}", fromlist=["x"])
        if hasattr(found, "storage_of"):
            monkeypatch.setattr(found, "storage_of", lambda given: storage)

    def call(*words):
        capsys.readouterr()
        code = app.run([*map(str, words)])
        return code, capsys.readouterr()

    return call


def test_the_page_of_a_run(run_with_records, command, place, tmp_path):
    run_id = run_with_records(place[0])
    code, printed = command("records", "report", run_id[:12], "--output", "page.html")
    assert (code, printed.out.strip()) == (0, str(tmp_path / "page.html"))
    assert "3 records of run" in printed.err
    page = (tmp_path / "page.html").read_text()
    assert "INV-2" in page
    code, printed = command("records", "show", "INV-1", "--json")
    assert (code, [one["run_id"] for one in json.loads(printed.out)]) == (0, [run_id])


def test_the_archive_of_a_run(run_with_records, command, place, tmp_path):
    run_id = run_with_records(place[0])
    code, printed = command("records", "pack", run_id, "--json")
    told = json.loads(printed.out)
    assert (code, told["records"], told["process"]) == (0, 3, "book")
    with zipfile.ZipFile(told["path"]) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        log = json.loads(archive.read("records_logs.json"))
    assert set(log["data"]) == {"INV-0", "INV-1", "INV-2"}
    pictures = [name for name in names if name.startswith("images/")]
    assert pictures
    assert all(re.fullmatch(r"[\w.-]+|images/[\w.-]+", name) for name in names)


def test_reading_changes_nothing_in_the_history(run_with_records, command, tmp_path):
    storage = TrackingStorage(base_path=tmp_path / "history")
    run_id = run_with_records(storage)

    def state():
        return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in (tmp_path / "history").rglob("*")}

    before = state()
    command("records", "report", run_id, "--output", "x.html")
    command("records", "pack", run_id, "--output", "x.zip")
    assert state() == before


def test_a_run_that_is_not_there_or_not_clear(run_with_records, command, place):
    run_with_records(place[0], new_id=lambda: "3f2a-1")
    run_with_records(place[0], new_id=lambda: "3f2a-2")
    code, printed = command("records", "pack", "nope")
    assert (code, "error TR301" in printed.err) == (1, True)
    code, printed = command("records", "pack", "3f2a")
    assert (code, "2 runs begin with '3f2a'" in printed.err) == (2, True)


def test_a_target_that_can_not_be_written(run_with_records, command, place, tmp_path):
    run_id = run_with_records(place[0])
    (tmp_path / "file").touch()
    code, printed = command("records", "pack", run_id, "--output", "file/records.zip")
    assert (code, "can't be written" in printed.err) == (2, True)


@pytest.mark.parametrize("what", ["report", "pack"])
def test_a_folder_that_is_not_there_is_not_made(run_with_records, command, place, tmp_path, what):
    run_id = run_with_records(place[0])
    code, printed = command("records", what, run_id, "--output", "typo/records.out")
    assert (code, "can't be written" in printed.err) == (2, True)
    assert not (tmp_path / "typo").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
@pytest.mark.parametrize("what", ["report", "pack"])
def test_a_pipe_is_written_to_and_a_link_stays(run_with_records, command, place, tmp_path, what):
    run_id = run_with_records(place[0])
    os.mkfifo(tmp_path / "pipe")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reader = pool.submit((tmp_path / "pipe").read_bytes)
        code, _ = command("records", what, run_id, "--output", "pipe")
        fd = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)  # a reader whom nobody wrote to ends
        os.close(fd)
        data = reader.result(10)
    assert code == 0
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode), "it was not replaced by a file"
    if what == "pack":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            assert "records_logs.json" in archive.namelist()
    else:
        assert b"INV-2" in data
        assert data.rstrip().endswith(b"</html>")
    (tmp_path / "real.out").write_text("old")
    (tmp_path / "link.out").symlink_to("real.out")
    assert command("records", what, run_id, "--output", "link.out")[0] == 0
    assert (tmp_path / "link.out").is_symlink()
    assert len((tmp_path / "real.out").read_bytes()) > 1_000


@pytest.mark.parametrize("what", ["report", "pack"])
def test_a_device_is_written_to(run_with_records, command, place, what):
    assert command("records", what, run_with_records(place[0]), "--output", "/dev/null")[0] == 0


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="there is no /dev/stdout")
@pytest.mark.parametrize("what", ["report", "pack"])
@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_standard_output_that_is_a_file(run_with_records, tmp_path, what, mode):
    """The line with the path was written over its beginning."""
    history, out = tmp_path / "history", tmp_path / "out"
    run_id = run_with_records(TrackingStorage(base_path=history))
    out.write_bytes(b"before\n" if mode == "ab" else b"")

    def call(*more):
        words = ["records", what, run_id, "--output", "/dev/stdout", *more]
        with out.open(mode) as file:
            return subprocess.run(
                [sys.executable, "-m", "prefect_trackrecord", *words],
                stdout=file, stderr=subprocess.PIPE, text=True, check=False,
                env={**os.environ, "TRACKING_PATH": str(history)},
            )  # fmt: skip

    done = call()
    data = out.read_bytes()
    assert (done.returncode, done.stderr) == (0, f"3 records of run {run_id} of book\n")
    assert data.startswith(b"before\n") is (mode == "ab")
    data = data.removeprefix(b"before\n")
    if what == "pack":
        assert data.startswith(b"PK")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            assert "INV-2" in archive.read("records_logs.json").decode()
    else:
        assert data.lower().startswith(b"<!doctype html>")
        assert data.rstrip().endswith(b"</html>")
    done = call("--json")
    assert (done.returncode, "in which --json tells" in done.stderr) == (2, True)


@pytest.mark.parametrize("what", ["report", "pack"])
def test_ctrl_c_leaves_nothing_half_done(run_with_records, command, place, tmp_path, monkeypatch, what):
    from prefect_trackrecord.record.kept import KeptRecords

    run_id = run_with_records(place[0])
    old = tmp_path / "records.out"
    old.write_text("the one from yesterday")

    def interrupted(self):
        yield b"<html>"
        raise KeyboardInterrupt

    monkeypatch.setattr(KeptRecords, "page", interrupted)
    before = sorted(tmp_path.iterdir())
    code, printed = command("records", what, run_id, "--output", "records.out")
    assert (code, printed.err) == (130, "error: interrupted\n")
    assert old.read_text() == "the one from yesterday"
    assert sorted(tmp_path.iterdir()) == before


def test_a_programs_own_folder(trackrecord, picture, tmp_path):
    from prefect_trackrecord.record import configure_records_tracing, dump_records

    configure_records_tracing(tmp_path / "Records")
    Invoice(id="INV-9").log_trace("Scanned", image=str(picture))
    dump_records()
    tracing.reset()
    done = trackrecord("records", "report", "run_id", "--folder", tmp_path / "Records", storage=False)
    assert (done.code, "INV-9" in Path(done.out.strip()).read_text()) == (0, True)


def test_open_a_run(run_with_records, command, place, tmp_path, monkeypatch):
    import webbrowser

    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    run_id = run_with_records(place[0])
    code, printed = command("runs", "open", run_id[:10])
    assert (code, [printed.out.strip()]) == (0, opened)
    page = Path(opened[0].removeprefix("file://"))
    assert "INV-1" in page.read_text()
    copied = not page.is_relative_to(tmp_path / "history")
    if copied:
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
        assert stat.S_IMODE(page.parent.stat().st_mode) == 0o700
        old = page.with_name("records-of-last-week.html")
        old.touch()
        os.utime(old, (0, 0))
    code, printed = command("runs", "open", run_id, "--json")
    assert json.loads(printed.out)["url"] == opened[0]
    assert len(opened) == 1
    if copied:
        assert not old.exists(), "copies of other days are gone"
        assert [p for p in page.parent.iterdir() if run_id in p.name] == [page], "this one was written over"


def test_open_a_run_without_a_page(trackrecord, tracked, monkeypatch):
    run_id = tracked()
    done = trackrecord("runs", "open", run_id)
    assert (done.code, "it has no records, and it is no run of Prefect's" in done.err) == (1, True)


def test_open_a_flow_run_in_the_ui(trackrecord, history, monkeypatch):
    from datetime import datetime, timezone

    from prefect_trackrecord import settings
    from prefect_trackrecord.tracking import RunMetadata

    monkeypatch.setenv("PREFECT_UI_URL", "https://prefect.example.com/")
    settings.current.cache_clear()
    run = RunMetadata(run_id="f0", command="x", flow_name="nightly", started_at=datetime.now(timezone.utc))
    history.save_run_metadata(run)
    done = trackrecord("runs", "open", "f0", "--print")
    assert (done.code, done.out) == (0, "https://prefect.example.com/runs/flow-run/f0\n")
