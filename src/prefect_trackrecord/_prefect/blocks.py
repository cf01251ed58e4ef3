"""The block `trackrecord-storage`: a storage's URL and credentials, kept by Prefect."""

from __future__ import annotations

from typing import Any

from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import Field, HttpUrl, field_validator

from prefect_trackrecord.errors import ConfigurationError
from prefect_trackrecord.store import parse_url
from prefect_trackrecord.store.base import StoreConfig
from prefect_trackrecord.tracking.storage import BLOCK_PREFIX, TrackingStorage


class TrackRecordStorage(Block):
    """Where track records are kept.

    Name it in `track(storage="trackrecord-storage/BLOCK_NAME")`, in `TRACKING_PATH`, or in the setting
    `PREFECT_INTEGRATIONS_TRACKRECORD_STORAGE`.

    Example:
        Load a stored storage and list its runs:
        ```python
        from prefect_trackrecord import TrackRecordStorage

        storage = TrackRecordStorage.load("BLOCK_NAME")
        runs = storage.tracking_storage().list_runs("2025-01-20", "2025-01-26")
        ```
    """

    _block_type_name = "Track Record Storage"
    _block_type_slug = "trackrecord-storage"
    _logo_url = HttpUrl(
        "https://raw.githubusercontent.com/PrefectHQ/prefect/420d0d6a78bb6df1fc18bcf188fdad43c1d22ea9"
        "/assets/block-logos/filesystem.png"
    )
    _documentation_url = HttpUrl("https://docs.prefect.io/v3/concepts/blocks")
    _description = "Where the track record of flow runs is kept: a folder or bucket, with its credentials."

    url: str = Field(
        default=...,
        description="A folder or an fsspec URL, such as s3://bucket/history or abfs://container/history.",
        examples=["s3://bucket/history"],
    )
    storage_options: SecretDict = Field(
        default_factory=lambda: SecretDict({}),
        title="Storage options",
        description="The storage options of the URL's fsspec driver: keys, secrets, endpoints.",
    )

    @field_validator("url")
    @classmethod
    def _parsed(cls, url: str) -> str:
        parse_url(url)
        return url

    def store_config(self) -> StoreConfig:
        """The same as plain data."""
        return StoreConfig(self.url, dict(self.storage_options.get_secret_value() or {}))

    def tracking_storage(self) -> TrackingStorage:
        """The storage itself.

        Raises:
            MissingDriverError: the URL's driver is not installed.
        """
        config = self.store_config()
        return TrackingStorage(base_path=config.url, options=config.options)


def load_store_config(name: str) -> StoreConfig:
    """What the block `trackrecord-storage/<name>` says; from sync and async code alike.

    Raises:
        ConfigurationError: there is no such block, or Prefect can't be asked.
    """
    block_name = name.removeprefix(BLOCK_PREFIX)
    try:
        block: Any = TrackRecordStorage.load(block_name, _sync=True)  # type: ignore[call-arg]
    except Exception as exc:
        raise ConfigurationError(f"the block {BLOCK_PREFIX}{block_name} can't be loaded: {exc}") from exc
    config: StoreConfig = block.store_config()
    return config
