"""Google Cloud Storage through gcsfs's session and the JSON API; an etag is the object's generation."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote

from prefect_trackrecord.errors import StoreUnavailableError
from prefect_trackrecord.store._driver import Bulk, Page, Refused
from prefect_trackrecord.store._faults import Kind, kind_of
from prefect_trackrecord.store._keys import below
from prefect_trackrecord.store.base import Blob, Entry


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

    async def put(self, key: str, data: bytes, *, etag: str | None = None, absent: bool = False) -> str:
        """One upload; the condition travels with it."""
        address = f"{self.fs._location}/upload/storage/v1/b/{quote(self._bucket, safe='')}/o"  # noqa: SLF001
        condition = {"ifGenerationMatch": etag if etag is not None else "0"} if etag or absent else {}
        boundary, body = _multipart({"name": self._prefix + key}, data)
        try:
            answer = await self.fs._call(  # noqa: SLF001
                "POST",
                address,
                uploadType="multipart",
                headers={"Content-Type": f'multipart/related; boundary="{boundary}"'},
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


def _multipart(about: dict[str, str], data: bytes) -> tuple[str, bytes]:
    """The boundary and the body of an upload that says in its first part what the second one is."""
    boundary = f"trackrecord-{os.urandom(16).hex()}"
    head = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(about)}\r\n"
        f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    return boundary, head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
