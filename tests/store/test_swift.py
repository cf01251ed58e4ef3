"""Single reads, writes and listings through obstore: their answers, and the driver's own way in every doubt."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from faulty import FaultProxy
from prefect_trackrecord.errors import ConflictError, KeyExistsError, StoreUnavailableError
from prefect_trackrecord.settings import Settings
from prefect_trackrecord.store import StoreConfig, _exiting, _obstore, _swift, open_store
from prefect_trackrecord.store._azure import AzureDriver
from prefect_trackrecord.store._obstore import FastClient
from prefect_trackrecord.store._s3 import S3Driver
from services import azure_endpoint_options

pytest.importorskip("obstore")
Place = tuple[FaultProxy, str, dict[str, Any]]


@pytest.fixture(params=["s3", pytest.param("azure", marks=pytest.mark.xdist_group("azure"))])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A bucket of a service behind a proxy: the proxy, its URL, the options for it."""
    if request.param == "s3":
        server = request.getfixturevalue("s3_server")
        with FaultProxy(server.endpoint).running() as proxy:
            yield proxy, f"s3://{request.getfixturevalue('bucket')}/x", {**server.options, "endpoint_url": proxy.url}
        return
    import adlfs

    own = request.getfixturevalue("azure_options")
    name = f"swift-{uuid.uuid4().hex[:8]}"
    adlfs.AzureBlobFileSystem(**own, skip_instance_cache=True).mkdir(name)
    target = re.search(r"BlobEndpoint=(http://[^/]+)", own["connection_string"])
    assert target is not None
    with FaultProxy(target[1]).running() as proxy:
        yield proxy, f"azure://{name}/x", azure_endpoint_options(proxy.url)


@pytest.fixture
def asked(place: Place, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What the drivers' own ways were asked, of this place; a test before may still upload to another one."""
    found: Counter[str] = Counter()
    ours = {name: place[2][name] for name in ("endpoint_url", "connection_string") if name in place[2]}
    assert ours
    for cls in (S3Driver, AzureDriver):
        for name in ("get", "put", "page"):
            way = getattr(cls, name)

            def spy(self: Any, *args: Any, way: Any = way, name: str = name, **kwargs: Any) -> Any:
                if ours.items() <= self.fs.storage_options.items():
                    found[name] += 1
                return way(self, *args, **kwargs)

            monkeypatch.setattr(cls, name, spy)
    return found


def _opened(place: Place, settings: Settings) -> Any:
    store: Any = open_store(StoreConfig(place[1], place[2]), settings=settings)
    assert store.get("nothing") is None  # the first call is the driver's own
    return store


def test_the_answers_are_the_same(place: Place, asked: Counter[str], patient: Settings) -> None:
    store = _opened(place, patient)
    asked.clear()
    first = store.put("a", b"1")
    assert store.create("b/c=1+@x", b"2") == store.get("b/c=1+@x").etag
    assert store.create("b/c=1+@x", b"2"), "equal content is ours"
    with pytest.raises(KeyExistsError):
        store.create("a", b"2")
    second = store.replace("a", b"2", first)
    with pytest.raises(ConflictError):
        store.replace("a", b"3", first)
    with pytest.raises(ConflictError):
        store.replace("none", b"3", first)
    assert store.get("a") == (b"2", second)
    assert store.get("none") is None
    assert store.put("empty", b"") == store.get("empty").etag
    assert not asked, "all of it went through obstore"
    assert {entry.key: entry.etag for entry in store.list("")}["a"] == second
    asked.clear()
    assert store.put("a b", b"4") == store.get("a b").etag
    assert store.put("a", b"5" * 2_000_000) == store.get("a").etag
    assert asked == {"put": 2, "get": 1}, "odd keys and large objects"


def test_listings_are_the_same(
    place: Place, asked: Counter[str], patient: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _opened(place, patient)
    etags = {f"a/{n}/b": store.put(f"a/{n}/b", b"%d" % n) for n in range(5)}
    store.put("ab", b"no part of it")
    asked.clear()
    assert {entry.key: entry.etag for entry in store.list("a")} == etags
    assert (store.list("none"), asked) == ([], {})
    monkeypatch.setattr(_obstore, "_PAGE", 5)
    assert {entry.key: entry.etag for entry in store.list("a")} == etags
    assert asked == {"page": 1}, "more than one page may be there"


def test_what_stands_for_a_folder_is_no_object(s3_server: Any, bucket: str, patient: Settings) -> None:
    store: Any = open_store(StoreConfig(f"s3://{bucket}/x", s3_server.options), settings=patient)
    s3_server.filesystem().call_s3("put_object", Bucket=bucket, Key="x/a/made-by-a-console/", Body=b"")
    store.put("a/b", b"1")
    assert [entry.key for entry in store.list("a")] == ["a/b"]
    assert store.keys(["a"]) == ["a/b"]


def test_a_write_whose_answer_is_lost(
    place: Place, asked: Counter[str], patient: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_swift, "_REST", 0.0)
    store = _opened(place, patient)
    first = store.put("a", b"1")
    asked.clear()
    place[0].tried.clear()
    place[0].fault = "reset-after"
    created = store.create("made", b"2")
    replaced = store.replace("a", b"3", first)
    place[0].fault = ""
    assert asked["put"] >= 2, "obstore did not know how it ended"
    assert store.get("made") == (b"2", created)
    assert store.get("a") == (b"3", replaced)


@pytest.mark.parametrize("fault", ["503", "reset"])
def test_errors_are_the_drivers_own(place: Place, fault: str) -> None:
    store = _opened(place, Settings.from_env({"TRACKRECORD_STORE_DEADLINE": "30", "TRACKRECORD_CALL_DEADLINE": "3"}))
    store.put("a", b"1")
    place[0].fault = fault
    for call in (lambda: store.get("a"), lambda: store.put("a", b"2")):
        with pytest.raises(StoreUnavailableError, match="overloaded|did not answer") as caught:
            call()
        assert "Debug source" not in str(caught.value)
        assert "obstore" not in repr(caught.value.__cause__)


def test_what_hangs_is_done_the_drivers_own_way_and_let_alone_for_a_while(
    place: Place, asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a proxy, or with a certificate, that only the driver knows of."""
    tried = 0

    async def write(self: FastClient, *args: Any, **kwargs: Any) -> str:
        nonlocal tried
        tried += 1
        await asyncio.sleep(60)
        raise AssertionError("called off long since")

    monkeypatch.setattr(FastClient, "write", write)
    settings = Settings.from_env({"TRACKRECORD_STORE_DEADLINE": "30", "TRACKRECORD_CALL_DEADLINE": "9"})
    store = _opened(place, settings)
    began = time.monotonic()
    for n in range(5):
        store.put(f"a{n}", b"1")
    assert time.monotonic() - began < 15
    assert (tried, asked["put"]) == (1, 5)
    store._session().ready()._rests_until = 0.0
    assert store.get("a0").data == b"1"
    assert asked["get"] == 1, "the first one; obstore is tried again"


def test_a_bucket_that_is_taken_away(s3_server: Any, bucket: str, patient: Settings) -> None:
    store: Any = open_store(StoreConfig(f"s3://{bucket}/x", s3_server.options), settings=patient)
    store.put("a", b"1")
    etag = store.put("a", b"1")
    fs = s3_server.filesystem()
    fs.call_s3("delete_object", Bucket=bucket, Key="x/a")
    fs.call_s3("delete_bucket", Bucket=bucket)
    for call in (lambda: store.get("a"), lambda: store.put("a", b"1"), lambda: store.replace("a", b"2", etag)):
        with pytest.raises(StoreUnavailableError, match="no such bucket"):
            call()


def test_what_is_under_way_as_the_interpreter_ends_is_called_off(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _opened(place, Settings.from_env({"TRACKRECORD_STORE_DEADLINE": "30", "TRACKRECORD_CALL_DEADLINE": "9"}))
    store.put("a", b"1")
    place[0].fault = "silent"

    def put() -> None:
        with contextlib.suppress(StoreUnavailableError):
            store.put("a", b"2")

    thread = threading.Thread(target=put)
    thread.start()
    began = time.monotonic()
    while not _exiting._tasks:
        assert time.monotonic() < began + 30
        time.sleep(0.001)
    monkeypatch.setitem(_exiting._state, "over", False)  # as it is to be again
    _exiting._end()
    assert not _exiting._tasks
    assert time.monotonic() < began + 3, "its own time would have been over then"
    thread.join()
