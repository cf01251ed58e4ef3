"""Google Cloud Storage through gcsfs's session and the JSON API; an etag is the object's generation."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from typing import Any, BinaryIO
from urllib.parse import quote

from prefect_trackrecord.errors import StoreUnavailableError
from prefect_trackrecord.store._driver import Bulk, Page, Refused
from prefect_trackrecord.store._faults import Kind, kind_of
from prefect_trackrecord.store._keys import below
from prefect_trackrecord.store._view import view
from prefect_trackrecord.store.base import Blob, Entry

_PIECE = 1 << 20


class GcsDriver(Bulk):
    """Objects below `root` ("bucket/prefix").

    Conditions are `ifGenerationMatch`, of which gcsfs's own methods know only the 0 of an exclusive create;
    so the requests are made by its `_call`, which adds credentials and retries.
    """

    serial = False
    conditional = True

    def __init__(self, fs: Any, root: str) -> None:
        self.fs = fs
        self._bucket, _, prefix = root.partition("/")
        self._prefix = below(prefix)

    def _object(self, key: str) -> str:
        """The object's address below the service's own, each part of the name escaped."""
        return f"storage/v1/b/{quote(self._bucket, safe='')}/o/{quote(self._prefix + key, safe='')}"

    async def get(self, key: str) -> Blob | None:
        """One GET, whose headers carry the generation of these bytes."""
        address = f"{self.fs._location}/download/{self._object(key)}?alt=media"  # noqa: SLF001
        try:
            headers, data = await self.fs._call("GET", address)  # noqa: SLF001
        except Exception as exc:
            if kind_of(exc) is Kind.MISSING:
                return None
            raise
        return Blob(bytes(data), str(headers["X-Goog-Generation"]))

    async def etag(self, key: str) -> str | None:
        """One GET of the object's fields."""
        try:
            answer = await self.fs._call(  # noqa: SLF001
                "GET", "b/{}/o/{}", self._bucket, self._prefix + key, fields="generation", json_out=True
            )
        except Exception as exc:
            if kind_of(exc) is Kind.MISSING:
                return None
            raise
        return str(answer["generation"])

    async def put(self, key: str, data: bytes, *, etag: str | None = None, absent: bool = False) -> str:
        """One upload; the condition travels with it."""
        boundary, head, tail = self._around(key)
        return await self._write(boundary, head + data + tail, etag=etag, absent=absent)

    async def put_file(self, key: str, file: BinaryIO, *, etag: str | None = None, absent: bool = False) -> str:
        """One upload that reads the file as it sends."""
        boundary, *around = self._around(key)
        return await self._write(boundary, _Body(file, *around), etag=etag, absent=absent)

    def _around(self, key: str) -> tuple[str, bytes, bytes]:
        """The boundary, and what stands before and behind the content that an upload brings in its second part."""
        boundary = f"trackrecord-{os.urandom(16).hex()}"
        head = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
            f"{json.dumps({'name': self._prefix + key})}\r\n"
            f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        return boundary, head.encode(), f"\r\n--{boundary}--\r\n".encode()

    async def _write(self, boundary: str, body: Any, *, etag: str | None, absent: bool) -> str:
        address = f"{self.fs._location}/upload/storage/v1/b/{quote(self._bucket, safe='')}/o"  # noqa: SLF001
        condition = {"ifGenerationMatch": etag if etag is not None else "0"} if etag or absent else {}
        try:
            answer = await self.fs._call(  # noqa: SLF001
                "POST",
                address,
                uploadType="multipart",
                headers={"Content-Type": f'multipart/related; boundary="{boundary}"', "Content-Length": str(len(body))},
                data=body,
                json_out=True,
                **condition,
            )
        except Exception as exc:
            kind = kind_of(exc)
            if kind is Kind.REFUSED or (kind is Kind.MISSING and etag is not None):
                raise Refused from exc
            if kind is Kind.MISSING:
                raise self._no_bucket() from exc
            raise
        return str(answer["generation"])

    async def page(self, prefix: str, token: str | None, *, deep: bool) -> Page:
        """A thousand objects at a time, with the three fields that are needed."""
        start = self._prefix + below(prefix)
        more = {} if deep else {"delimiter": "/"}
        try:
            answer = await self.fs._call(  # noqa: SLF001
                "GET",
                "b/{}/o",
                self._bucket,
                json_out=True,
                prefix=start,
                pageToken=token,
                fields="items(name,size,generation),prefixes,nextPageToken",
                **more,
            )
        except Exception as exc:
            if kind_of(exc) is Kind.MISSING:
                raise self._no_bucket() from exc
            raise
        cut = len(self._prefix)
        return Page(
            [
                Entry(item["name"][cut:], int(item["size"]), str(item["generation"]))
                for item in answer.get("items", ())
                if not item["name"].endswith("/")
            ],
            [name[len(start) : -1] for name in answer.get("prefixes", ())],
            answer.get("nextPageToken"),
        )

    async def delete(self, key: str) -> None:
        """One delete."""
        try:
            await self.fs._call("DELETE", "b/{}/o/{}", self._bucket, self._prefix + key)  # noqa: SLF001
        except Exception as exc:
            if kind_of(exc) is not Kind.MISSING:
                raise

    def _no_bucket(self) -> StoreUnavailableError:
        return StoreUnavailableError(f"gs://{self._bucket}: {Kind.NO_BUCKET.value}; create it first")


class _Body:
    """The body of an upload out of a file; each try that sends it begins anew."""

    def __init__(self, file: BinaryIO, head: bytes, tail: bytes) -> None:
        self._file, self._head, self._tail = file, head, tail

    def __len__(self) -> int:
        return len(self._head) + os.fstat(self._file.fileno()).st_size + len(self._tail)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._head
        content = view(self._file)
        while piece := content.read(_PIECE):
            yield piece
        yield self._tail
