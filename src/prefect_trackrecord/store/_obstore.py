"""Reads and lists through obstore where it is installed (the extra `fast`): a tenth of the processor time a request.

Writes stay with the fsspec driver, and so does everything that obstore does not manage: whatever goes wrong here
is done again there. It must not be used in a forked child of a process that used it: the child would hang.
"""

from __future__ import annotations

import importlib
import os
from datetime import datetime, timedelta, timezone
from typing import Any

from prefect_trackrecord.store._keys import plain_etag
from prefect_trackrecord.store.base import Blob, Entry

IN_FLIGHT = 192
_used_by: set[int] = set()


def available() -> bool:
    """Whether obstore is installed, and no parent of this process has used it."""
    if _used_by and os.getpid() not in _used_by:
        return False
    try:
        importlib.import_module("obstore")
    except ImportError:
        return False
    return True


def _options(seconds: float) -> dict[str, Any]:
    return {
        "client_options": {
            "timeout": f"{max(1, round(seconds))}s",
            "allow_http": True,
            "pool_max_idle_per_host": "256",
        },
        "retry_config": {"max_retries": 2, "retry_timeout": timedelta(seconds=seconds)},
    }


async def for_s3(fs: Any, bucket: str, seconds: float = 30.0) -> FastReader | None:
    """A reader with the endpoint and the credentials that an s3fs has found; None where it is set up otherwise."""
    client = await fs.get_s3(bucket)
    how = client.meta.config.s3 or {}
    if bucket.startswith("arn:") or how.get("addressing_style") == "virtual" or fs.req_kw or fs.s3_additional_kwargs:
        return None
    held = client._request_signer._credentials  # noqa: SLF001 - whatever way s3fs came to them
    more: dict[str, Any] = {"skip_signature": True}
    if held is not None and not fs.anon:

        async def credentials() -> dict[str, Any]:
            frozen = await held.get_frozen_credentials()
            kept = {"access_key_id": frozen.access_key, "secret_access_key": frozen.secret_key, "token": frozen.token}
            renewed = hasattr(held, "refresh_needed")  # asked again soon: botocore knows when to renew them
            return {**kept, "expires_at": datetime.now(timezone.utc) + timedelta(minutes=5) if renewed else None}

        more = {"credential_provider": credentials}
    _used_by.add(os.getpid())
    store = importlib.import_module("obstore.store")
    address = {"endpoint": client.meta.endpoint_url, "region": client.meta.region_name or "us-east-1"}
    return FastReader(store.S3Store(bucket, **address, **more, **_options(seconds)))


def for_azure(fs: Any, container: str, seconds: float = 30.0) -> FastReader | None:
    """A reader with the account that an adlfs has; None where its credentials are of a kind that stays there."""
    parts = dict(p.split("=", 1) for p in (fs.connection_string or "").split(";") if "=" in p)
    name = fs.account_name or parts.get("AccountName")
    key, sas = fs.account_key or parts.get("AccountKey"), fs.sas_token or parts.get("SharedAccessSignature")
    if not name or not (key or sas):
        return None
    known = {"account_key": key} if key else {"sas_key": str(sas).lstrip("?")}
    address = str(fs.service_client.url).partition("?")[0].rstrip("/")
    _used_by.add(os.getpid())
    store = importlib.import_module("obstore.store")
    return FastReader(store.AzureStore(container, account_name=name, endpoint=address, **known, **_options(seconds)))


class FastReader:
    """Reads and lists of one bucket or container."""

    def __init__(self, store: Any) -> None:
        self._api = importlib.import_module("obstore")
        self._missing = importlib.import_module("obstore.exceptions").NotFoundError
        self._store = store

    async def get(self, path: str) -> Blob | None:
        """The object with the etag of these bytes."""
        try:
            found = await self._api.get_async(self._store, path)
        except (FileNotFoundError, self._missing):
            return None
        etag = plain_etag(found.meta["e_tag"])
        data = await found.bytes_async()
        return Blob(data.to_bytes(), etag)

    async def list(self, prefix: str, cut: int) -> list[Entry]:
        """All objects whose path begins with `prefix`, without the first `cut` characters of their paths."""
        entries: list[Entry] = []
        async for page in self._api.list(self._store, prefix, chunk_size=1000):
            entries += [Entry(m["path"][cut:], m["size"], plain_etag(m["e_tag"])) for m in page]
        return entries
