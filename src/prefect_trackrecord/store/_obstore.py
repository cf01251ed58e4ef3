"""Requests through obstore where it is installed (the extra `fast`): a fraction of the processor time that each takes.

Many at once are made from threads (`_crowd`): its calls let go of the interpreter while they wait, and cost half of
what their awaited twins do. Single ones are awaited (`_swift`), so that they can be called off. What obstore does not
manage stays with the fsspec driver: whatever goes wrong here is done again there, and its words are never shown. It
must not be used in a forked child of a process that used it: the child would hang.
"""

from __future__ import annotations

import asyncio
import builtins
import importlib
import os
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from prefect_trackrecord.store import _exiting
from prefect_trackrecord.store._faults import Kind, kind_of_code
from prefect_trackrecord.store._keys import below
from prefect_trackrecord.store.base import Blob, Entry

IN_FLIGHT = 192
_SPELT = re.compile(r"(?!\.)[\w.=+@-]+(?:/(?!\.)[\w.=+@-]+)*", re.ASCII)
"""Keys that obstore asks for as they are; it spells other characters in its own way."""
_CODE = re.compile(r"<Code>(\w+)</Code>")
_RENEWAL = 20.0
_PAGE = 1000
_used_by: set[int] = set()


def available() -> bool:
    """Whether obstore is installed, no parent of this process has used it, and the interpreter does not end."""
    if _exiting.is_over():
        return False
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
            "connect_timeout": "3s",
            "allow_http": True,
            "pool_max_idle_per_host": "256",
        },
        "retry_config": {"max_retries": 2, "retry_timeout": timedelta(seconds=seconds)},
    }


async def for_s3(fs: Any, bucket: str, root: str, seconds: float = 30.0) -> FastClient | None:
    """A client with the endpoint and the credentials that an s3fs has found; None where it is set up otherwise."""
    client = await fs.get_s3(bucket)
    how = client.meta.config.s3 or {}
    if bucket.startswith("arn:") or how.get("addressing_style") == "virtual" or client.meta.config.proxies:
        return None
    if fs.req_kw or fs.s3_additional_kwargs:
        return None
    held = client._request_signer._credentials  # noqa: SLF001 - whatever way s3fs came to them
    more: dict[str, Any] = {"skip_signature": True}
    if held is not None and not fs.anon:
        frozen = await held.get_frozen_credentials()
        more = {"access_key_id": frozen.access_key, "secret_access_key": frozen.secret_key}
        if frozen.token:
            more["session_token"] = frozen.token
        if hasattr(held, "refresh_needed"):  # a role's: botocore knows when to renew them
            more = {"credential_provider": _renewed(held, fs.loop)}
    _used_by.add(os.getpid())
    store = importlib.import_module("obstore.store")
    address = {"endpoint": client.meta.endpoint_url, "region": client.meta.region_name or "us-east-1"}
    return FastClient(store.S3Store(bucket, **address, **more, **_options(seconds)), root)


def _renewed(held: Any, loop: asyncio.AbstractEventLoop) -> Callable[[], dict[str, Any]]:
    """Credentials that botocore renews, on its own loop, for who asks from another thread."""

    def credentials() -> dict[str, Any]:
        with _exiting.called_by_obstore():
            frozen = asyncio.run_coroutine_threadsafe(held.get_frozen_credentials(), loop).result(_RENEWAL)
        kept = {"access_key_id": frozen.access_key, "secret_access_key": frozen.secret_key, "token": frozen.token}
        # They last ten minutes more, says botocore; obstore asks again when five are left.
        return {**kept, "expires_at": datetime.now(timezone.utc) + timedelta(minutes=10)}

    return credentials


def for_azure(fs: Any, container: str, root: str, seconds: float = 30.0) -> FastClient | None:
    """A client with the account that an adlfs has; None where its credentials are of a kind that stays there."""
    parts = dict(p.split("=", 1) for p in (fs.connection_string or "").split(";") if "=" in p)
    name = fs.account_name or parts.get("AccountName")
    key, sas = fs.account_key or parts.get("AccountKey"), fs.sas_token or parts.get("SharedAccessSignature")
    if not name or not (key or sas):
        return None
    known = {"account_key": key} if key else {"sas_key": str(sas).lstrip("?")}
    address = str(fs.service_client.url).partition("?")[0].rstrip("/")
    _used_by.add(os.getpid())
    store = importlib.import_module("obstore.store")
    account = {"account_name": name, "endpoint": address}
    return FastClient(store.AzureStore(container, **account, **known, **_options(seconds)), root, azure=True)


class FastClient:
    """Requests to one bucket or container: `get` and `list` from any thread, the others on a loop.

    Args:
        store: obstore's.
        root: what the store's keys begin with there; it is no part of ours.
        azure: whether files are marked as such, as adlfs does it.
    """

    in_flight = IN_FLIGHT

    def __init__(self, store: Any, root: str, *, azure: bool = False) -> None:
        self._api = importlib.import_module("obstore")
        self._store, self._root, self._azure = store, root, azure

    def manages(self, key: str) -> bool:
        """Whether obstore asks for that key and no other."""
        return _SPELT.fullmatch(self._root + key) is not None

    def get(self, key: str) -> Blob | None:
        """The object with the etag of these bytes; None where there is none.

        Raises:
            Exception: of any kind.
        """
        try:
            found = self._api.get(self._store, self._root + key)
        except Exception as exc:
            if meaning(exc) is Kind.MISSING and self.manages(key):
                return None
            raise
        return Blob(found.bytes().to_bytes(), _plain(found.meta["e_tag"]))

    async def read(self, key: str) -> Blob:
        """As `get`, for one that is there.

        Raises:
            Exception: of any kind; `meaning` tells what it means.
        """
        found = await self._api.get_async(self._store, self._root + key)
        return Blob((await found.bytes_async()).to_bytes(), _plain(found.meta["e_tag"]))

    async def write(self, key: str, data: bytes, *, etag: str | None, absent: bool) -> str:
        """One PUT; the condition travels with it.

        Raises:
            Exception: of any kind; `meaning` tells what it means.
        """
        mode: Any = {"e_tag": f'"{etag}"'} if etag is not None else "create" if absent else "overwrite"
        about = {"attributes": {"is_directory": "false"}} if self._azure else {}
        done = await self._api.put_async(self._store, self._root + key, data, mode=mode, use_multipart=False, **about)
        return _plain(done["e_tag"])

    def list(self, prefix: str) -> builtins.list[Entry]:
        """All objects below `prefix`, by their paths, page after page.

        Raises:
            Exception: of any kind.
        """
        pages = self._api.list(self._store, self._root + below(prefix), chunk_size=_PAGE)
        return [entry for page in pages for entry in self._entries(page)]

    async def small_list(self, prefix: str) -> builtins.list[Entry] | None:
        """As `list`, where one page holds them all; else None.

        Raises:
            Exception: of any kind.
        """
        async for page in self._api.list(self._store, self._root + below(prefix), chunk_size=_PAGE):
            return self._entries(page) if len(page) < _PAGE else None
        return []

    def _entries(self, page: Any) -> builtins.list[Entry]:
        cut = len(self._root)
        entries = [Entry(m["path"][cut:], m["size"], _plain(m["e_tag"])) for m in page]
        if not all(entry.size for entry in entries):
            raise ValueError("an empty object may stand for a folder, as only the service's own client can tell")
        return entries


def meaning(exc: Exception) -> Kind | None:
    """What an error of obstore's means, by the service's own code in it; its classes say less. None: nobody knows."""
    code = _CODE.search(str(exc))
    return kind_of_code(code[1]) if code is not None else None


def _plain(etag: str) -> str:
    """As `plain_etag`, which is slower; quotes are all that obstore leaves in most cases."""
    return etag.removeprefix("W/").strip('"')
