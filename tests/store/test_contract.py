"""Every store keeps the same contract: a folder, memory, S3, and what is handed over as a filesystem."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from prefect_trackrecord.errors import StoreUnavailableError
from prefect_trackrecord.settings import Settings
from prefect_trackrecord.store import Store, StoreConfig, open_store
from prefect_trackrecord.testing import StoreContract

_numbers = itertools.count()


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
        import adlfs

        self._options, self._settings = azure_options, patient
        name = f"trackrecord-{next(_numbers)}"
        adlfs.AzureBlobFileSystem(**azure_options).mkdir(name)
        return open_store(StoreConfig(f"azure://{name}/some/history", azure_options), settings=patient)

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
        import gcsfs

        self._options, self._settings = gcs_options, patient
        name = f"trackrecord-{next(_numbers)}"
        gcsfs.GCSFileSystem(**gcs_options).mkdir(name)
        return open_store(StoreConfig(f"gcs://{name}/some/history", gcs_options), settings=patient)

    def another(self, store: Store) -> Store:
        return open_store(StoreConfig(store.url, self._options), settings=self._settings)

    def test_a_bucket_that_is_not_there(self, gcs_options: dict[str, Any], patient: Settings) -> None:
        store = open_store(StoreConfig("gs://no-such-bucket/x", gcs_options), settings=patient)
        for call in (lambda: store.put("a", b"1"), lambda: store.list("a")):
            with pytest.raises(StoreUnavailableError, match="no such bucket"):
                call()
