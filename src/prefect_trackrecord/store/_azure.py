"""Azure Blob Storage through the clients that adlfs has made: adlfs itself reads blobs one by one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any, BinaryIO

from prefect_trackrecord.store._driver import Bulk, Page, Refused
from prefect_trackrecord.store._faults import Kind, kind_of
from prefect_trackrecord.store._keys import below, plain_etag
from prefect_trackrecord.store._obstore import FastClient, for_azure
from prefect_trackrecord.store._view import view
from prefect_trackrecord.store.base import Blob, Entry

_ONCE: dict[str, Any] = {"retry_total": 0}
"""The SDK waits 15 s before its first retry; the session retries sooner, and within our deadline."""
_FILE = {"is_directory": "false"}
"""What adlfs writes with a file, so that it knows it for one."""


class AzureDriver(Bulk):
    """Blobs below `root` ("container/prefix"). Azure gives every write a new etag."""

    serial = False
    conditional = True

    def __init__(self, fs: Any, root: str) -> None:
        self.fs = fs
        self._container, _, prefix = root.partition("/")
        self._prefix = below(prefix)

    async def quick(self) -> FastClient | None:
        """Through obstore, where it can."""
        return for_azure(self.fs, self._container, self._prefix)

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

    async def etag(self, key: str) -> str | None:
        """One HEAD."""
        async with self._blob(key) as client:
            try:
                return plain_etag((await client.get_blob_properties(**_ONCE)).etag)
            except Exception as exc:
                if kind_of(exc) is Kind.MISSING:
                    return None
                raise

    async def put(self, key: str, data: bytes, *, etag: str | None = None, absent: bool = False) -> str:
        """One upload; the condition travels with it."""
        return await self._write(key, data, len(data), etag=etag, absent=absent)

    async def put_file(self, key: str, file: BinaryIO, *, etag: str | None = None, absent: bool = False) -> str:
        """In blocks, which become the blob by one last request that has the condition.

        Who commits first has dropped the blocks of others for the same blob: they too are told that they came too late.
        """
        size = os.fstat(file.fileno()).st_size
        try:
            return await self._write(key, view(file), size, etag=etag, absent=absent)
        except Exception as exc:
            if "InvalidBlockList" in str(exc):
                raise Refused from exc
            raise

    async def _write(self, key: str, data: Any, size: int, *, etag: str | None, absent: bool) -> str:
        condition: dict[str, Any] = {"overwrite": not absent}
        if etag is not None:
            from azure.core import MatchConditions

            condition.update(etag=f'"{etag}"', match_condition=MatchConditions.IfNotModified)
        async with self._blob(key) as client:
            try:
                answer = await client.upload_blob(data, length=size, metadata=_FILE, **condition, **_ONCE)
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
