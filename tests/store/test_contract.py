"""Every store keeps the same contract: a folder, memory, S3, and what is handed over as a filesystem."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prefect_trackrecord.errors import StoreUnavailableError
from prefect_trackrecord.settings import Settings
from prefect_trackrecord.store import Store, StoreConfig, open_store
from prefect_trackrecord.testing import StoreContract

_numbers = itertools.count()


def _on_azure(options: dict[str, Any], settings: Settings) -> Store:
    """A store in a new container."""
    import adlfs

    name = f"trackrecord-{next(_numbers)}"
    adlfs.AzureBlobFileSystem(**options).mkdir(name)
    return open_store(StoreConfig(f"azure://{name}/some/history", options), settings=settings)


def _on_gcs(options: dict[str, Any], settings: Settings) -> Store:
    """A store in a new bucket."""
    import gcsfs

    name = f"trackrecord-{next(_numbers)}"
    gcsfs.GCSFileSystem(**options).mkdir(name)
    return open_store(StoreConfig(f"gcs://{name}/some/history", options), settings=settings)


class TestLocal(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return open_store(tmp_path / "history")


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return open_store(f"memory://history-{next(_numbers)}/deep")


class TestS3(StoreContract):
    threads = 16
    rounds = 20

    @pytest.fixture
    def store(self, s3_store: Store, s3_server, patient: Settings) -> Store:
        self._server, self._settings = s3_server, patient
        return s3_store

    def another(self, store: Store) -> Store:
        return open_store(StoreConfig(store.url, self._server.options), settings=self._settings)


@pytest.mark.usefixtures("no_obstore")
class TestS3WithoutObstore(TestS3):
    threads = 4
    rounds = 3


class TestS3HandedOver(StoreContract):
    """A user's own s3fs, with its listings cache on."""

    threads = 4
    rounds = 3

    @pytest.fixture
    def store(self, s3_server, bucket: str, patient: Settings) -> Store:
        self._server, self._settings = s3_server, patient
        return open_store(f"{bucket}/x", filesystem=s3_server.filesystem(), settings=patient)

    def another(self, store: Store) -> Store:
        return open_store(store.url, filesystem=self._server.filesystem(), settings=self._settings)


@pytest.mark.xdist_group("azure")  # one server for all of them
class TestAzure(StoreContract):
    """Where adlfs and Azurite are installed."""

    threads = 6
    rounds = 3

    @pytest.fixture
    def store(self, azure_options: dict[str, Any], patient: Settings) -> Store:
        self._options, self._settings = azure_options, patient
        return _on_azure(azure_options, patient)

    def another(self, store: Store) -> Store:
        return open_store(StoreConfig(store.url, self._options), settings=self._settings)

    def test_a_container_that_is_not_there(self, azure_options: dict[str, Any], patient: Settings) -> None:
        store = open_store(StoreConfig("azure://no-such-container/x", azure_options), settings=patient)
        for call in (lambda: store.get("a"), lambda: store.put("a", b"1"), lambda: store.list("a")):
            with pytest.raises(StoreUnavailableError, match="no such bucket or container"):
                call()


@pytest.mark.xdist_group("azure")
@pytest.mark.usefixtures("no_obstore")
class TestAzureWithoutObstore(TestAzure):
    threads = 4


@pytest.mark.xdist_group("gcs")
class TestGcs(StoreContract):
    """Where gcsfs and fake-gcs-server are installed."""

    threads = 8
    rounds = 5

    @pytest.fixture
    def store(self, gcs_options: dict[str, Any], patient: Settings) -> Store:
        self._options, self._settings = gcs_options, patient
        return _on_gcs(gcs_options, patient)

    def another(self, store: Store) -> Store:
        return open_store(StoreConfig(store.url, self._options), settings=self._settings)

    def test_a_bucket_that_is_not_there(self, gcs_options: dict[str, Any], patient: Settings) -> None:
        store = open_store(StoreConfig("gs://no-such-bucket/x", gcs_options), settings=patient)
        for call in (lambda: store.put("a", b"1"), lambda: store.list("a")):
            with pytest.raises(StoreUnavailableError, match="no such bucket"):
                call()


_SIZE = 80
_CHILD = """
import json, resource, sys, tempfile
from prefect_trackrecord.store import StoreConfig, open_store

url, options, size = json.loads(sys.stdin.read())
store = open_store(StoreConfig(url, options))
store.put("a/small", b"1" * (2 << 20))  # clients and connections are there
file = tempfile.TemporaryFile()
for number in range(size):
    file.write(bytes([number]) * (1 << 20))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
etag = store.replace_file("a/large", file, None)
print(json.dumps([etag, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory that a process had at most, in kilobytes")
class TestLargeFiles:
    """An object that comes out of a file is never in memory whole."""

    def _hold(self, store: Store, options: dict[str, Any], settings: Settings) -> None:
        env = {
            **os.environ,
            "PREFECT_HOME": str(settings.prefect_home),
            "TRACKRECORD_STORE_DEADLINE": "30",
            "TRACKRECORD_CALL_DEADLINE": "60",
        }
        said = subprocess.run(
            [sys.executable, "-c", _CHILD],
            input=json.dumps([store.url, options, _SIZE]),
            capture_output=True,
            text=True,
            check=True,
            env=env,
        )
        etag, grown = json.loads(said.stdout)
        assert grown < _SIZE / 2
        assert [(entry.size, entry.etag) for entry in store.list("a") if entry.key == "a/large"] == [
            (_SIZE << 20, etag)
        ]
        blob = store.get("a/large")
        assert blob is not None
        assert all(blob.data[n << 20 : (n + 1) << 20] == bytes([n]) * (1 << 20) for n in range(_SIZE))
        store.delete("a/large")

    def test_s3(self, s3_store: Store, s3_server: Any, patient: Settings) -> None:
        self._hold(s3_store, s3_server.options, patient)

    @pytest.mark.xdist_group("azure")
    def test_azure(self, azure_options: dict[str, Any], patient: Settings) -> None:
        self._hold(_on_azure(azure_options, patient), azure_options, patient)

    @pytest.mark.xdist_group("gcs")
    def test_gcs(self, gcs_options: dict[str, Any], patient: Settings) -> None:
        self._hold(_on_gcs(gcs_options, patient), gcs_options, patient)
