"""Every store keeps the same contract: a folder, memory, S3, and what is handed over as a filesystem."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

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
