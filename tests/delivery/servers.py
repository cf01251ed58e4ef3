"""Mail servers on loopback that behave, or misbehave, as the tests want."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Handler:
    """Keeps what arrives; answers by the part of the address before the @."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.sessions: set[int] = set()
        self.tls: list[bool] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        self.sessions.add(id(session))
        answers = {"nobody": "550 5.1.1 no such user", "later": "451 4.7.1 greylisted, try later"}
        answer = answers.get(address.split("@", maxsplit=1)[0])
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        who = envelope.rcpt_tos[0].split("@")[0]
        if who == "drop":
            server.transport.abort()
            return "250 never seen"
        if who == "full":
            return "452 4.2.2 mailbox full"
        if who == "spam":
            return "554 5.7.1 looks like spam"
        if who == "hang":
            await asyncio.sleep(30)
        self.tls.append(server.transport.get_extra_info("sslcontext") is not None)
        self.mails.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return "250 2.0.0 queued"


def _login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"me", b"hush")
    return AuthResult(success=good, handled=False)


class _Controller(Controller):
    """One whose own check of its start trusts any certificate."""

    def _trigger_server(self) -> None:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.create_connection((self.hostname, self.port), 1.0))
            if self.ssl_context:
                client = ssl.create_default_context()
                client.check_hostname = False
                client.verify_mode = ssl.CERT_NONE
                connection = stack.enter_context(client.wrap_socket(connection))
            connection.recv(1024)


@contextlib.contextmanager
def smtp_server(handler: Handler, *, auth: bool = False, context: Any = None, ssl_only: bool = False) -> Iterator[int]:
    """A server on a free port; the port is given."""
    options: dict[str, Any] = {}
    if auth:
        options |= {"authenticator": _login, "auth_required": True, "auth_require_tls": False}
    if context is not None and not ssl_only:
        options |= {"tls_context": context, "require_starttls": True}
    controller = _Controller(
        handler,
        hostname="127.0.0.1",
        port=free_port(),
        ssl_context=context if ssl_only else None,
        **options,
    )
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does with each connection what `answer` does."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        listener.settimeout(0.1)
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                continue
            threading.Thread(target=_answer, args=(connection,), daemon=True).start()

    def _answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        thread.join()
        listener.close()


def make_certificate(folder: Path, name: str = "127.0.0.1") -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context with a certificate of its own, and the file to trust it by."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trackrecord test")])
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / f"{name}.pem", folder / f"{name}.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return context, pem
