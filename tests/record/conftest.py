"""A process that knows nothing of records yet, and a folder of its own, for each test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prefect_trackrecord.record.tracing import tracing

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


@pytest.fixture(autouse=True)
def new_process():
    tracing.reset()
    yield
    tracing.reset()


@pytest.fixture(scope="session")
def png() -> bytes:
    """The smallest picture there is."""
    return PNG


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "rf"


@pytest.fixture
def run(folder) -> Path:
    """The folder of the run that is used where no names are given."""
    return folder / "process_name" / "run_id"


@pytest.fixture
def log(run):
    """Reads `records_logs.json` as any program would."""

    def read() -> dict:
        return json.loads((run / "records_logs.json").read_bytes())["data"]

    return read
