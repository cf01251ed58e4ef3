"""The storage block and the settings."""

from __future__ import annotations

import asyncio
import socket

import pytest
from prefect import flow
from prefect.settings import get_current_settings
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from pydantic import ValidationError

from prefect_trackrecord import TrackRecordStorage, track
from prefect_trackrecord._prefect import settings
from prefect_trackrecord.errors import ConfigurationError
from prefect_trackrecord.tracking import TrackingStorage, resolve_storage

pytestmark = pytest.mark.prefect


def online() -> bool:
    try:
        socket.create_connection(("raw.githubusercontent.com", 443), 2).close()
    except OSError:
        return False
    return True


class TestStandard(BlockStandardTestSuite):
    @pytest.fixture
    def block(self):
        return TrackRecordStorage

    def test_has_a_valid_image(self, block):
        if not online():
            pytest.skip("the logo is on the internet")
        super().test_has_a_valid_image(block)


@pytest.fixture
def saved(tmp_path):
    TrackRecordStorage(url=str(tmp_path / "history"), storage_options={"key": "AKIA", "secret": "hunter2"}).save(
        "mine", overwrite=True, _sync=True
    )
    return TrackingStorage(base_path=tmp_path / "history")


def test_its_slug_and_collection():
    from importlib.metadata import entry_points

    assert TrackRecordStorage.get_block_type_slug() == "trackrecord-storage"
    (entry,) = [e for e in entry_points(group="prefect.collections") if e.name == "prefect_trackrecord"]
    assert entry.load().TrackRecordStorage is TrackRecordStorage


def test_its_options_are_secret(saved):
    block = TrackRecordStorage.load("mine", _sync=True)
    assert "hunter2" not in repr(block)
    assert "hunter2" not in str(block.model_dump())
    assert block.store_config().options == {"key": "AKIA", "secret": "hunter2"}
    assert "hunter2" not in repr(block.store_config())


def test_a_url_that_can_not_be_parsed_is_refused():
    with pytest.raises(ValidationError, match="did you mean s3://bucket"):
        TrackRecordStorage(url="s3:/bucket")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_flow_finds_it_by_name(saved, is_async):
    def body():
        return 1

    async def abody():
        return 1

    tracked = track(storage="trackrecord-storage/mine")(flow(abody if is_async else body, name="blocked"))
    assert (asyncio.run(tracked()) if is_async else tracked()) == 1
    assert [run.flow_name for run in saved.list_runs()] == ["blocked"]


def test_a_flow_takes_the_block_itself(saved):
    block = TrackRecordStorage.load("mine", _sync=True)
    track(storage=block)(flow(lambda: 1, name="given"))()
    assert [run.flow_name for run in saved.list_runs()] == ["given"]


def test_the_environment_may_name_it(saved, monkeypatch):
    monkeypatch.setenv("TRACKING_PATH", "trackrecord-storage/mine")
    assert resolve_storage(None, settings.current()).url == saved.url


def test_a_name_that_there_is_no_block_of():
    with pytest.raises(ConfigurationError, match="the block trackrecord-storage/nobody can't be loaded"):
        resolve_storage("trackrecord-storage/nobody")


def test_the_setting_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PREFECT_INTEGRATIONS_TRACKRECORD_STORAGE", str(tmp_path / "set"))
    track(flow(lambda: 1, name="by-setting"))()
    assert [r.flow_name for r in TrackingStorage(base_path=tmp_path / "set").list_runs()] == ["by-setting"]


@pytest.mark.parametrize(
    ("name", "table"),
    [("pyproject.toml", "tool.prefect.integrations.trackrecord"), ("prefect.toml", "integrations.trackrecord")],
)
def test_the_setting_of_a_file(monkeypatch, tmp_path, name, table):
    (tmp_path / name).write_text(f'[{table}]\nstorage = "{tmp_path}/filed"\n')
    monkeypatch.chdir(tmp_path)
    assert settings.current().prefect_storage == f"{tmp_path}/filed"


def test_the_prefect_home_of_a_profile_counts():
    home = get_current_settings().home
    assert settings.current().default_path == home / "trackrecord" / "history"
