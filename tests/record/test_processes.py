"""Many threads, many processes, and processes that are killed: nothing that was acknowledged is lost."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from prefect_trackrecord.record import (
    RecordStatus,
    Status,
    ThoughtfulRecord,
    configure_records_tracing,
    dump_records,
    load_records,
)
from prefect_trackrecord.record.tracing import tracing

KILLS = int(os.environ.get("TRACKRECORD_KILLS", "8"))
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")


class Shared(ThoughtfulRecord):
    status: RecordStatus = ""
    n: int = 0


HEAD = """
import sys, threading, os
from prefect_trackrecord.record import *
class Shared(ThoughtfulRecord):
    status: RecordStatus = ""
    n: int = 0
configure_records_tracing(sys.argv[1])
"""

CROWD = (
    HEAD
    + """
import json
from prefect_trackrecord.record.output import Output
from prefect_trackrecord.record.tracing import finish
if "p0" not in sys.argv:
    Output._write_page = lambda self: None  # four processes' pages are enough; they take most of the time
def crowd(me):
    record = Shared(id="shared")
    def work(t):
        own = Shared(id=f"{me}-{t}")
        for n in range(12):
            record.log_trace(f"{me}-{t}-{n}")
            own.log_trace(f"{n}")
            if n == 6:
                own.status = Status.COMPLETED
                dump_records()
    threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    dump_records()
    found = json.load(open(os.path.join(sys.argv[1], "process_name/run_id/records_logs.json")))["data"]
    mine = {f"{me}-{t}-{n}" for t in range(8) for n in range(12)}
    assert mine <= {t["action"] for t in found["shared"]["traces"]}, "the dump lacks traces of its own process"
    finish()
children = []
for me in sys.argv[2:]:
    if not hasattr(os, "fork"):
        crowd(me)
    elif not (pid := os.fork()):
        crowd(me)
        os._exit(0)
    else:
        children.append(pid)
sys.exit(max((os.waitpid(pid, 0)[1] for pid in children), default=0))
"""
)


def test_eight_processes_with_eight_threads_lose_nothing(folder, log):
    """Two programs, which fork four processes each: starting eight would take most of the time."""
    names = [f"p{n}" for n in range(8)]
    programs = [
        subprocess.Popen([sys.executable, "-c", CROWD, str(folder), *half], stderr=subprocess.PIPE, text=True)
        for half in (names[:4], names[4:])
    ]
    for program in programs:
        _, errors = program.communicate(timeout=170)
        assert program.returncode == 0, errors
    for entries in (
        {k: [t["action"] for t in e["traces"]] for k, e in log().items()},
        {e.record_id: [t.action for t in e.traces] for e in load_records(folder)},
    ):
        assert len(entries) == 65
        shared = entries.pop("shared")
        expected = {f"p{p}-{t}-{n}" for p in range(8) for t in range(8) for n in range(12)}
        assert len(shared) == len(expected) + 1
        assert set(shared) == expected | {"Initialize record"}
        assert all(actions == ["Initialize record", *map(str, range(12))] for actions in entries.values())


LOOP = (
    HEAD
    + """
import random
acks = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
me, n = sys.argv[2], 0
record = Shared(id=me)
shared = Shared(id="shared")
while True:
    n += 1
    record.n = n
    os.write(acks, b"f %d\\n" % n)
    record.log_trace(f"{me}:{n}", reason="x" * random.randrange(3000))
    os.write(acks, b"t %d\\n" % n)
    shared.log_trace(f"{me}:{n}")
    os.write(acks, b"s %d\\n" % n)
    record.status = Status.RUNNING if n % 2 else Status.PENDING
    os.write(acks, b"u %d\\n" % n)
    if n % 7 == 0:
        dump_records()
"""
)


@pytest.mark.timeout(180 + 15 * KILLS)
def test_kill_9_at_any_moment_loses_nothing_that_was_acknowledged(folder, tmp_path):
    """Four processes record in a loop and are killed at random moments, `TRACKRECORD_KILLS` times in all."""
    rnd = random.Random(7)
    lost: list[str] = []
    acknowledged = 0
    for round_ in range(max(1, KILLS // 4)):
        names = [f"r{round_}p{n}" for n in range(4)]
        processes = [
            subprocess.Popen([sys.executable, "-c", LOOP, str(folder), name, str(tmp_path / name)]) for name in names
        ]
        try:
            for process, name in zip(processes, names, strict=True):
                deadline = time.monotonic() + 60
                while not (tmp_path / name).exists() and time.monotonic() < deadline:
                    time.sleep(0.005)
                time.sleep(rnd.uniform(0.0, 0.25))
                process.kill()
        finally:
            for process in processes:  # one that is left would record for ever
                process.kill()
        for process in processes:
            assert process.wait(timeout=30) == -signal.SIGKILL
        entries = {e.record_id: e for e in load_records(folder)}
        shared = {t.action for t in entries["shared"].traces} if "shared" in entries else set()
        for name in names:
            acks = (tmp_path / name).read_bytes().splitlines()
            last = dict.fromkeys("ftsu", 0)
            for ack in acks:
                last[chr(ack[0])] = int(ack[2:])
            acknowledged += len(acks)
            if name not in entries:
                lost += [f"{name}: {ack!r}" for ack in acks]
                continue
            traces = {t.action for t in entries[name].traces}
            lost += [f"{name}:{n}" for n in range(1, last["t"] + 1) if f"{name}:{n}" not in traces]
            lost += [f"shared {name}:{n}" for n in range(1, last["s"] + 1) if f"{name}:{n}" not in shared]
            if last["f"] and entries[name].values["n"] < last["f"]:
                lost.append(f"{name} field")
            if len(entries[name].status_updates) < last["u"]:
                lost.append(f"{name} status")
    assert lost == []
    assert acknowledged > KILLS
    configure_records_tracing(folder)  # and a next run goes on with it
    Shared(id="next").log_trace("on")
    dump_records()
    assert json.loads((folder / "process_name/run_id/records_logs.json").read_bytes())["data"].keys() >= entries.keys()
    print(f"{acknowledged} acknowledged events, {len(lost)} lost")


def test_readers_see_a_whole_log_at_any_moment(folder):
    configure_records_tracing(folder)
    record = Shared(id="1")
    dump_records()
    path = folder / "process_name" / "run_id" / "records_logs.json"
    stop = threading.Event()
    seen: list[int] = []

    def read():
        while not stop.is_set():
            seen.append(len(json.loads(path.read_bytes())["data"]["1"]["traces"]))

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(150):
        record.log_trace(str(n))
        dump_records()
    stop.set()
    reader.join()
    assert seen == sorted(seen)


@needs_fork
def test_a_forked_child_writes_a_journal_of_its_own(folder, log):
    configure_records_tracing(folder)
    record = Shared(id="1")
    record.log_trace("parent before")
    stop = threading.Event()
    busy = Shared(id="busy")
    thread = threading.Thread(target=lambda: [busy.log_trace("x") for _ in iter(stop.is_set, True)])
    thread.start()
    children = []
    for n in range(5):
        pid = os.fork()
        if not pid:
            code = 1
            try:
                record.log_trace(f"child {n}")
                dump_records()
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
    stop.set()
    thread.join()
    record.log_trace("parent after")
    dump_records()
    actions = [t["action"] for t in log()["1"]["traces"]]
    assert actions[:2] == ["Initialize record", "parent before"]
    assert actions[-1] == "parent after"
    assert sorted(actions[2:-1]) == [f"child {n}" for n in range(5)]
    assert len(log()["busy"]["traces"]) == len(busy.get_traces())
    assert len(list((folder / "process_name/run_id/journal").glob("*.ndjson"))) == 6


FORKED_MEANWHILE = (
    HEAD
    + """
thread = threading.Thread(target=dump_records)
Shared(id="1")
thread.start()
children = []
for n in range(12):
    import time
    time.sleep(0.02)
    if not (pid := os.fork()):
        Shared(id=f"child {n}")
        save_records_to_html(f"{sys.argv[1]}/{n}.html")
        os._exit(0)
    children.append(pid)
thread.join()
sys.exit(max(os.waitpid(pid, 0)[1] for pid in children))
"""
)


@needs_fork
def test_a_fork_while_the_first_page_is_made_stops_no_child(folder, tmp_path):
    """The parent's thread is importing what makes pages; what a child inherits of that would never be whole."""
    with open(tmp_path / "said", "wb") as said:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", FORKED_MEANWHILE, str(folder)],
            stdout=said, stderr=said, timeout=60, check=False, start_new_session=True,
        )  # fmt: skip
    assert done.returncode == 0, (tmp_path / "said").read_text()
    assert all("child" in (folder / f"{n}.html").read_text() for n in range(12))


def _in_a_child(record, folder):
    if folder is not None:
        configure_records_tracing(folder)
    record.log_trace("from a child", reason=str(os.getpid()))
    record.status = Status.COMPLETED


@needs_fork
def test_a_child_of_multiprocessing_completes_the_documents_too(folder, log):
    configure_records_tracing(folder)
    record = Shared(id="1")
    process = multiprocessing.get_context("fork").Process(target=_in_a_child, args=(record, None))
    process.start()
    process.join(60)  # its exit code is not ours: where another test had a Prefect server, its threads spoil it
    assert [t["action"] for t in log()["1"]["traces"]] == ["Initialize record", "from a child"]
    assert (folder / "process_name/run_id/records_report.html").exists()


def test_another_processs_events_are_followed(folder, log):
    """Both processes are alive, and neither starts anew to see the other."""
    configure_records_tracing(folder)
    record = Shared(id="1")
    other = subprocess.Popen(
        [sys.executable, "-c", HEAD + "record = Shared(id='1')\nfor line in sys.stdin:\n"
         " record.log_trace(line.strip()); Shared(id=line.strip()); print('done', flush=True)", str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    for n in range(3):
        other.stdin.write(f"other {n}\n")
        other.stdin.flush()
        assert other.stdout.readline() == "done\n"
        assert [t["action"] for t in record.get_traces()][-1] == f"other {n}"
        record.log_trace(f"own {n}")
        dump_records()
        assert f"other {n}" in log()
        assert Shared(id=f"other {n}").get_traces()[0]["action"] == "Initialize record"
    other.stdin.close()
    assert other.wait(timeout=60) == 0
    actions = [t["action"] for t in log()["1"]["traces"]]
    assert actions == ["Initialize record", *[f"{who} {n}" for n in range(3) for who in ("other", "own")]]
    assert [len(log()[f"other {n}"]["traces"]) for n in range(3)] == [1, 1, 1]


def test_a_stopped_process_that_holds_the_lock_stops_nobody_for_long(folder, run, monkeypatch):
    from prefect_trackrecord.record import folder as folder_module

    monkeypatch.setattr(folder_module, "_LOCK_SECONDS", 0.3)
    configure_records_tracing(folder)
    record = Shared(id="1")
    dump_records()
    code = (
        "import fcntl, sys, time\n"
        "f = open(sys.argv[1], 'w')\n"
        "fcntl.flock(f, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(run / "journal" / ".lock")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        begin = time.monotonic()
        record.log_trace("not held up")
        assert time.monotonic() - begin < 0.2
        dump_records()
        assert time.monotonic() - begin < 3
        assert b"not held up" in (run / "records_logs.json").read_bytes()
    finally:
        holder.kill()
        holder.wait()


def test_two_processes_construct_the_same_record(folder):
    """Each thinks it is the first: one first trace is kept, a different given status is a change."""
    outputs = []
    for status in (Status.PENDING, Status.RUNNING, None):
        tracing.reset()
        # a journal that the next process does not see yet: put back afterwards
        configure_records_tracing(folder)
        Shared(id="1", **({"status": status} if status else {})).log_trace(f"by {status}")
        tracing.reset()
        journal = folder / "process_name" / "run_id" / "journal"
        outputs.append(journal.rename(folder / f"journal-{status}"))
    journal.mkdir()
    for kept in outputs:
        for segment in Path(kept).glob("*.ndjson"):
            segment.rename(journal / segment.name)
    (entry,) = load_records(folder)
    assert [t.action for t in entry.traces] == ["Initialize record", "by Pending", "by Running", "by None"]
    assert [(u.old_status, u.new_status) for u in entry.status_updates] == [("Pending", "Running")]
    assert entry.status == "Running"
