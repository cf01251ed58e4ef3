"""Azure Blob Storage through the clients that adlfs has made: adlfs itself reads blobs one by one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from prefect_trackrecord.store._driver import Bulk, Page, Refused
from prefect_trackrecord.store._faults import Kind, kind_of
from prefect_trackrecord.store._keys import below, plain_etag
from prefect_trackrecord.store._obstore import IN_FLIGHT, FastReader, available, for_azure
from prefect_trackrecord.store.base import Blob, Entry

_ONCE: dict[str, Any] = {"retry_total": 0}
"""The SDK waits 15 s before its first retry; the session retries sooner, and within our deadline."""


class AzureDriver(Bulk):
    """Blobs below `root` ("container/prefix"). Azure gives every write a new etag."""

    serial = False
    conditional = True

    def __init__(self, fs: Any, root: str) -> None:
        self.fs = fs
        self._container, _, prefix = root.partition("/")
        self._prefix = below(prefix)
        self._fast: FastReader | None = None
        self._tried = False

    async def read(self, key: str) -> Blob | None:
        """Through obstore, where it can."""
        fast = self._reader()
        found = None if fast is None else await fast.get(self._prefix + key)
        return found if found is not None else await self.get(key)  # obstore knows no keys with some characters

    async def entries(self, prefix: str) -> list[Entry]:
        """Through obstore, where it can; only Azure's own client tells an empty blob from a folder's entry."""
        fast = self._reader()
        if fast is None:
            return await super().entries(prefix)
        found = await fast.list(self._prefix + below(prefix), len(self._prefix))
        if all(entry.size for entry in found):
            return found
        return await super().entries(prefix)

    def _reader(self) -> FastReader | None:
        if not self._tried:
            with contextlib.suppress(Exception):  # whatever stands in obstore's way, adlfs knows its own
                self._fast = for_azure(self.fs, self._container) if available() else None
            self._tried = True
            self.in_flight = IN_FLIGHT if self._fast is not None else Bulk.in_flight
        return self._fast

    def _blob(self, key: str) -> Any:
        return self.fs.service_client.get_blob_client(container=self._container, blob=self._prefix + key)

    async def get(self, key: str) -> Blob | None:
        """One download; its later parts, if there are any, are asked for under the first one's etag."""
        async with self._blob(key) as client:
            try:
                stream = await client.download_blob(**_ONCE)
                data = await stream.readall()
            except Exception as exc:
                if kind_of(exc) is Kind.MISSING:
                    return None
                raise
        return Blob(bytes(data), plain_etag(stream.properties.etag))

    async def put(self, key: str, data: bytes, *, etag: str | None = None, absent: bool = False) -> str:
        """One upload; the condition travels with it."""
        condition: dict[str, Any] = {"overwrite": not absent}
        if etag is not None:
            from azure.core import MatchConditions

            condition.update(etag=f'"{etag}"', match_condition=MatchConditions.IfNotModified)
        async with self._blob(key) as client:
            try:
                # The metadata is what adlfs writes with a file, so that it knows it for one.
                answer = await client.upload_blob(data, metadata={"is_directory": "false"}, **condition, **_ONCE)
            except Exception as exc:
                # On a blob that is gone, If-Match is answered by 404 or 412, as the service likes.
                if kind_of(exc) is Kind.REFUSED or (kind_of(exc) is Kind.MISSING and etag is not None):
                    raise Refused from exc
                raise
        return plain_etag(answer["etag"])

    async def page(self, prefix: str, token: str | None, *, deep: bool) -> Page:
        """Five thousand blobs at a time; the folder entries of hierarchical accounts are left out."""
        start = self._prefix + below(prefix)
        async with self.fs.service_client.get_container_client(self._container) as client:
            if deep:
                found = client.list_blobs(name_starts_with=start, include=["metadata"], **_ONCE)
            else:
                found = client.walk_blobs(name_starts_with=start, delimiter="/", **_ONCE)
            pages = found.by_page(continuation_token=token)
            items = [item async for item in await _next_page(pages)]
        cut, entries, folders = len(self._prefix), [], []
        for item in items:
            if not hasattr(item, "etag"):  # a BlobPrefix
                folders.append(item.name[len(start) :].rstrip("/"))
            elif (item.metadata or {}).get("hdi_isfolder") != "true":
                entries.append(Entry(item.name[cut:], item.size, plain_etag(item.etag)))
        return Page(entries, folders, pages.continuation_token or None)

    async def delete(self, key: str) -> None:
        """One delete."""
        async with self._blob(key) as client:
            try:
                await client.delete_blob(**_ONCE)
            except Exception as exc:
                if kind_of(exc) is not Kind.MISSING:
                    raise


async def _next_page(pages: Any) -> Any:
    """The next page of a listing, and an empty one where there is none."""
    try:
        return await pages.__anext__()
    except StopAsyncIteration:
        return _nothing()


async def _nothing() -> AsyncIterator[Any]:
    empty: tuple[Any, ...] = ()
    for item in empty:
        yield item
