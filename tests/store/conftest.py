"""Fixtures for the stores' tests."""

from __future__ import annotations

from typing import Any

import pytest

from prefect_trackrecord.settings import Settings
from prefect_trackrecord.store import Store, StoreConfig, open_store


@pytest.fixture
def s3_store(s3_server: Any, bucket: str, patient: Settings) -> Store:
    """A store below a folder of a new bucket."""
    return open_store(StoreConfig(f"s3://{bucket}/some/history", s3_server.options), settings=patient)
