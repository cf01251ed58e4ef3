"""Which store a URL means: the same bucket name at two endpoints, or in two accounts, is two stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect_trackrecord.settings import variable

_ENDPOINTS = {
    "s3": (("endpoint_url",), ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")),
    "abfs": (("account_host", "account_name"), ("AZURE_STORAGE_ACCOUNT_NAME",)),
    "gs": (("endpoint_url",), ("STORAGE_EMULATOR_HOST",)),
}
_OTHERS = (("endpoint_url", "endpoint", "host", "port"), ())
_PARTS = ("AccountName", "BlobEndpoint")


def identity(protocol: str, url: str, options: Mapping[str, Any]) -> str:
    """The store's URL, and where that leaves it open the endpoint or account; without credentials.

    Args:
        protocol: as `parse_url` names it.
        url: the canonical URL.
        options: fsspec's storage options.
    """
    named = _named(protocol, options)
    return f"{url} at {named}" if named else url


def _named(protocol: str, options: Mapping[str, Any]) -> str:
    names, variables = _ENDPOINTS.get(protocol, _OTHERS)
    inner = options.get("client_kwargs")
    found = [str(options[name]) for name in names if options.get(name)]
    if isinstance(inner, Mapping) and inner.get("endpoint_url"):
        found.append(str(inner["endpoint_url"]))
    connection = options.get("connection_string")
    if protocol == "abfs" and not found:
        connection = connection or variable("AZURE_STORAGE_CONNECTION_STRING")
    if isinstance(connection, str):
        parts = dict(part.split("=", 1) for part in connection.split(";") if "=" in part)
        found += [parts[name] for name in _PARTS if parts.get(name)]
    if not found:
        found = [value for name in variables if (value := variable(name))][:1]
    return " ".join(_public(text) for text in found)


def _public(address: str) -> str:
    """An address without a user's name and password, and without a query, which can hold a token."""
    head, mark, rest = address.partition("://")
    if not mark:
        return address.rpartition("@")[2].rstrip("/")
    return f"{head}://{rest.partition('?')[0].rpartition('@')[2]}".rstrip("/")
