"""S3 through s3fs's own client: one GET for bytes and etag, conditional PUTs, quick listings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, BinaryIO
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from prefect_trackrecord.errors import StoreUnavailableError
from prefect_trackrecord.store._driver import Bulk, Page, Refused
from prefect_trackrecord.store._faults import Kind, kind_of
from prefect_trackrecord.store._keys import below, plain_etag
from prefect_trackrecord.store._obstore import FastClient, for_s3
from prefect_trackrecord.store._view import view
from prefect_trackrecord.store.base import Blob, Entry

_ENTRIES = "TrackrecordEntries"
_TRIES = 5


class S3Driver(Bulk):
    """Objects below `root` ("bucket/prefix").

    An etag is S3's: equal content can mean an equal etag. A foreign s3fs instance that was handed in is used
    as it is; on our own (`owned`) listings are parsed by us, in a tenth of the time that botocore takes.
    """

    serial = False
    conditional = True

    def __init__(self, fs: Any, root: str, *, owned: bool) -> None:
        self.fs = fs
        self._owned = owned
        self._checked = False
        bucket, key, _ = fs.split_path(f"{root}/x")  # it knows the ARNs of access points
        self._bucket: str = bucket
        self._prefix: str = key[:-1]
        if owned:
            fs.retries = 2  # of a call that botocore has retried; its five would outlast our deadlines

    async def get(self, key: str) -> Blob | None:
        """One GET, which brings the etag too; s3fs's `cat_file` makes a HEAD and a GET."""
        try:
            answer = await self.fs._call_s3("get_object", Bucket=self._bucket, Key=self._prefix + key)  # noqa: SLF001
        except Exception as exc:
            if kind_of(exc) is Kind.MISSING:
                return None
            raise
        async with answer["Body"] as body:
            return Blob(await body.read(), plain_etag(answer["ETag"]))

    async def etag(self, key: str) -> str | None:
        """One HEAD."""
        try:
            answer = await self.fs._call_s3("head_object", Bucket=self._bucket, Key=self._prefix + key)  # noqa: SLF001
        except Exception as exc:
            if kind_of(exc) is Kind.MISSING:
                return None
            raise
        return plain_etag(answer["ETag"])

    async def put(self, key: str, data: bytes, *, etag: str | None = None, absent: bool = False) -> str:
        """One PUT; the condition travels with it."""

        async def send(**more: Any) -> Any:
            return await self.fs._call_s3("put_object", Body=data, **more)  # noqa: SLF001

        return await self._write(send, key, etag=etag, absent=absent)

    async def put_file(self, key: str, file: BinaryIO, *, etag: str | None = None, absent: bool = False) -> str:
        """One PUT that reads the file as it sends, up to the 5 GB that S3 takes so."""

        async def send(**more: Any) -> Any:
            # Not by `_call_s3`: its second try would send what is left of the file after the first one, nothing.
            method = (await self._client()).put_object
            return await method(Body=view(file), **self.fs._get_s3_method_kwargs(method, **more))  # noqa: SLF001

        return await self._write(send, key, etag=etag, absent=absent)

    async def _write(
        self, send: Callable[..., Coroutine[Any, Any, Any]], key: str, *, etag: str | None, absent: bool
    ) -> str:
        condition = {"IfMatch": f'"{etag}"'} if etag is not None else {"IfNoneMatch": "*"} if absent else {}
        if condition:
            await self._check_conditions()
        for attempt in range(_TRIES):
            try:
                answer = await send(Bucket=self._bucket, Key=self._prefix + key, **condition)
                return plain_etag(answer["ETag"])
            except Exception as exc:
                kind = kind_of(exc)
                if kind is Kind.REFUSED or (kind is Kind.MISSING and etag is not None):
                    raise Refused from exc
                if kind is not Kind.RACED:
                    raise
            await asyncio.sleep(0.05 * 2**attempt)
        raise Refused

    async def page(self, prefix: str, token: str | None, *, deep: bool) -> Page:
        """A thousand keys at a time."""
        start = self._prefix + below(prefix)
        more = {"ContinuationToken": token} if token else {}
        if not deep:
            more["Delimiter"] = "/"
        if self._owned:
            await self._listen()
        answer = await self.fs._call_s3("list_objects_v2", Bucket=self._bucket, Prefix=start, **more)  # noqa: SLF001
        cut = len(self._prefix)
        entries = answer.get(_ENTRIES)
        if entries is None:
            entries = [(item["Key"], item["Size"], item["ETag"]) for item in answer.get("Contents", ())]
        return Page(
            # A key that ends in a slash is what consoles make for an empty folder.
            [Entry(key[cut:], size, plain_etag(etag)) for key, size, etag in entries if key[-1:] != "/"],
            [item["Prefix"][len(start) : -1] for item in answer.get("CommonPrefixes", ())],
            answer.get("NextContinuationToken") if answer.get("IsTruncated") else None,
        )

    async def delete(self, key: str) -> None:
        """One DELETE; S3 answers the same where there is nothing."""
        await self.fs._call_s3("delete_object", Bucket=self._bucket, Key=self._prefix + key)  # noqa: SLF001

    async def quick(self) -> FastClient | None:
        """Through obstore, where it can."""
        await self._client()
        return await for_s3(self.fs, self._bucket, self._prefix)

    async def _client(self) -> Any:
        await self.fs.set_session()
        return await self.fs.get_s3(self._bucket)

    async def _check_conditions(self) -> None:
        """s3fs drops arguments that botocore does not know; an old one would write without the condition."""
        if self._checked:
            return
        shape = (await self._client()).meta.service_model.operation_model("PutObject").input_shape
        if not {"IfMatch", "IfNoneMatch"} <= set(shape.members):
            raise StoreUnavailableError(
                'the installed botocore knows no conditional writes: pip install -U "prefect-trackrecord[s3]"'
            )
        self._checked = True

    async def _listen(self) -> None:
        """Let `_parse_listing` see the answers to listings. Again before each one: sessions are renewed."""
        events = (await self._client()).meta.events
        events.register("before-parse.s3.ListObjectsV2", _parse_listing, unique_id="trackrecord-listing")


def _parse_listing(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Take the objects out of a listing's XML before botocore makes dictionaries with dates of them."""
    if response_dict.get("status_code") != 200:
        return
    try:
        tree = ElementTree.fromstring(response_dict["body"])  # noqa: S314 - botocore parses the same bytes
        space = tree.tag.partition("}")[0] + "}" if tree.tag.startswith("{") else ""
        encoded = tree.findtext(f"{space}EncodingType") == "url"
        entries = []
        for item in tree.findall(f"{space}Contents"):
            key = item.findtext(f"{space}Key") or ""
            size = int(item.findtext(f"{space}Size") or 0)
            etag = item.findtext(f"{space}ETag") or ""
            entries.append((unquote_plus(key) if encoded else key, size, etag))
            tree.remove(item)
        response_dict["body"] = ElementTree.tostring(tree)
    except (ElementTree.ParseError, ValueError):
        return  # botocore's own parser will say what is wrong with it
    customized_response_dict[_ENTRIES] = entries
