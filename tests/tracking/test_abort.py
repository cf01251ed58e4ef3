"""SIGINT, SIGTERM and a normal exit complete a running tracker; the host's handlers are chained and restored."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading

import pytest

from prefect_trackrecord.tracking import RunTracker, TrackingStorage


def run(place, body: str, send: int | None = None):
    script = f"""
import atexit, os, signal, sys, threading, time
from prefect_trackrecord.tracking import RunTracker, TrackingStorage
storage = TrackingStorage(base_path={str(place)!r})
tracker = RunTracker("child", storage=storage)
""" + textwrap.dedent(body)
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if send is not None:
        assert child.stdout.readline().strip() == "ready"
        child.send_signal(send)
    out, err = child.communicate(timeout=30)
    found = TrackingStorage(base_path=place).list_runs()
    return child.returncode, out, err, found


READY = 'tracker.track_file("a"); print("ready", flush=True)\n'


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_signal(tmp_path, number, code):
    returned, _, _, (found,) = run(tmp_path, "tracker.start()\n" + READY + "time.sleep(30)", number)
    assert returned == code
    assert found.status == "aborted"
    assert found.total_files == 1
    assert number.name in found.error_message


def test_a_normal_exit(tmp_path):
    returned, _, _, (found,) = run(tmp_path, "tracker.start()\ntracker.track_file('a')")
    assert returned == 0
    assert found.status == "aborted"
    assert "before the run was completed" in found.error_message


def test_the_hosts_handler_is_called_afterwards_and_put_back(tmp_path):
    body = """
    def own(number, frame):
        done = [r.status.value for r in storage.list_runs()]
        os.write(1, f"host {number} {done}\\n".encode())  # print can't be entered twice
    signal.signal(signal.SIGTERM, own)
    tracker.start()
    tracker.track_file("a"); print("ready", flush=True)
    while not tracker._state == "completed": time.sleep(0.01)
    time.sleep(0.1)
    assert signal.getsignal(signal.SIGTERM) is own
    """
    returned, out, err, (found,) = run(tmp_path, body, signal.SIGTERM)
    assert returned == 0, err
    assert out.strip() == "host 15 ['aborted']"
    assert found.status == "aborted"


def test_an_ignored_signal_stays_ignored(tmp_path):
    body = """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tracker.start()
    tracker.track_file("a"); print("ready", flush=True)
    time.sleep(0.5)
    tracker.complete()
    """
    returned, _, _, (found,) = run(tmp_path, body, signal.SIGTERM)
    assert returned == 0
    assert found.status == "success"


def test_a_handler_of_the_hosts_that_came_later_is_left_alone(tmp_path):
    body = """
    tracker.start()
    def later(number, frame): pass
    signal.signal(signal.SIGTERM, later)
    tracker.complete()
    assert signal.getsignal(signal.SIGTERM) is later
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    """
    assert run(tmp_path, body)[0] == 0


def test_a_signal_while_the_documents_are_written_waits_for_them(tmp_path):
    body = """
    tracker.start()
    seal = tracker.archive.seal
    def slow(*args, **kwargs):
        print("ready", flush=True)
        time.sleep(0.5)
        return seal(*args, **kwargs)
    tracker.archive.seal = slow
    tracker.complete()
    print("not reached", flush=True)
    """
    returned, out, _, (found,) = run(tmp_path, body, signal.SIGTERM)
    assert found.status == "success"
    assert returned == -signal.SIGTERM
    assert "not reached" not in out


def test_two_trackers_and_a_signal(tmp_path):
    body = """
    tracker.start()
    other = RunTracker("other", storage=storage)
    other.start()
    print("ready", flush=True)
    time.sleep(30)
    """
    _, _, _, found = run(tmp_path, body, signal.SIGTERM)
    assert [r.status.value for r in found] == ["aborted", "aborted"]


def test_nothing_is_installed_off_the_main_thread(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work():
        with RunTracker("c", storage=TrackingStorage(base_path=tmp_path)):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_handlers_are_back_after_a_run(tmp_path):
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with RunTracker("c", storage=TrackingStorage(base_path=tmp_path)):
        assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_forked_childs_exit_ends_no_run_of_its_parent(tmp_path):
    body = """
    tracker.start()
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
    assert storage.list_runs()[0].status.value == "running"
    tracker.complete()
    """
    returned, _, err, (found,) = run(tmp_path, body)
    assert returned == 0, err
    assert found.status == "success"


def test_a_signal_that_waited_for_an_inner_run_does_not_wait_for_the_outer_one(tmp_path):
    body = """
    tracker.start()
    inner = RunTracker("inner", storage=tracker.storage)
    inner.start()
    seal = inner._seal
    inner._seal = lambda ended: (os.kill(os.getpid(), signal.SIGTERM), seal(ended))[1]
    inner.complete()
    time.sleep(30)
    """
    returned, _, _, found = run(tmp_path, body)
    assert returned == 143
    assert {one.command: one.status.value for one in found} == {"inner": "success", "child": "aborted"}


def test_a_tracker_that_starts_while_a_signal_is_handled(tmp_path):
    body = """
    class Slow(RunTracker):
        completing = property(lambda self: (another(), False)[1], lambda self, value: None)
    def another():
        if len(started) < 3:
            started.append(RunTracker("another", storage=tracker.storage))
            thread = threading.Thread(target=started[-1].start)
            thread.start()
            thread.join()
    started = []
    tracker.start()
    Slow("slow", storage=tracker.storage).start()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)
    """
    returned, _, err, found = run(tmp_path, body)
    assert returned == 143, err
    assert {one.status.value for one in found} == {"aborted"}


def test_a_pools_child_dies_of_the_signal_as_it_would_without_a_tracker(tmp_path):
    body = """
    tracker.start()
    pid = os.fork()
    if not pid:
        try:
            time.sleep(30)
        except BaseException:
            os._exit(0)  # a pool takes an exception for the item's result
        os._exit(1)
    time.sleep(0.5)
    os.kill(pid, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    tracker.complete()
    """
    returned, out, err, (found,) = run(tmp_path, body)
    assert (returned, out.strip()) == (0, str(-signal.SIGTERM)), err
    assert found.status == "success"


def test_runs_are_sealed_before_the_ways_to_a_bucket_close(tmp_path):
    body = """
    tracker.start()
    from prefect_trackrecord.store import _exiting
    seal = tracker._seal
    tracker._seal = lambda ended: (print(_exiting.is_over()), seal(ended))[1]
    """
    _, out, _, (found,) = run(tmp_path, body)
    assert (out.strip(), found.status) == ("False", "aborted")
