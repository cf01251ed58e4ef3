"""A stand-in for S3 and Azure Blob Storage on loopback: objects in memory, answers after a given latency, little CPU.

It knows no credentials and only what a reader and a writer of small objects ask for: GET, HEAD, PUT, DELETE, listings.
Run as a script it fills itself with a benchmark's history and prints its port; a PUT of `/latency/MS` changes its pace,
and a GET of `/count` says how many requests it has had.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from bisect import bisect_left
from collections import deque
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

DATE = "Wed, 01 Jan 2025 00:00:00 GMT"
BUCKET, ACCOUNT = "bench", "devstoreaccount1"


class Objects:
    """The objects of one bucket, with their etags, and their keys in order."""

    def __init__(self) -> None:
        self.data: dict[str, tuple[bytes, str]] = {}
        self.ready: dict[bytes, bytes] = {}
        self._items: dict[str, tuple[str, str]] = {}
        self._keys: list[str] | None = None
        self.requests = 0

    def put(self, key: str, body: bytes) -> str:
        etag = hashlib.md5(body).hexdigest()
        if key not in self.data:
            self._keys = None
        self.data[key] = (body, etag)
        self._items.pop(key, None)
        whole = got((body, etag), {}, head=False)
        self.ready.update((address, whole) for address in addresses(key))
        return etag

    def remove(self, key: str) -> None:
        if self.data.pop(key, None) is not None:
            self._keys = None
            self._items.pop(key, None)
            for address in addresses(key):
                self.ready.pop(address, None)

    def items(self, keys: list[str], *, azure: bool) -> str:
        """The objects as their part of a listing, each made once."""
        found = []
        for key in keys:
            made = self._items.get(key)
            if made is None:
                made = self._items[key] = (s3_item(key, *self.data[key]), azure_item(key, *self.data[key]))
            found.append(made[azure])
        return "".join(found)

    def page(self, prefix: str, after: str, limit: int) -> tuple[list[str], bool]:
        if self._keys is None:
            self._keys = sorted(self.data)
        at = bisect_left(self._keys, max(prefix, after + "\0" if after else prefix))
        found = []
        while at < len(self._keys) and self._keys[at].startswith(prefix):
            if len(found) == limit:
                return found, True
            found.append(self._keys[at])
            at += 1
        return found, False


class Later:
    """Answers on their way: all have the same way to go, so the first one in is the first one out."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, asyncio.Transport, bytes]] = deque()

    def send(self, transport: asyncio.Transport, answer: bytes, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        self._waiting.append((due, transport, answer))
        if len(self._waiting) == 1:
            loop.call_at(due, self._arrive)

    def _arrive(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time() + 0.0002
        while self._waiting and self._waiting[0][0] <= now:
            _, transport, answer = self._waiting.popleft()
            if not transport.is_closing():
                transport.write(answer)
        if self._waiting:
            loop.call_at(self._waiting[0][0], self._arrive)


class Connection(asyncio.Protocol):
    """One client; its requests are answered in their order."""

    objects = Objects()
    latency = 0.02
    later = Later()

    def connection_made(self, transport) -> None:
        self.transport, self.buffer = transport, bytearray()

    def data_received(self, data: bytes) -> None:
        if not self.buffer and data.startswith(b"GET /") and data.endswith(b"\r\n\r\n"):
            # The answer is ready, unless the client wants a part of it, or anything else that it says in an address.
            known = self.objects.ready.get(data[4 : data.find(b" ", 4)])
            if known is not None and b"ange: " not in data:
                self.objects.requests += 1
                self.later.send(self.transport, known, self.latency)
                return
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode("latin-1")
            lines = head.split("\r\n")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
            length = int(headers.get("content-length", 0))
            if headers.get("expect", "").lower() == "100-continue" and len(self.buffer) < end + 4 + length:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(self.buffer) < end + 4 + length:
                return
            body = bytes(self.buffer[end + 4 : end + 4 + length])
            del self.buffer[: end + 4 + length]
            method, target, _ = lines[0].split(" ", 2)
            answer = self.answer(method, target, headers, body)
            self.later.send(self.transport, answer, self.latency)

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        self.objects.requests += 1
        url = urlsplit(target)
        path = unquote(url.path).lstrip("/")
        if method == "PUT" and path.startswith("latency/"):
            Connection.latency = float(path.partition("/")[2]) / 1000
            return reply(200)
        if path == "count":
            return reply(200, str(self.objects.requests).encode())
        azure = path.startswith(f"{ACCOUNT}/")
        path = path.removeprefix(f"{ACCOUNT}/")
        query = {k: v[0] for k, v in parse_qs(url.query, keep_blank_values=True).items()}
        _, _, key = path.partition("/")
        if method == "GET" and not key:
            return self.azure_list(query) if azure else self.s3_list(query)
        if method in ("GET", "HEAD"):
            found = self.objects.data.get(key)
            if found is None:
                code = "BlobNotFound" if azure else "NoSuchKey"
                return reply(404, f"<Error><Code>{code}</Code></Error>".encode(), {"x-ms-error-code": code})
            return got(found, headers, head=method == "HEAD")
        if method == "PUT":
            etag = self.objects.put(key, dechunked(body, headers))
            return reply(201 if azure else 200, b"", {"ETag": f'"{etag}"'})
        self.objects.remove(key)
        return reply(202 if azure else 204)

    def s3_list(self, query: dict[str, str]) -> bytes:
        limit = int(query.get("max-keys", 1000))
        after = query.get("continuation-token") or query.get("start-after", "")
        keys, more = self.objects.page(query.get("prefix", ""), after, limit)
        items = self.objects.items(keys, azure=False)
        token = f"<NextContinuationToken>{escape(keys[-1])}</NextContinuationToken>" if more else ""
        space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult {space}><Name>{BUCKET}</Name>'
            f"<Prefix>{escape(query.get('prefix', ''))}</Prefix><KeyCount>{len(keys)}</KeyCount>"
            f"<MaxKeys>{limit}</MaxKeys><IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}{items}"
            "</ListBucketResult>"
        )
        return reply(200, text.encode(), {"Content-Type": "application/xml"})

    def azure_list(self, query: dict[str, str]) -> bytes:
        limit = int(query.get("maxresults", 5000))
        keys, more = self.objects.page(query.get("prefix", ""), query.get("marker", ""), limit)
        items = self.objects.items(keys, azure=True)
        text = (
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{BUCKET}">'
            f"<Prefix>{escape(query.get('prefix', ''))}</Prefix><MaxResults>{limit}</MaxResults><Blobs>{items}</Blobs>"
            f"<NextMarker>{escape(keys[-1]) if more else ''}</NextMarker></EnumerationResults>"
        )
        return reply(200, text.encode(), {"Content-Type": "application/xml"})


def addresses(key: str) -> tuple[bytes, ...]:
    """What a GET of it asks for, at S3 and at Azure; nothing for a key that clients may spell in several ways."""
    if quote(key) != key:
        return ()
    return f"/{BUCKET}/{key}".encode(), f"/{ACCOUNT}/{BUCKET}/{key}".encode()


def s3_item(key: str, body: bytes, etag: str) -> str:
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{etag}&quot;</ETag><Size>{len(body)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def azure_item(key: str, body: bytes, etag: str) -> str:
    return (
        f"<Blob><Name>{escape(key)}</Name><Properties><Creation-Time>{DATE}</Creation-Time>"
        f"<Last-Modified>{DATE}</Last-Modified><Etag>{etag}</Etag><Content-Length>{len(body)}</Content-Length>"
        "<Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType></Properties></Blob>"
    )


def got(found: tuple[bytes, str], headers: dict[str, str], *, head: bool) -> bytes:
    body, etag = found
    more = {"ETag": f'"{etag}"', "Last-Modified": DATE, "x-ms-blob-type": "BlockBlob"}
    span = headers.get("range") or headers.get("x-ms-range")
    if span and body and not head:
        first, _, last = span.partition("=")[2].partition("-")
        low, high = int(first or 0), min(int(last or len(body) - 1), len(body) - 1)
        more["Content-Range"] = f"bytes {low}-{high}/{len(body)}"
        return reply(206, body[low : high + 1], more)
    return reply(200, body, more, head=head)


def dechunked(body: bytes, headers: dict[str, str]) -> bytes:
    """The body of an upload that botocore sends in signed chunks."""
    if "aws-chunked" not in headers.get("content-encoding", ""):
        return body
    parts, at = [], 0
    while at < len(body):
        end = body.index(b"\r\n", at)
        size = int(body[at:end].partition(b";")[0], 16)
        if not size:
            break
        parts.append(body[end + 2 : end + 2 + size])
        at = end + 4 + size
    return b"".join(parts)


def reply(status: int, body: bytes = b"", headers: dict[str, str] | None = None, *, head: bool = False) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", f"Date: {DATE}", "x-ms-version: 2021-08-06"]
    lines += ["x-ms-request-id: 1", "x-ms-request-server-encrypted: true", f"Last-Modified: {DATE}"]
    lines += [f"{k}: {v}" for k, v in (headers or {}).items() if k != "Last-Modified"]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if head else body)


async def serve(runs: int) -> None:
    """Serve a history of so many runs until the process is ended."""
    import _generator

    for key, body in _generator.documents(runs):
        Connection.objects.put(key, body)
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
