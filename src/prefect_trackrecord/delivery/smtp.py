"""One SMTP session for many mails, and the server's true word about each; the only room that imports smtplib.

What became of a mail is one of four:

    sent       the server took it (2xx after the data)
    deferred   not now (4xx, no connection, no answer before the data): it has not arrived, try again later
    rejected   no (5xx, a refused certificate, login or recipient): it will not arrive
    unknown    the connection was lost after the data was begun: it may have arrived, do not resend blindly
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Literal

from prefect_trackrecord.pages.words import clip

Security = Literal["starttls", "ssl", "none"]
NO_SUCH_HOST = "no host has this name"
"""What a deferred mail's reason says of a mail server whose name nobody knows."""

MAX_LOST = 3
"""After so many lost sessions the rest is not tried: a server that hangs must not take a timeout per recipient."""


@dataclass(frozen=True)
class SmtpServer:
    """Where to hand mails over; plain data, also made from Prefect's block by those who know Prefect.

    Attributes:
        retry_for: seconds for which deferred mails are tried again; 0 for one try.
        retry_first: seconds until the second try; every later wait is twice as long, at most five minutes.
        retry_names: whether a host name that nobody knows is asked for again, too: it is a slip of the pen most of the
            time, but a resolver may be out of order, for which a schedule has the patience and a person has not.
    """

    host: str
    port: int
    security: Security = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 20.0
    ca_file: Path | None = None
    verify: bool = True
    retry_for: float = 0.0
    retry_first: float = 15.0
    retry_names: bool = True


@dataclass(frozen=True)
class Outcome:
    """What became of one mail.

    Attributes:
        text: the server's own words, or what went wrong.
        code: the server's code.
        final: rejected because of this recipient or this mail: the same will be rejected again. A refused login,
            certificate or sender is not: it is mended for all at once.
        nameless: deferred because nobody knows the mail server's name.
    """

    outcome: Literal["sent", "deferred", "rejected", "unknown"]
    text: str
    code: int | None = None
    final: bool = False
    nameless: bool = False

    @property
    def reason(self) -> str:
        """Code and text in one line."""
        return clip(f"{self.code} {self.text}" if self.code else self.text, 500)


class Mailer:
    """A session that opens with the first mail, opens again if it was lost, and ends with the `with` block."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._session: smtplib.SMTP | None = None
        self._down: Outcome | None = None
        self._lost = 0

    def __enter__(self) -> Mailer:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                session.quit()
            session.close()

    def check(self) -> Outcome | None:
        """Connect and log in, and send nothing; None where that went well, else what went wrong."""
        opened = self._session or self._open()
        if isinstance(opened, Outcome):
            return opened
        self._session = opened
        return None

    def send(
        self, message: bytes, sender: str, recipient: str, before_data: Callable[[], None] | None = None
    ) -> Outcome:
        """Hand one mail over for one recipient; never raises for what a server or a network does.

        Args:
            message: the mail.
            sender: the envelope's sender.
            recipient: the envelope's recipient.
            before_data: called when the recipient is accepted and before any data leaves; what it raises is raised
                here, and the mail is not sent.
        """
        if self._down is not None:
            return self._down
        if self._session is None:
            opened = self._open()
            if isinstance(opened, Outcome):
                self._down = opened
                return opened
            self._session = opened
        return self._transact(self._session, message, sender, recipient, before_data)

    def _open(self) -> smtplib.SMTP | Outcome:
        try:
            return _connect(self._server)
        except smtplib.SMTPResponseException as exc:
            return _answered(exc.smtp_code, exc.smtp_error)
        except (smtplib.SMTPNotSupportedError, ssl.SSLError) as exc:
            return Outcome("rejected", f"{_where(self._server)}: {_words(exc)}")
        except (smtplib.SMTPServerDisconnected, OSError) as exc:
            return Outcome("deferred", f"{_where(self._server)}: {_words(exc)}", nameless=_nameless(exc))
        except smtplib.SMTPException as exc:
            return Outcome("rejected", f"{_where(self._server)}: {_words(exc)}")

    def _transact(
        self,
        session: smtplib.SMTP,
        message: bytes,
        sender: str,
        recipient: str,
        before_data: Callable[[], None] | None,
    ) -> Outcome:
        begun = False
        try:
            options = [f"size={len(message)}"] if session.has_extn("size") else []
            code, text = session.mail(sender, options)
            if code != 250:
                return self._refused(session, code, text)
            code, text = session.rcpt(recipient)
            if code not in {250, 251}:
                return _final(self._refused(session, code, text))
            if before_data is not None:
                self._ask(session, before_data)
            code, text = session.docmd("DATA")
            if code != 354:
                return self._refused(session, code, text)
            begun = True
            session.send(_quoted(message))
            code, text = session.getreply()
            if 200 <= code < 300:
                return Outcome("sent", _text(text), code)
            # A 421 closes the session; the mail was refused in so many words all the same.
            refused = _final(self._refused(session, code, text))
            return refused if 400 <= code < 600 else Outcome("unknown", f"no SMTP answer: {_text(text)}")
        except (smtplib.SMTPException, OSError) as exc:
            lost = Outcome("unknown" if begun else "deferred", f"{_where(self._server)}: {_words(exc)}")
            session.close()
            self._session = None
            self._lost += 1
            if self._lost >= MAX_LOST:
                text_ = f"not tried: the connection was lost {self._lost} times, last: {lost.text}"
                self._down = Outcome("deferred", text_)
            return lost

    def _ask(self, session: smtplib.SMTP, before_data: Callable[[], None]) -> None:
        try:
            before_data()
        except BaseException:
            self._refused(session, 250, b"")  # nothing was refused, but the session is made ready in the same way
            raise

    def _refused(self, session: smtplib.SMTP, code: int, text: bytes) -> Outcome:
        """The server's no; the session is made ready for the next mail, or given up."""
        try:
            if code != 421 and session.rset()[0] == 250:
                return _answered(code, text)
        except (smtplib.SMTPException, OSError):
            pass
        session.close()
        self._session = None
        return _answered(code, text)


def _connect(server: SmtpServer) -> smtplib.SMTP:
    context = _tls(server)
    session: smtplib.SMTP
    if server.security == "ssl":
        session = smtplib.SMTP_SSL(server.host, server.port, timeout=server.timeout, context=context)
    else:
        session = smtplib.SMTP(server.host, server.port, timeout=server.timeout)
    try:
        session.ehlo_or_helo_if_needed()
        if server.security == "starttls":
            code, text = session.starttls(context=context)
            if code != 220:
                raise smtplib.SMTPResponseException(code, text)
            session.ehlo_or_helo_if_needed()
        if server.username:
            session.login(server.username, server.password or "")
    except BaseException:
        session.close()
        raise
    return session


def _tls(server: SmtpServer) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(server.ca_file) if server.ca_file else None)
    if not server.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _quoted(message: bytes) -> bytes:
    """The mail as it goes over the line: CRLF ends, leading dots doubled, and the final dot."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", message)
    if not lines.endswith(b"\r\n"):
        lines += b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", lines) + b".\r\n"


def _answered(code: int, text: bytes | str) -> Outcome:
    if not 200 <= code < 600:
        return Outcome("rejected", f"this is no SMTP server: {_text(text)}")
    return Outcome("deferred" if 400 <= code < 500 else "rejected", _text(text), code)


def _final(outcome: Outcome) -> Outcome:
    return replace(outcome, final=True) if outcome.outcome == "rejected" else outcome


def _text(text: bytes | str) -> str:
    return clip(text.decode("utf-8", "replace") if isinstance(text, bytes) else text, 500)


def _where(server: SmtpServer) -> str:
    return f"{server.host}:{server.port}"


def _nameless(exc: BaseException) -> bool:
    """Whether a resolver answered, and knows no such host; one that did not answer says `EAI_AGAIN`."""
    unknown = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
    return isinstance(exc, socket.gaierror) and exc.errno in unknown


def _words(exc: BaseException) -> str:
    """An error for people. Certificates first: their class says nothing."""
    if _nameless(exc):
        return NO_SUCH_HOST
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError):
        return f"TLS failed: {exc.reason or exc}"
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    if isinstance(exc, smtplib.SMTPServerDisconnected):
        return "the connection was lost" if "timed out" not in str(exc) else "no answer in time"
    return clip(getattr(exc, "strerror", None) or str(exc) or type(exc).__name__, 300)
