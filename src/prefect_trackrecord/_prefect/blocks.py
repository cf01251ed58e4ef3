"""The block `trackrecord-storage`: where a history is kept, with its credentials, kept by Prefect."""

from __future__ import annotations

import asyncio
from typing import Any

from prefect.blocks.core import Block
from prefect.filesystems import LocalFileSystem, RemoteFileSystem
from prefect.types import SecretDict
from pydantic import ConfigDict, Field, HttpUrl, field_validator, model_validator

from prefect_trackrecord._prefect.delivery_block import TrackRecordDelivery
from prefect_trackrecord._prefect.filesystem_blocks import config_of
from prefect_trackrecord.errors import ConfigurationError
from prefect_trackrecord.journal.plain import mask_text
from prefect_trackrecord.store import parse_url
from prefect_trackrecord.store.base import StoreConfig
from prefect_trackrecord.tracking.storage import BLOCK_PREFIX, TrackingStorage

__all__ = ["TrackRecordDelivery", "TrackRecordStorage", "load_store_config"]


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

    model_config = ConfigDict(hide_input_in_errors=True)  # or an error would show the credentials

    url: str = Field(
        default="",
        title="URL",
        description="A folder or an fsspec URL, such as s3://bucket/history or abfs://container/history; beside a "
        "filesystem block the folder inside of it.",
        examples=["s3://bucket/history"],
    )
    storage_options: SecretDict = Field(
        default_factory=lambda: SecretDict({}),
        title="Storage options",
        description="The storage options of the URL's fsspec driver: keys, secrets, endpoints.",
    )
    filesystem: LocalFileSystem | RemoteFileSystem | None = Field(
        default=None, description="An existing filesystem block of Prefect's own, instead of a URL."
    )
    filesystem_block: str | None = Field(
        default=None,
        title="Filesystem block",
        description="The name of another existing filesystem block, instead of a URL: s3-bucket/NAME, "
        "gcs-bucket/NAME or azure-blob-storage-container/NAME.",
        pattern=r"^[a-z0-9-]+/[^/\s]+$",
        examples=["s3-bucket/prod"],
    )

    @model_validator(mode="before")
    @classmethod
    def _other_filesystems(cls, given: Any) -> Any:
        """A filesystem block of another package: kept by its name where it has one, else as what it says."""
        if not isinstance(given, dict):
            return given
        # What nobody filled in: a form posts the first kind of filesystem that it offers as {}, and texts as "".
        unfilled: dict[str, tuple[Any, ...]] = {
            "filesystem": ({}, ""),
            "filesystem_block": ("",),
            "storage_options": (None, ""),
        }
        given = {name: value for name, value in given.items() if value not in unfilled.get(name, ())}
        block = given.get("filesystem")
        if isinstance(block, dict):  # as the API gives it, without its type; only remote ones have a protocol
            kind = RemoteFileSystem if "://" in str(block.get("basepath")) else LocalFileSystem
            return {**given, "filesystem": kind(**block)}
        if not isinstance(block, Block) or isinstance(block, LocalFileSystem | RemoteFileSystem):
            return given
        rest = {name: value for name, value in given.items() if name != "filesystem"}
        if name := getattr(block, "_block_document_name", None):
            config_of(block)
            return {**rest, "filesystem_block": f"{block.get_block_type_slug()}/{name}"}
        config = config_of(block, str(rest.get("url") or ""))
        return {**rest, "url": config.url, "storage_options": dict(config.options)}

    @field_validator("url")
    @classmethod
    def _parsed(cls, url: str) -> str:
        if url and mask_text(url) != url:  # a bucket's is refused by its parser, an sftp server's is a fine one
            raise ValueError("the URL holds a secret, and Prefect shows it in clear: give it as storage_options")
        if url:
            parse_url(url)
        return url

    @model_validator(mode="after")
    def _one_place(self) -> TrackRecordStorage:
        blocks = [name for name in ("filesystem", "filesystem_block") if getattr(self, name) is not None]
        if len(blocks) > 1:
            raise ValueError("give filesystem or filesystem_block, not both")
        if not blocks and not self.url:
            raise ValueError("give a URL, or a filesystem block")
        if blocks and ("://" in self.url or self.url.startswith("/")):
            raise ValueError(f"beside {blocks[0]} the URL is a folder inside of it, such as history/prod")
        return self

    def store_config(self) -> StoreConfig:
        """The same as plain data.

        Raises:
            ConfigurationError: the filesystem block is not there, or can't keep a history.
        """
        block: Any = self.filesystem
        if self.filesystem_block is not None:
            block = _load(self.filesystem_block)
        if block is None:
            return StoreConfig(self.url, dict(self.storage_options.get_secret_value() or {}))
        found = config_of(block, self.url)
        return StoreConfig(found.url, {**found.options, **(self.storage_options.get_secret_value() or {})})

    def tracking_storage(self) -> TrackingStorage:
        """The storage itself; from sync and async code alike.

        Raises:
            ConfigurationError: see `store_config`.
            MissingDriverError: the URL's driver is not installed.
        """
        config = self.store_config()
        return TrackingStorage(base_path=config.url, options=config.options)

    async def atracking_storage(self) -> TrackingStorage:
        """As `tracking_storage`, without holding the event loop while a filesystem block is loaded."""
        return await asyncio.to_thread(self.tracking_storage)


def _load(name: str) -> Any:
    """A block by its type and name.

    Raises:
        ConfigurationError: there is no such block, its package is not installed, or Prefect can't be asked.
    """
    try:
        return Block.load(name, _sync=True)  # type: ignore[call-arg]
    except Exception as exc:
        raise ConfigurationError(f"the block {name} can't be loaded: {exc}") from exc


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
