"""The blocks and the settings."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from prefect.types import SecretDict
from pydantic import SecretStr, ValidationError

from prefect_trackrecord import TrackRecordDelivery, TrackRecordStorage, track
from prefect_trackrecord._prefect import settings
from prefect_trackrecord._prefect.delivery_block import load_report_config
from prefect_trackrecord._prefect.filesystem_blocks import config_of
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
    @pytest.fixture(params=[TrackRecordStorage, TrackRecordDelivery])
    def block(self, request):
        return request.param

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


# --- filesystem blocks that are there already ----------------------------------------------------------------------


def test_a_local_filesystem_block(tmp_path):
    from prefect.filesystems import LocalFileSystem

    LocalFileSystem(basepath=str(tmp_path)).save("disk", overwrite=True, _sync=True)
    block = TrackRecordStorage(filesystem=LocalFileSystem.load("disk", _sync=True), url="history")
    block.save("on-disk", overwrite=True, _sync=True)
    loaded = TrackRecordStorage.load("on-disk", _sync=True)
    track(storage=loaded)(flow(lambda: 1, name="on-disk"))()
    assert [r.flow_name for r in TrackingStorage(base_path=tmp_path / "history").list_runs()] == ["on-disk"]


def test_a_remote_filesystem_block_keeps_its_secrets_to_itself(s3_server, bucket):
    from prefect.filesystems import RemoteFileSystem

    RemoteFileSystem(basepath=f"s3://{bucket}/base", settings=s3_server.options).save("r", overwrite=True, _sync=True)
    TrackRecordStorage(filesystem=RemoteFileSystem.load("r", _sync=True)).save("remote", overwrite=True, _sync=True)
    track(storage="trackrecord-storage/remote")(flow(lambda: 1, name="remote"))()
    place = TrackingStorage(base_path=f"s3://{bucket}/base", options=s3_server.options)
    assert [r.flow_name for r in place.list_runs()] == ["remote"]


class Credentials:
    """The fields of prefect-aws' AwsCredentials that matter."""

    def __init__(self, server):
        self.aws_access_key_id, self.aws_secret_access_key = server.options["key"], SecretStr(server.options["secret"])
        self.aws_session_token = self.profile_name = None
        self.region_name = "us-east-1"
        self.aws_client_parameters = SimpleNamespace(endpoint_url=server.endpoint, use_ssl=True, verify=True)


def test_what_has_the_fields_of_an_s3_bucket(s3_server, bucket):
    block = SimpleNamespace(bucket_name=bucket, bucket_folder="in/it", credentials=Credentials(s3_server))
    config = config_of(block, "history")
    assert config.url == f"s3://{bucket}/in/it/history"
    storage = TrackingStorage(base_path=config.url, options=config.options)
    track(storage=storage)(flow(lambda: 1, name="bucket"))()
    assert [r.flow_name for r in storage.list_runs()] == ["bucket"]
    block.credentials.aws_client_parameters.verify = False
    assert config_of(block).options["client_kwargs"] == {"region_name": "us-east-1", "verify": False}


def test_what_has_the_fields_of_a_gcs_bucket():
    info = SecretDict({"client_email": "a@b"})
    credentials = SimpleNamespace(service_account_info=info, service_account_file=None, project="p")
    block = SimpleNamespace(bucket="b", bucket_folder="f/", gcp_credentials=credentials)
    config = config_of(block)
    assert (config.url, config.options) == ("gs://b/f", {"token": {"client_email": "a@b"}, "project": "p"})


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        (
            {"connection_string": SecretStr("UseDevelopmentStorage=true")},
            {"connection_string": "UseDevelopmentStorage=true"},
        ),
        (
            {"account_url": "https://acc.blob.core.windows.net/"},
            {"account_name": "acc", "account_host": "acc.blob.core.windows.net", "anon": False},
        ),
    ],
)
def test_what_has_the_fields_of_an_azure_container(fields, options):
    names = ("connection_string", "account_url", "client_id", "tenant_id", "client_secret")
    credentials = SimpleNamespace(**{**dict.fromkeys(names), **fields})
    block = SimpleNamespace(container_name="c", base_folder=None, credentials=credentials)
    config = config_of(block, "h")
    assert (config.url, config.options) == ("abfs://c/h", options)


def test_what_is_no_filesystem_is_refused():
    with pytest.raises(ConfigurationError, match="can't keep a history"):
        config_of(SimpleNamespace())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "give a URL, or a filesystem block"),
        ({"url": "s3://bucket", "filesystem_block": "s3-bucket/x"}, "a folder inside of it"),
        ({"filesystem_block": "x"}, "pattern"),
    ],
)
def test_a_block_that_means_no_place_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        TrackRecordStorage(**fields)


@pytest.mark.parametrize(
    "data",
    [
        {"filesystem": {}},  # UI v1 preselects the first kind of filesystem
        {},  # UI v2
        {"filesystem": {}, "filesystem_block": "", "storage_options": {}},
        {"filesystem": None, "filesystem_block": None, "storage_options": None},
    ],
)
def test_what_a_form_posts_that_was_given_a_url_alone(tmp_path, data):
    TrackRecordStorage.register_type_and_schema(_sync=True)
    body = {"name": tmp_path.name.replace("_", "-")[-40:].lower().strip("-"), "data": {"url": f"{tmp_path}/h", **data}}
    with get_client(sync_client=True) as client:
        of_type = client.request("GET", "/block_types/slug/trackrecord-storage").json()["id"]
        asked = {"block_schemas": {"block_type_id": {"any_": [of_type]}}}
        schema = client.request("POST", "/block_schemas/filter", json=asked).json()[0]["id"]
        made = client.request(
            "POST", "/block_documents/", json={**body, "block_type_id": of_type, "block_schema_id": schema}
        )
        made.raise_for_status()
    track(storage=f"trackrecord-storage/{body['name']}")(flow(lambda: 1, name="by-form"))()
    assert [r.flow_name for r in TrackingStorage(base_path=tmp_path / "h").list_runs()] == ["by-form"]


# --- the delivery's block ------------------------------------------------------------------------------------------

CONFIG = {
    "title": "Nightly",
    "recipients": [{"email": "ada@example.com"}],
    "sender": {"email": "reports@example.com"},
    "smtp": {"host": "mail.example.com", "username": "reports"},
}


@pytest.mark.parametrize("is_async", [False, True])
def test_a_report_configuration_in_a_block(is_async):
    TrackRecordDelivery(config=CONFIG, smtp_password="hunter2", storage_options={"secret": "hunter3"}).save(
        "nightly", overwrite=True, _sync=True
    )
    block = asyncio.run(TrackRecordDelivery.aload("nightly")) if is_async else TrackRecordDelivery.load("nightly")
    found = block.report_config()
    assert (found.heading, found.smtp.secret, found.storage_options) == ("Nightly", "hunter2", {"secret": "hunter3"})
    assert "hunter" not in repr(block) + str(block.model_dump())
    with get_client(sync_client=True) as client:
        text = client.request("GET", f"/block_documents/{block._block_document_id}").text
        assert "hunter" not in text
        assert "********" in text


def test_the_report_flow_and_command_take_it_by_name():
    TrackRecordDelivery(config={"title": "By name"}).save("named", overwrite=True, _sync=True)
    assert load_report_config("trackrecord-delivery/named").heading == "By name"
    with pytest.raises(ConfigurationError, match="can't be loaded"):
        load_report_config("trackrecord-delivery/nobody")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"config": {"titel": "x"}}, "did you mean 'title'"),
        ({"config": {"smtp": {"host": "h", "username": "u", "password": "p"}}}, "where they are masked"),
    ],
)
def test_a_configuration_that_is_wrong_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        TrackRecordDelivery(**fields)


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"storage": "s3://AKIAKEY:hunter2@b/x"}, "storage holds a secret"),
        ({"storage": "s3://hunter2@b/x"}, "credentials don't belong in the URL"),
        ({"storage": "sftp://ada:hunter2@host/x"}, "storage holds a secret"),
        ({"channels": ["slack-webhook/ops", "https://hooks.slack.com/services/T0/B0/hunter2"]}, r"channels\[1\] holds"),
        ({"flows": {"nightly": {"runbook_url": "https://wiki/x?token=hunter2"}}}, r"flows\.nightly\.runbook_url holds"),
        ({"base_url": "https://ada:hunter2@host/"}, "base_url holds"),
        ({"flows": {"https://ada:hunter2@host": {}}}, "key 1 of flows holds"),
        ({"alerts": {"note": [{"url": "https://ada:hunter2@host"}]}}, r"alerts\.note\[0\]\.url holds"),
    ],
)
def test_what_the_api_would_show_in_clear_holds_no_secret(config, where):
    with pytest.raises(ValidationError, match=where) as refused:
        TrackRecordDelivery(config={"title": "x", **config})
    if where != "credentials don't belong in the URL":  # that one's message shows the place, which may be a user's name
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("storage", ["s3://b/x", "sftp://ada@host/x", "trackrecord-storage/prod", "history"])
def test_a_place_without_a_secret_is_taken(storage):
    assert TrackRecordDelivery(config={"title": "x", "storage": storage}).report_config().storage == storage


def test_the_storages_block_takes_no_password_in_its_url():
    with pytest.raises(ValidationError, match="storage_options") as refused:
        TrackRecordStorage(url="sftp://ada:hunter2@host/history")
    assert "hunter2" not in str(refused.value)
    assert TrackRecordStorage(url="sftp://ada@host/history", storage_options={"password": "hunter2"}).store_config()


def test_an_error_does_not_show_a_password_that_is_in_the_wrong_place():
    with pytest.raises(ValidationError) as refused:
        TrackRecordDelivery(config={"title": "x", "smtp": {"host": "h", "password": "hunter2"}})
    assert "hunter2" not in str(refused.value)


def test_the_form_begins_with_a_configuration_that_works():
    config = TrackRecordDelivery.model_json_schema()["properties"]["config"]["default"]
    assert TrackRecordDelivery(config=config).report_config().heading == "Delivery report"
    with pytest.raises(ValidationError, match="config"):
        TrackRecordDelivery()
