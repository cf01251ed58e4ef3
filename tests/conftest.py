"""What all tests share: an environment of their own, process-wide state put back after each, an S3 server."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from prefect_trackrecord import settings
from prefect_trackrecord.documents import troubles
from prefect_trackrecord.journal import context
from prefect_trackrecord.settings import Settings
from prefect_trackrecord.tracking import abort

_numbers = itertools.count(1)
sys.path.insert(0, str(Path(__file__).resolve().parent))  # `faulty` and `services` are for all rooms' tests

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    # a shell's background job ignores Ctrl-C, and so would the programs that tests send it to
    signal.signal(signal.SIGINT, signal.default_int_handler)

from services import azure_options, gcs_options, one_write_at_a_time  # noqa: E402, F401 - fixtures for all rooms


@pytest.fixture(autouse=True)
def own_environment(tmp_path_factory, monkeypatch):
    """Spool and default history of each test in a folder of its own; no setting of the developer's leaks in."""
    folder = tmp_path_factory.mktemp("trackrecord")
    ours = ("TRACKING_PATH", "PREFECT_INTEGRATIONS_TRACKRECORD", "TRACKRECORD_")
    for name in [n for n in os.environ if n.startswith(ours)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRACKRECORD_SPOOL", str(folder / "spool"))
    settings.current.cache_clear()
    troubles._warned.clear()
    yield
    for tracker in list(abort._watched.values()):  # a run that a test left open is no other test's
        abort.unwatch(tracker)
    context._current.set(None)
    if (records := sys.modules.get("prefect_trackrecord.record.tracing")) is not None:
        records.tracing.reset()  # a test that said where records go said so for itself
    settings.current.cache_clear()


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
    logging.getLogger("werkzeug").disabled = True  # a line for each request, to whatever stderr is at that moment
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # Prefect, once imported, prints a line a request
    one_write_at_a_time(server)
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
def no_obstore(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were not installed: all requests are made by the fsspec drivers."""
    monkeypatch.setitem(sys.modules, "obstore", None)


@pytest.fixture
def patient(tmp_path: Any) -> Settings:
    """Settings whose deadlines a busy machine does not miss."""
    env = {"TRACKRECORD_STORE_DEADLINE": "30", "TRACKRECORD_CALL_DEADLINE": "60", "PREFECT_HOME": str(tmp_path)}
    return Settings.from_env(env)
