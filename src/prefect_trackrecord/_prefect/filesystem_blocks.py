"""Filesystem blocks that people have already, as a storage's URL and options: plain data that crosses processes.

Prefect's own two are known by their classes. Those of prefect-aws, prefect-gcp and prefect-azure are known by their
fields alone, so that none of these packages need be installed to read the others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect.filesystems import LocalFileSystem, RemoteFileSystem

from prefect_trackrecord.errors import ConfigurationError
from prefect_trackrecord.store.base import StoreConfig


def config_of(block: Any, folder: str = "") -> StoreConfig:
    """The place that a filesystem block means.

    Args:
        block: LocalFileSystem, RemoteFileSystem, or what has the fields of S3Bucket, GcsBucket or
            AzureBlobStorageContainer.
        folder: a folder inside of it.

    Raises:
        ConfigurationError: it is none of these, or uses credentials that a storage can't take over.
    """
    if isinstance(block, LocalFileSystem):
        root = Path(block.basepath or Path.cwd()).expanduser().absolute()
        return StoreConfig(str(root / folder) if folder else str(root))
    if isinstance(block, RemoteFileSystem):
        return StoreConfig(_joined(block.basepath, folder), _plain(block.settings))
    if hasattr(block, "bucket_name") and hasattr(block, "credentials"):
        url = _joined(f"s3://{block.bucket_name}", block.bucket_folder, folder)
        return StoreConfig(url, _s3(block.credentials))
    if hasattr(block, "bucket") and hasattr(block, "gcp_credentials"):
        return StoreConfig(_joined(f"gs://{block.bucket}", block.bucket_folder, folder), _gcs(block.gcp_credentials))
    if hasattr(block, "container_name") and hasattr(block, "credentials"):
        url = _joined(f"abfs://{block.container_name}", block.base_folder or "", folder)
        return StoreConfig(url, _azure(block.credentials))
    raise ConfigurationError(
        f"a {type(block).__name__} can't keep a history; give a LocalFileSystem, RemoteFileSystem, S3Bucket, GcsBucket "
        "or AzureBlobStorageContainer, or a URL"
    )


def _joined(first: str, *parts: str) -> str:
    return "/".join([first.rstrip("/"), *(part.strip("/") for part in parts if part and part.strip("/"))])


def _plain(value: Any) -> Any:
    """A value with its secrets laid open."""
    value = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _s3(given: Any) -> dict[str, Any]:
    if getattr(given, "assume_role_arn", None):
        raise ConfigurationError(
            "the credentials of the S3 bucket assume a role, which a storage can't renew; use a profile that does "
            "(profile_name), or a URL"
        )
    client = given.aws_client_parameters
    found = {
        "key": getattr(given, "aws_access_key_id", None) or getattr(given, "minio_root_user", None),
        "secret": _plain(getattr(given, "aws_secret_access_key", None) or getattr(given, "minio_root_password", None)),
        "token": _plain(getattr(given, "aws_session_token", None)),
        "profile": getattr(given, "profile_name", None),
        "endpoint_url": getattr(client, "endpoint_url", None),
        "use_ssl": False if getattr(client, "use_ssl", True) is False else None,
    }
    own: dict[str, Any] = {"region_name": given.region_name} if given.region_name else {}
    verify = getattr(client, "verify", True)
    if verify is False:
        own["verify"] = False
    elif (verify is not True and verify is not None) or getattr(client, "verify_cert_path", None):
        own["verify"] = str(getattr(client, "verify_cert_path", None) or verify)
    return {**{k: v for k, v in found.items() if v is not None}, **({"client_kwargs": own} if own else {})}


def _gcs(given: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if given.service_account_info is not None:
        found["token"] = _plain(given.service_account_info)
    elif given.service_account_file is not None:
        found["token"] = str(Path(given.service_account_file).expanduser())
    if given.project:
        found["project"] = given.project
    return found


def _azure(given: Any) -> dict[str, Any]:
    if given.connection_string is not None:
        return {"connection_string": _plain(given.connection_string)}
    host = str(given.account_url or "").split("://")[-1].split("/")[0]
    found: dict[str, Any] = {"account_name": host.split(".")[0], "account_host": host or None}
    names = ("client_id", "tenant_id", "client_secret")
    secrets = {name: _plain(getattr(given, name, None)) for name in names}
    found.update({k: v for k, v in secrets.items() if v})
    if not secrets["client_secret"]:
        found["anon"] = False  # the driver then asks the environment who we are, as prefect-azure does
    return {k: v for k, v in found.items() if v is not None and v != ""}
