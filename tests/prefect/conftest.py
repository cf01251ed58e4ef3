"""One Prefect API for all tests here, with a home of its own, and a history for each test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """The server's start counts as part of the test that comes first."""
    for item in items:
        if item.path.is_relative_to(HERE) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session", autouse=True)
def prefect_api(tmp_path_factory):
    """An ephemeral server of these tests' own."""
    from prefect.logging.configuration import setup_logging
    from prefect.settings import PREFECT_HOME, PREFECT_LOGGING_LEVEL, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    home = tmp_path_factory.mktemp("prefect_home")
    before = os.environ.get("PREFECT_HOME")
    os.environ["PREFECT_HOME"] = str(home)  # for the processes of pools
    try:
        # the server makes its database first, which takes a busy machine long
        with temporary_settings({PREFECT_HOME: home, PREFECT_LOGGING_LEVEL: "INFO"}), prefect_test_harness(240):
            setup_logging()  # its first call replaces the handlers by which tests see the log
            yield
    finally:
        os.environ.pop("PREFECT_HOME")
        if before is not None:
            os.environ["PREFECT_HOME"] = before


@pytest.fixture
def history(tmp_path, monkeypatch):
    """Where this test's flows keep their runs."""
    from prefect_trackrecord.tracking import TrackingStorage

    monkeypatch.setenv("TRACKING_PATH", str(tmp_path / "history"))
    return TrackingStorage(base_path=tmp_path / "history")


@pytest.fixture
def only_run(history):
    """Gives the one run that this test's flow left, and its rows by path."""

    def read():
        (run,) = history.list_runs()
        return run, {row.file_path: row for row in history.archive.files(run)}

    return read
