"""A process that ends as obstore answers: it ends by itself, with its own exit code and nothing on stderr."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from types import SimpleNamespace
from typing import Any

import fsspec.asyn
import pytest

from faulty import FaultProxy
from prefect_trackrecord.store import _exiting, _obstore

pytest.importorskip("obstore")

BEGIN = """
import sys, threading, time
import fsspec.asyn
from prefect_trackrecord.settings import Settings
from prefect_trackrecord.store import StoreConfig, open_store

class Lingering:
    def __del__(self, sleep=time.sleep):
        sleep(2)  # threads that come back to the interpreter in this time are ended by it

sys.modules["lingering"] = Lingering()
endpoint, bucket = sys.argv[1:]
options = {"key": "testing-key", "secret": "testing-secret", "endpoint_url": endpoint,
           "client_kwargs": {"region_name": "us-east-1"}}
settings = Settings.from_env({"TRACKRECORD_STORE_DEADLINE": "20", "TRACKRECORD_CALL_DEADLINE": "20"})
store = open_store(StoreConfig(f"s3://{bucket}/x", options), settings=settings)
store.put("a", b"1")
"""
AN_ANSWER_THAT_IS_STILL_BEING_TOLD = """
loop, main = fsspec.asyn.get_loop(), threading.get_ident()
wake = loop._write_to_self
loop._write_to_self = lambda: (wake(), threading.get_ident() == main or time.sleep(0.7))
store.put("a", b"2")
"""
MANY_THAT_ARE_ON_THEIR_WAY = """
for _ in store.get_many([str(n) for n in range(300)]):
    break
"""
ONE_OF_A_THREAD_THAT_NOBODY_WAITS_FOR = """
from prefect_trackrecord.store import _exiting, _swift

def work():
    while True:
        store.put("a", b"3")

threading.Thread(target=work, daemon=True).start()
while not _exiting._tasks:
    time.sleep(0.001)
"""


@pytest.mark.parametrize(
    "then",
    [AN_ANSWER_THAT_IS_STILL_BEING_TOLD, MANY_THAT_ARE_ON_THEIR_WAY, ONE_OF_A_THREAD_THAT_NOBODY_WAITS_FOR],
    ids=["an answer", "many", "a thread's"],
)
def test_an_interpreter_that_ends(s3_server: Any, bucket: str, then: str) -> None:
    with FaultProxy(s3_server.endpoint).running() as proxy:
        proxy.fault, proxy.seconds = "slow", 0.7
        command = [sys.executable, "-c", BEGIN + then, proxy.url, bucket]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_begins_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_exiting._state, "over", True)
    assert not _obstore.available(), "the driver's own way is taken, also by what completes runs at the end"


def test_what_a_fork_finds_under_way_is_the_parents() -> None:
    code = textwrap.dedent("""
        import os
        from prefect_trackrecord.store import _exiting
        with _exiting.called_by_obstore():
            pid = os.fork()
            if not pid:
                os._exit(len(_exiting._calls) + len(_exiting._tasks))
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    """)
    subprocess.run([sys.executable, "-c", code], check=True)


def test_credentials_that_are_being_renewed_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_exiting._state, "over", False)  # as it is to be again
    held, renewed = threading.Event(), []

    class Role:
        async def get_frozen_credentials(self) -> Any:
            held.set()
            await asyncio.sleep(0.3)
            return SimpleNamespace(access_key="a", secret_key="b", token="c")

    credentials = _obstore._renewed(Role(), fsspec.asyn.get_loop())
    thread = threading.Thread(target=lambda: renewed.append(credentials()["token"]))
    thread.start()
    assert held.wait(10)
    _exiting._end()
    thread.join(0.2)
    assert renewed == ["c"]
