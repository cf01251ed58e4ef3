"""Many calls at once in threads: in order, bounded, and never waiting for ever; and obstore's calls among them."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from prefect_trackrecord.errors import StoreUnavailableError
from prefect_trackrecord.settings import Settings
from prefect_trackrecord.store import StoreConfig, open_store
from prefect_trackrecord.store._crowd import read_in_crowd


def never(item: int) -> int:
    raise AssertionError(f"{item} needs no second try")


def test_results_come_in_order_and_only_so_many_are_under_way() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def quick(item: int) -> tuple[int, int]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.001 * (item % 5))
        with lock:
            running -= 1
        return item * 2, 10

    found = list(read_in_crowd(iter(range(1000)), quick, never, at_once=16, patience=lambda: 30.0))
    assert found == [(n, n * 2) for n in range(1000)]
    assert 8 < most <= 16


def test_what_goes_wrong_is_read_the_sure_way_and_else_its_error() -> None:
    def quick(item: int) -> tuple[int, int]:
        if item % 3 == 0:
            raise RuntimeError("of any kind")
        return item, 1

    def sure(item: int) -> int:
        if item % 6 == 0:
            raise StoreUnavailableError(f"no {item}")
        return -item

    found = dict(read_in_crowd(range(100), quick, sure, at_once=8, patience=lambda: 30.0))
    assert all(found[n] == n for n in range(100) if n % 3)
    assert all(found[n] == -n for n in range(100) if n % 3 == 0 and n % 6)
    assert all(str(found[n]) == f"no {n}" for n in range(0, 100, 6))


def test_large_ones_are_not_held_by_the_thousand() -> None:
    taken: list[int] = []

    def items() -> Any:
        for n in range(400):
            taken.append(n)
            yield n

    reading = read_in_crowd(items(), lambda n: (n, 8 << 20), never, at_once=64, patience=lambda: 30.0)
    for n, _ in reading:
        assert len(taken) <= n + 3 * 32 + 1


@pytest.mark.parametrize("why", ["no answer", "store is down"])
def test_it_does_not_wait_for_ever(why: str) -> None:
    stuck = threading.Event()

    def quick(item: int) -> tuple[int, int]:
        if item == 5:
            stuck.wait(60)
        return item, 1

    def patience() -> float:
        if why == "store is down":
            raise StoreUnavailableError("down")
        return 0.2

    began = time.monotonic()
    found = dict(read_in_crowd(range(10), quick, lambda item: -item, at_once=4, patience=patience))
    stuck.set()
    assert found[5] == -5
    assert time.monotonic() - began < 30


def test_a_reader_that_leaves_early_leaves_no_threads() -> None:
    def ours() -> int:
        return sum(thread.name == "trackrecord-read" for thread in threading.enumerate())

    reading = read_in_crowd(range(10_000), lambda n: (n, 1), never, at_once=8, patience=lambda: 30.0)
    assert next(reading) == (0, 0)
    reading.close()
    end = time.monotonic() + 30
    while ours() and time.monotonic() < end:
        time.sleep(0.01)
    assert ours() == 0


@pytest.mark.parametrize("given", [0, 3])
def test_a_system_that_gives_few_threads(monkeypatch: pytest.MonkeyPatch, given: int) -> None:
    start, started = threading.Thread.start, []

    def limited(thread: threading.Thread) -> None:
        if len(started) == given:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    found = read_in_crowd(range(500), lambda n: (n, 1), lambda n: n, at_once=64, patience=lambda: 30.0)
    assert list(found) == [(n, n) for n in range(500)]
    assert len(started) == given


def test_credentials_that_are_renewed(s3_server: Any, bucket: str, patient: Settings) -> None:
    """As of a role: botocore says which are the present ones, on a loop of its own."""
    pytest.importorskip("obstore")
    store: Any = open_store(StoreConfig(f"s3://{bucket}/x", s3_server.options), settings=patient)
    assert store.get("a/0") is None

    class Held:
        asked = 0
        refresh_needed = None

        async def get_frozen_credentials(self) -> Any:
            type(self).asked += 1
            return self

        access_key, secret_key, token = "testing-key", "testing-secret", "testing-token"

    store._call(lambda driver: driver._sure._client())._request_signer._credentials = Held()
    for n in range(40):
        store.put(f"a/{n}", b"1")
    assert len(store.keys(["a"])) == 40
    for _ in range(5):
        assert all(blob.data == b"1" for _, blob in store.get_many(store.keys(["a"])))
    assert Held.asked == 2, "once when it is set up, once when it is first needed"
    assert store._bulk._reader() is not None, "it went through obstore"


def test_what_is_made_of_an_object_is_made_where_it_was_read(s3_server: Any, bucket: str, patient: Settings) -> None:
    pytest.importorskip("obstore")
    store: Any = open_store(StoreConfig(f"s3://{bucket}/x", s3_server.options), settings=patient)
    for n in range(40):
        store.put(f"a/{n}", b"%d" % n)
    keys = [f"a/{n}" for n in range(40)]
    found = list(
        store.make_many([*keys, "a/none"], lambda key, blob: (int(blob.data), threading.current_thread().name))
    )
    assert [key for key, _ in found] == [*keys, "a/none"]
    assert [number for _, (number, _) in found[:-1]] == list(range(40))
    assert {thread for _, (_, thread) in found[:-1]} == {"trackrecord-read"}
    assert found[-1][1] is None
