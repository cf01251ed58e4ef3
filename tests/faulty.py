"""A proxy on loopback that stands between a driver and an S3 server, and misbehaves as it is told."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_ERROR = '<?xml version="1.0"?><Error><Code>{code}</Code><Message>{text}</Message></Error>'
_HOP = {"connection", "transfer-encoding", "keep-alive", "date", "server"}


class FaultProxy:
    """Passes requests on, or does what `fault` says.

    Attributes:
        fault: one of `FAULTS`; "" passes everything on. `silent` reads requests and never answers; `reset` drops the
            connection before, `reset-after` after the request was carried out (each one's first try only);
            `every-other-503` refuses every second request; `slow` takes `seconds` for each.
        seconds: how slow is slow.
        revoked: access keys that are refused, as S3 does it.
        clock: how far the service's clock is ahead; S3 refuses requests that are a quarter of an hour off.
        seen: requests by method.
    """

    FAULTS = ("503", "429", "every-other-503", "silent", "reset", "reset-after", "slow")

    def __init__(self, target: str) -> None:
        self.host, port = target.removeprefix("http://").split(":")
        self.port = int(port)
        self.fault = ""
        self.seconds = 0.1
        self.revoked: set[str] = set()
        self.clock = timedelta(0)
        self.seen: Counter[str] = Counter()
        self.tried: Counter[tuple[str, str]] = Counter()
        self._ending = threading.Event()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def wait(self, seconds: float) -> None:
        self._ending.wait(seconds)

    @contextlib.contextmanager
    def running(self) -> Iterator[FaultProxy]:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield self
        finally:
            self._ending.set()
            self._server.shutdown()
            self._server.server_close()

    def refusal(self, method: str, path: str, headers: Any) -> tuple[int, str] | None:
        """The status and code with which a request is refused."""
        key = re.search(r"Credential=([^/]+)/", headers.get("Authorization", ""))
        if key is not None and key[1] in self.revoked:
            return 403, "InvalidAccessKeyId"
        signed = headers.get("x-amz-date")
        if self.clock and signed:
            at = datetime.strptime(signed, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
            if abs(datetime.now(timezone.utc) + self.clock - at) > timedelta(minutes=15):
                return 403, "RequestTimeTooSkewed"
        if self.fault == "503" or (self.fault == "every-other-503" and sum(self.seen.values()) % 2):
            return 503, "SlowDown"
        if self.fault == "429":
            return 429, "TooManyRequests"
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultProxy

    def _handle(self) -> None:
        proxy = self.proxy
        proxy.seen[self.command] += 1
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # who sent it has given up, and no part of it is to be carried out
            return self._reset()
        fault = proxy.fault
        if fault == "silent":
            proxy.wait(120)
            return self._reset()
        if fault == "reset":
            return self._reset()
        if (refused := proxy.refusal(self.command, self.path, self.headers)) is not None:
            status, code = refused
            text = _ERROR.format(code=code, text="as it was told").encode()
            return self._answer(status, {"Content-Type": "application/xml"}, text)
        if fault == "slow":
            proxy.wait(proxy.seconds)
        connection = http.client.HTTPConnection(proxy.host, proxy.port, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in {"expect", "connection"}}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        first = not proxy.tried[self.command, self.path]
        proxy.tried[self.command, self.path] += 1
        if fault == "reset-after" and first:
            return self._reset()
        return self._answer(answer.status, dict(answer.getheaders()), data)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _handle

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        moment = time.time() + self.proxy.clock.total_seconds()
        self.send_header("Date", email.utils.formatdate(moment, usegmt=True))
        length = next((v for k, v in headers.items() if k.lower() == "content-length"), None)
        for name, value in headers.items():
            if name.lower() not in _HOP | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _reset(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *args: Any) -> None:
        pass
