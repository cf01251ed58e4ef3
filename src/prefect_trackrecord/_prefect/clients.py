"""Clients of Prefect's API that are our own, for where no flow's is at hand: made as cheaply as can be, and kept.

Most of what a client costs is reading the certificates of all authorities (20 ms), also where the API speaks plain
HTTP and none is ever looked at.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import get_current_settings

from prefect_trackrecord.forking import ProcessLock

_kept: dict[tuple[Any, ...], SyncPrefectClient] = {}
_lock = ProcessLock()


def new() -> SyncPrefectClient:
    """A client, to be used as a context manager; never that of a flow."""
    url = get_current_settings().api.url
    plain = url is not None and url.startswith("http://")
    own: dict[str, Any] = {"verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)} if plain else {}
    return get_client(sync_client=True, httpx_settings=own)


@contextmanager
def kept() -> Iterator[SyncPrefectClient]:
    """This process's own client, which is kept for the next time; after an error a new one is made."""
    api = get_current_settings().api
    key = (os.getpid(), api.url, api.key, api.auth_string)
    with _lock():
        found = _kept.get(key)
        if found is None:
            _kept.clear()
            found = _kept[key] = new().__enter__()
    try:
        yield found
    except BaseException:
        with _lock():
            _kept.pop(key, None)
        raise
