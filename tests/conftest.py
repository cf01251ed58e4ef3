"""What all tests share: an environment of their own, and the process-wide state put back after each."""

from __future__ import annotations

import pytest

from prefect_trackrecord import settings
from prefect_trackrecord.documents import archive


@pytest.fixture(autouse=True)
def own_environment(tmp_path_factory, monkeypatch):
    """Spool and default history of each test in a folder of its own; no setting of the developer's leaks in."""
    folder = tmp_path_factory.mktemp("trackrecord")
    for name in ("TRACKING_PATH", "PREFECT_INTEGRATIONS_TRACKRECORD_STORAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRACKRECORD_SPOOL", str(folder / "spool"))
    settings.current.cache_clear()
    archive._warned.clear()
    yield
    settings.current.cache_clear()
