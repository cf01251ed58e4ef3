"""Fixtures for the stores' tests: an S3 server in this process, and buckets on it."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from prefect_trackrecord.settings import Settings
from prefect_trackrecord.store import Store, StoreConfig, open_store

_numbers = itertools.count(1)


@dataclass
class S3Server:
    """Where it is, and what opens a bucket on it."""

    endpoint: str

    @property
    def options(self) -> dict[str, Any]:
        return {
            "key": "testing-key",
            "secret": "testing-secret",
            "endpoint_url": self.endpoint,
            "client_kwargs": {"region_name": "us-east-1"},
        }

    def filesystem(self) -> Any:
        import s3fs

        return s3fs.S3FileSystem(**self.options, skip_instance_cache=True)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A moto server on a free port. Its PUTs go one by one: moto looks at a condition, then writes."""
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    app, lock = server._server.app, threading.Lock()

    def one_write_at_a_time(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["REQUEST_METHOD"] != "PUT":
            return app(environ, start_response)
        with lock:
            return list(app(environ, start_response))

    server._server.app = one_write_at_a_time
    host, port = server.get_host_and_port()
    yield S3Server(f"http://{host}:{port}")
    server.stop()


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    """The name of a new bucket."""
    name = f"trackrecord-{next(_numbers)}"
    s3_server.filesystem().call_s3("create_bucket", Bucket=name)
    return name


@pytest.fixture
def s3_store(s3_server: S3Server, bucket: str, patient: Settings) -> Store:
    """A store below a folder of a new bucket."""
    return open_store(StoreConfig(f"s3://{bucket}/some/history", s3_server.options), settings=patient)


@pytest.fixture
def patient(tmp_path: Any) -> Settings:
    """Settings whose deadlines a busy machine does not miss."""
    env = {"TRACKRECORD_STORE_DEADLINE": "30", "TRACKRECORD_CALL_DEADLINE": "60", "PREFECT_HOME": str(tmp_path)}
    return Settings.from_env(env)


@pytest.fixture(scope="session")
def azure_options() -> Iterator[dict[str, Any]]:
    """Storage options for an Azurite of our own, where adlfs and the command `azurite` are installed."""
    pytest.importorskip("adlfs")
    command = shutil.which("azurite-blob")
    if command is None:
        pytest.skip("azurite is not installed (npm install -g azurite)")
    flags = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--blobPort"]
    # The account that every Azurite has; its key is public.
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    with _started(lambda port: [command, *flags, str(port)]) as port:
        parts = {
            "DefaultEndpointsProtocol": "http",
            "AccountName": "devstoreaccount1",
            "AccountKey": key,
            "BlobEndpoint": f"http://127.0.0.1:{port}/devstoreaccount1",
        }
        yield {"connection_string": "".join(f"{name}={value};" for name, value in parts.items())}


@pytest.fixture(scope="session")
def gcs_options() -> Iterator[dict[str, Any]]:
    """Storage options for a server like Google's, where gcsfs and the command `fake-gcs-server` are installed."""
    pytest.importorskip("gcsfs")
    command = shutil.which("fake-gcs-server")
    if command is None:
        pytest.skip("fake-gcs-server is not installed")
    with _started(lambda port: [command, "-backend", "memory", "-scheme", "http", "-port", str(port)]) as port:
        yield {"endpoint_url": f"http://127.0.0.1:{port}", "token": "anon", "project": "trackrecord"}


@contextlib.contextmanager
def _started(command: Callable[[int], list[str]]) -> Iterator[int]:
    """A server of our own on a free port, ended with the tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(command(port), cwd=folder, **quiet)
        try:
            end = time.monotonic() + 60
            while not _listens(port):
                assert server.poll() is None, "the server did not start"
                assert time.monotonic() < end, "the server does not listen"
                time.sleep(0.1)
            yield port
        finally:
            server.terminate()
            server.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
