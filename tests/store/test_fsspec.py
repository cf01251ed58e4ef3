"""What stands between fsspec's drivers and us: deadlines, errors, forks, and filesystems handed over."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefect_trackrecord.errors import ConflictError, StoreUnavailableError, UsageError
from prefect_trackrecord.settings import Settings
from prefect_trackrecord.store import Blob, Store, StoreConfig, open_store
from prefect_trackrecord.store import _s3 as s3_module
from prefect_trackrecord.store._budget import pressing
from prefect_trackrecord.store._deadline import Health
from prefect_trackrecord.store._driver import Page, Refused
from prefect_trackrecord.store._faults import Kind, in_words, kind_of
from prefect_trackrecord.store._session import Session
from prefect_trackrecord.testing import StoreContract

_numbers = itertools.count()
DEADLINE = Settings.from_env({"TRACKRECORD_STORE_DEADLINE": "1.5"})


# A store that is down.


@contextlib.contextmanager
def _port_of(kind: str) -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        if kind == "silent":
            listener.listen(64)  # connections are made by the kernel, and nobody ever answers
            yield port
            return
    yield port


@pytest.mark.parametrize("kind", ["nobody listens", "silent"])
def test_a_store_that_is_down_costs_little(kind: str) -> None:
    pytest.importorskip("s3fs")
    with _port_of(kind) as port:
        options = {
            "key": "testing-key",
            "secret": "a-very-secret-secret",
            "endpoint_url": f"http://127.0.0.1:{port}",
            "client_kwargs": {"region_name": "us-east-1"},
        }
        store = open_store(StoreConfig("s3://bucket/x", options), settings=DEADLINE)
        start, calls = time.monotonic(), _calls(store)
        for call in calls:
            with pytest.raises(StoreUnavailableError, match="s3://bucket/x did not answer") as caught:
                call()
            assert "a-very-secret-secret" not in str(caught.value)
        for _, answer in store.get_many(["a", "b", "c"]):
            assert isinstance(answer, StoreUnavailableError)
        assert time.monotonic() - start < 8, "each of its ten calls would have taken its 1.5 s"


def test_threads_on_a_silent_store_lose_no_more_than_one() -> None:
    pytest.importorskip("s3fs")
    with _port_of("silent") as port:
        options = {"key": "k", "secret": "s", "endpoint_url": f"http://127.0.0.1:{port}"}
        store = open_store(StoreConfig("s3://bucket/x", options), settings=DEADLINE)
        failed: list[str] = []

        def work(index: int) -> None:
            for call in _calls(store):
                try:
                    call()
                except StoreUnavailableError as exc:
                    failed.append(str(exc))

        threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
        start = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert time.monotonic() - start < 8, "each of a thread's seven calls would have taken its 1.5 s"
        assert len(failed) == 8 * len(_calls(store))


def _calls(store: Store) -> list[Callable[[], Any]]:
    return [
        lambda: store.get("a/b"),
        lambda: store.put("a/b", b"1"),
        lambda: store.create("a/b", b"1" * 2_000_000),
        lambda: store.replace("a/b", b"1", "etag"),
        lambda: store.list("a"),
        lambda: store.folders("a"),
        lambda: store.delete("a/b"),
    ]


def test_health_waits_longer_each_time_and_forgets_when_answered() -> None:
    now = 0.0
    health = Health(3, 30, lambda: now)
    assert health.seconds() == 3
    health.failed("refused")
    with pytest.raises(StoreUnavailableError, match="refused"):
        health.seconds()
    now = 14.9
    with pytest.raises(StoreUnavailableError):
        health.seconds()
    now = 15.1
    assert health.seconds() == 1.5
    health.failed("refused again")
    now = 15.1 + 29
    with pytest.raises(StoreUnavailableError, match="again"):
        health.seconds()
    now = 15.1 + 31
    assert health.seconds() == 1.5
    health.succeeded()
    assert health.seconds() == 30
    health.failed("gone")
    now += 15.1
    assert health.seconds() == 1.5
    for _ in range(5000):
        health.failed("gone for good")
    now += 121
    assert health.seconds() == 1.5


def test_who_would_lose_something_tries_sooner() -> None:
    now = 0.0
    health = Health(3, 30, lambda: now)
    for _ in range(5):
        health.failed("refused")
    with pressing():
        with pytest.raises(StoreUnavailableError):
            health.seconds()
        now = 2.1
        assert health.seconds() == 1.5
    with pytest.raises(StoreUnavailableError):
        health.seconds()


class _Slow:
    """A serial driver that takes its time, and counts how often it was asked."""

    serial, conditional, fs = True, False, None

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.pause = 0.0
        self.error: Exception | None = None

    async def get(self, key: str) -> Blob | None:
        self.asked.append(key)
        time.sleep(self.pause)
        if self.error is not None:
            raise self.error
        return Blob(b"1", "e")

    async def put(self, key: str, data: bytes, *, etag: str | None = None, absent: bool = False) -> str:
        self.asked.append(key)
        raise Refused

    async def page(self, prefix: str, token: str | None, *, deep: bool) -> Page:
        self.asked.append(f"list {prefix}")
        return Page()

    async def delete(self, key: str) -> None: ...


def test_a_large_first_call_is_preceded_by_a_small_one() -> None:
    driver = _Slow()
    session = Session("x://y", lambda: driver, 0.3, 5, secrets={})
    session.call(lambda d: d.page("a", None, deep=True), large=True)
    assert driver.asked == ["trackrecord-probe", "list a"]
    driver.pause = 0.6  # longer than a first call may take; but the store has answered by now
    assert session.call(lambda d: d.get("b")) == Blob(b"1", "e")


def test_a_store_comes_back() -> None:
    now, driver = 0.0, _Slow()
    session = Session("x://y", lambda: driver, 0.2, 5, secrets={}, clock=lambda: now + time.monotonic())
    driver.pause = 1
    with pytest.raises(StoreUnavailableError, match=r"x://y did not answer: TimeoutError: no answer within 0\.2 s"):
        session.call(lambda d: d.get("a"))
    driver.pause, asked = 0.0, len(driver.asked)
    with pytest.raises(StoreUnavailableError):
        session.call(lambda d: d.get("a"))
    assert len(driver.asked) == asked, "while it is down it is not asked"
    now = 16
    assert session.call(lambda d: d.get("a")) == Blob(b"1", "e")


def test_an_answer_that_is_an_error_does_not_mean_down() -> None:
    driver = _Slow()
    session = Session("x://y", lambda: driver, 1, 5, secrets={"password": "hunter2hunter2"})
    driver.error = PermissionError(13, "no: hunter2hunter2")
    for _ in range(3):
        with pytest.raises(StoreUnavailableError, match="credentials.*way out") as caught:
            session.call(lambda d: d.get("a"))
        assert "hunter2hunter2" not in str(caught.value)
    driver.error = None
    assert session.call(lambda d: d.get("a")) == Blob(b"1", "e")


def test_a_driver_that_can_not_be_made_is_unavailable() -> None:
    def connect() -> Any:
        raise ValueError("Must provide either a connection_string or account_name")

    session = Session("abfs://c", connect, 1, 5, secrets={})
    with pytest.raises(StoreUnavailableError, match="abfs://c failed: ValueError: Must provide"):
        session.call(lambda d: d.get("a"))


# What errors mean.


def _made(name: str, base: type[Exception] = Exception, **values: Any) -> Exception:
    error = type(name, (base,), {})("it says so")
    for key, value in values.items():
        setattr(error, key, value)
    return error


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def _boto(code: str, status: int) -> Exception:
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return _made("ClientError", response=response)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_caused(FileNotFoundError("x"), _boto("NoSuchKey", 404)), Kind.MISSING),
        (_caused(FileNotFoundError("x"), _boto("NoSuchBucket", 404)), Kind.NO_BUCKET),
        (_caused(OSError(errno.EINVAL, "x"), _boto("PreconditionFailed", 412)), Kind.REFUSED),
        (_caused(OSError(errno.EIO, "x"), _boto("ConditionalRequestConflict", 409)), Kind.RACED),
        (_caused(OSError(errno.ENOSYS, "x"), _boto("NotImplemented", 501)), Kind.UNSUPPORTED),
        (_caused(PermissionError("x"), _boto("AccessDenied", 403)), Kind.DENIED),
        (_caused(PermissionError("x"), _boto("SomethingNew", 403)), Kind.DENIED),
        (_caused(OSError(errno.EIO, "x"), _boto("InternalError", 500)), Kind.BUSY),
        (_made("NoCredentialsError"), Kind.DENIED),
        (_made("EndpointConnectionError"), Kind.DOWN),
        (_made("ReadTimeoutError", type("HTTPClientError", (Exception,), {})), Kind.DOWN),
        (_made("ResourceNotFoundError", status_code=404, error_code="BlobNotFound"), Kind.MISSING),
        (_made("ResourceNotFoundError", status_code=404, error_code="ContainerNotFound"), Kind.NO_BUCKET),
        (_made("ResourceExistsError", status_code=409, error_code="BlobAlreadyExists"), Kind.REFUSED),
        (_made("ResourceModifiedError", status_code=412, error_code="ConditionNotMet"), Kind.REFUSED),
        (_made("ClientAuthenticationError", status_code=401), Kind.DENIED),
        (_made("ServiceRequestError"), Kind.DOWN),
        (_made("HttpError", code=412), Kind.REFUSED),
        (_made("HttpError", code=503), Kind.BUSY),
        (_made("DefaultCredentialsError"), Kind.DENIED),
        (_made("ClientConnectorError", type("ClientConnectionError", (OSError,), {})), Kind.DOWN),
        (FileNotFoundError("x"), Kind.MISSING),
        (FileExistsError("x"), Kind.REFUSED),
        (TimeoutError(), Kind.DOWN),
        (ConnectionRefusedError(), Kind.DOWN),
        (socket.gaierror(-2, "Name or service not known"), Kind.DOWN),
        (OSError(errno.EHOSTUNREACH, "x"), Kind.DOWN),
        (RuntimeError("cannot schedule new futures after interpreter shutdown"), Kind.OTHER),
    ],
    ids=lambda value: value.name if isinstance(value, Kind) else type(value).__name__,
)
def test_what_an_error_means(error: Exception, kind: Kind) -> None:
    assert kind_of(error) is kind


def test_words_hide_secrets_and_are_one_line() -> None:
    error = ValueError("\n  key=abcdefghij sas=0123456789\nmore")
    secrets = {"key": "abcdefghij", "client_kwargs": {"sas": "0123456789"}, "short": "key"}
    assert in_words(error, secrets) == "ValueError: key=******** sas=********"
    assert in_words(ValueError(), {}) == "ValueError"


# S3.


def test_a_bucket_that_is_not_there(s3_server: Any, patient: Settings) -> None:
    store = open_store(StoreConfig("s3://no-such-bucket/x", s3_server.options), settings=patient)
    for call in _calls(store):
        with pytest.raises(StoreUnavailableError, match="no such bucket.*create it first"):
            call()


def test_listings_of_many_pages(s3_server: Any, bucket: str, patient: Settings) -> None:
    options = {**s3_server.options, "s3_additional_kwargs": {"MaxKeys": 3}}
    store = open_store(StoreConfig(f"s3://{bucket}", options), settings=patient)
    keys = [f"a/{number % 4}/{number}" for number in range(20)]
    for key in keys:
        store.put(key, b"1")
    assert [entry.key for entry in store.list("a")] == sorted(keys)
    assert store.folders("a") == ["0", "1", "2", "3"]


def test_our_own_parser_reads_the_listings(s3_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    parse = s3_module._parse_listing

    def spy(response_dict: Any, customized_response_dict: Any, **more: Any) -> None:
        parse(response_dict, customized_response_dict, **more)
        seen.append(len(customized_response_dict[s3_module._ENTRIES]))

    monkeypatch.setattr(s3_module, "_parse_listing", spy)
    s3_store.put("a/b+c d&e.json", b"1")
    assert [entry.key for entry in s3_store.list("")] == ["a/b+c d&e.json"]
    assert seen == [1]


def test_foreign_objects_are_left_alone(s3_server: Any, bucket: str, s3_store: Store) -> None:
    fs = s3_server.filesystem()
    for key in ("some/history/a/", "some/history/a/.keep", "some/history/a//b", "some/historyx/c", "top"):
        fs.call_s3("put_object", Bucket=bucket, Key=key, Body=b"")
    s3_store.put("a/b", b"1")
    assert [entry.key for entry in s3_store.list("")] == ["a/b"]
    assert s3_store.folders("") == ["a"]


def test_a_child_made_by_fork_and_its_parent_both_go_on(s3_server: Any, bucket: str, tmp_path: Path) -> None:
    code = """
import os, sys
from prefect_trackrecord.settings import Settings
from prefect_trackrecord.store import StoreConfig, open_store
import s3fs
endpoint, bucket, how = sys.argv[1:]
options = {"key": "testing-key", "secret": "testing-secret", "endpoint_url": endpoint,
           "client_kwargs": {"region_name": "us-east-1"}}
settings = Settings.from_env({"TRACKRECORD_STORE_DEADLINE": "20"})
if how == "url":
    store = open_store(StoreConfig(f"s3://{bucket}/x", options), settings=settings)
else:
    store = open_store(f"{bucket}/x", filesystem=s3fs.S3FileSystem(**options), settings=settings)
store.put("before", b"parent")
quickly = lambda: [blob.data for _, blob in store.get_many(store.keys([""]))][0] == b"parent"
assert quickly()  # through obstore, which must not be used by the child
child = os.fork()
if child == 0:
    ok = False
    try:
        ok = store.get("before").data == b"parent" and quickly() and bool(store.put("child", b"1"))
    finally:
        os._exit(0 if ok else 1)
_, status = os.waitpid(child, 0)
store.put("after", b"1")
assert os.waitstatus_to_exitcode(status) == 0, status
assert [blob.data for _, blob in store.get_many(["before", "child"])] == [b"parent", b"1"]
assert [entry.key for entry in store.list("")] == ["after", "before", "child"]
"""
    for how in ("url", "filesystem"):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        done = subprocess.run(
            [sys.executable, "-c", code, s3_server.endpoint, bucket, how],
            env=env,
            timeout=120,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        s3_server.filesystem().call_s3("delete_object", Bucket=bucket, Key="x/after")
        s3_server.filesystem().call_s3("delete_object", Bucket=bucket, Key="x/child")


# Filesystems that are handed over.


class _Duck:
    """A filesystem that is none of fsspec's: the few methods that we need, kept in its global memory."""

    protocol = "duck"

    def __init__(self) -> None:
        import fsspec

        self._fs = fsspec.filesystem("memory")

    def __getattr__(self, name: str) -> Any:
        if name not in ("cat_file", "pipe_file", "find", "info", "rm_file", "makedirs"):
            raise AttributeError(name)
        return getattr(self._fs, name)


class TestAnyFilesystem(StoreContract):
    @pytest.fixture
    def store(self, patient: Settings) -> Store:
        self._settings = patient
        return open_store(f"duck-{next(_numbers)}/deep", filesystem=_Duck(), settings=patient)

    def another(self, store: Store) -> Store:
        return open_store(store.url, filesystem=_Duck(), settings=self._settings)


def test_any_asynchronous_filesystem(tmp_path: Path, patient: Settings) -> None:
    import fsspec
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

    store = open_store(str(tmp_path), filesystem=AsyncFileSystemWrapper(fsspec.filesystem("file")), settings=patient)
    assert store.local_root is None
    etag = store.put("a/b", b"1")
    assert store.get("a/b") == Blob(b"1", etag)
    assert store.get("a/none") is None
    new = store.replace("a/b", b"22", etag)
    with pytest.raises(ConflictError):
        store.replace("a/b", b"333", etag)
    assert [(entry.key, entry.size, entry.etag) for entry in store.list("a")] == [("a/b", 2, new)]
    assert store.folders("") == ["a"]
    assert [blob for _, blob in store.get_many(["a/b", "a/none"])] == [Blob(b"22", new), None]
    store.delete("a/b")
    assert store.list("") == []


def test_a_local_filesystem_becomes_a_local_store(tmp_path: Path) -> None:
    import fsspec
    from fsspec.implementations.dirfs import DirFileSystem

    local = fsspec.filesystem("file")
    assert open_store(f"file://{tmp_path}/x", filesystem=local).local_root == tmp_path / "x"
    assert open_store(str(tmp_path / "x"), filesystem=local).local_root == tmp_path / "x"
    assert open_store("x", filesystem=DirFileSystem(str(tmp_path), local)).local_root == tmp_path / "x"


def test_the_protocol_is_dropped_beside_a_filesystem() -> None:
    import fsspec

    name = f"seed-{next(_numbers)}"
    store = open_store(f"azure://{name}/run_metadata", filesystem=fsspec.filesystem("memory"))
    store.put("a/b", b"1")
    assert fsspec.filesystem("memory").cat_file(f"/{name}/run_metadata/a/b") == b"1"


def test_memory_is_that_of_fsspec() -> None:
    import fsspec

    name, fs = f"shared-{next(_numbers)}", fsspec.filesystem("memory")
    store = open_store(f"memory://{name}")
    store.put("a/b", b"1")
    assert fs.cat_file(f"/{name}/a/b") == b"1"
    fs.pipe_file(f"/{name}/a/c", b"2")
    blob = store.get("a/c")
    assert blob is not None
    assert blob.data == b"2"
    fs.pipe_file(f"/{name}/a/c", b"3")
    with pytest.raises(ConflictError):
        store.replace("a/c", b"4", blob.etag)


def test_what_is_no_filesystem_is_refused() -> None:
    with pytest.raises(UsageError, match="Path is no fsspec filesystem|PosixPath"):
        open_store("x", filesystem=Path())
