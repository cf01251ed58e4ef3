"""Which driver a filesystem gets, and the options and copies of filesystems that it needs."""

from __future__ import annotations

from typing import Any

from prefect_trackrecord.store._azure import AzureDriver
from prefect_trackrecord.store._driver import Driver
from prefect_trackrecord.store._gcs import GcsDriver
from prefect_trackrecord.store._generic import GenericDriver
from prefect_trackrecord.store._s3 import S3Driver
from prefect_trackrecord.store._swift import SwiftDriver

_IN_FLIGHT = 64


def tuned(protocol: str, options: dict[str, Any], first: float, later: float) -> dict[str, Any]:
    """Options under which a driver sees other writers, and gives up within our deadlines. The user's win."""
    if protocol in ("s3", "abfs", "gs"):
        options.setdefault("use_listings_cache", False)
    if protocol == "s3":
        config = {
            "max_pool_connections": 2 * _IN_FLIGHT,
            "retries": {"max_attempts": 1, "mode": "standard"},  # one retry; s3fs makes one more
            "connect_timeout": first,
            "read_timeout": later,
        }
        options["config_kwargs"] = {**config, **(options.get("config_kwargs") or {})}
    return options


def again(fs: Any) -> Any:
    """An instance like `fs` for this process, to be called synchronously."""
    if not hasattr(fs, "storage_options"):
        return fs
    options = {**fs.storage_options, "skip_instance_cache": True}
    if getattr(fs, "asynchronous", False):
        options["asynchronous"] = False
        options.pop("loop", None)
    return type(fs)(*fs.storage_args, **options)


def driver_for(fs: Any, root: str, *, owned: bool, deadline: float) -> Driver:
    """The driver that knows how to ask this filesystem's service; that of any filesystem where none does.

    Args:
        fs: the filesystem.
        root: the history's path in it.
        owned: whether it is our own, and not a user's.
        deadline: seconds that a call may take.
    """
    named = getattr(fs, "protocol", ())
    names = {named} if isinstance(named, str) else set(named)
    root = root.rstrip("/")
    patience = deadline / 3
    if names & {"s3", "s3a"} and hasattr(fs, "_call_s3"):
        return SwiftDriver(S3Driver(fs, root, owned=owned), patience)
    if names & {"abfs", "abfss", "az"} and hasattr(fs, "service_client"):
        return SwiftDriver(AzureDriver(fs, root), patience)
    if names & {"gs", "gcs"} and hasattr(fs, "_location"):
        return GcsDriver(fs, root)
    return GenericDriver(fs, root)
