"""Whether a process lives, where the system hides other users' processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from prefect_trackrecord.journal.liveness import boot_id, host_name, is_alive, start_ticks

ASKS = """
    import os, sys
    from prefect_trackrecord.journal.liveness import boot_id, host_name, is_alive, start_ticks
    others, gone = int(sys.argv[1]), int(sys.argv[2])
    assert is_alive(host_name(), boot_id(), others, 0) is not False, "all is loaded"
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    assert os.path.exists(f"/proc/{others}") is (sys.argv[3] == "1"), "it is hidden, or what is in it"
    assert start_ticks(os.getpid()), "its own is not"
    print([is_alive(host_name(), boot_id(), pid, 1) for pid in (others, gone, os.getpid())])
"""


def gone_pid():
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_here():
    said = [is_alive(host_name(), boot_id(), os.getpid(), ticks) for ticks in (0, start_ticks(os.getpid()), 1)]
    assert said == [True, True, False], "another process had that number before"
    assert is_alive(host_name(), boot_id(), gone_pid(), 0) is False


@pytest.mark.parametrize("hidepid", [1, 2])
def test_a_process_that_is_hidden_is_not_taken_for_gone(hidepid):
    """On a server whose /proc hides other users' processes, a recovery of another user must not close living runs."""
    if os.getuid() != 0:
        pytest.skip("only root can hide processes")
    mount = f'mount -t proc -o hidepid={hidepid} proc /proc && exec "$@"'
    ask = [sys.executable, "-c", textwrap.dedent(ASKS), str(os.getpid()), str(gone_pid()), str(hidepid)]
    command = ["unshare", "--mount", "sh", "-c", mount, "sh", *ask]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip("nothing can be mounted here")
    assert done.stdout.strip() == "[None, False, False]", done.stderr
