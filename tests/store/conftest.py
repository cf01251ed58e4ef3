"""Fixtures for the stores' tests: stores on an S3 server, and servers of other kinds."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from prefect_trackrecord.settings import Settings
from prefect_trackrecord.store import Store, StoreConfig, open_store


@pytest.fixture
def s3_store(s3_server: Any, bucket: str, patient: Settings) -> Store:
    """A store below a folder of a new bucket."""
    return open_store(StoreConfig(f"s3://{bucket}/some/history", s3_server.options), settings=patient)


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
