"""What the errors of botocore, azure, google, aiohttp and the kernel mean, told by their shape.

Nothing is imported from those libraries: an error is read by its class's name, its status and its code,
wherever in the chain of causes they are.
"""

from __future__ import annotations

import enum
import errno
import socket
from collections.abc import Iterator, Mapping
from typing import Any


class Kind(enum.Enum):
    """What an error of a driver means for us."""

    MISSING = "there is no such object"
    NO_BUCKET = "there is no such bucket or container"
    REFUSED = "the condition of a write did not hold"
    RACED = "another conditional write to it was under way"
    DENIED = "the credentials are missing or have no right to do this"
    DOWN = "no answer"
    UNSUPPORTED = "the service does not know conditional writes"
    BUSY = "the service is overloaded or out of order"
    SKEWED = "this machine's clock and the service's differ too much"
    OTHER = "the service answered with an error"


_BY_CODE = {
    "NoSuchBucket": Kind.NO_BUCKET,
    "ContainerNotFound": Kind.NO_BUCKET,
    "ContainerBeingDeleted": Kind.NO_BUCKET,
    "NoSuchKey": Kind.MISSING,
    "BlobNotFound": Kind.MISSING,
    "PreconditionFailed": Kind.REFUSED,
    "ConditionNotMet": Kind.REFUSED,
    "TargetConditionNotMet": Kind.REFUSED,
    "BlobAlreadyExists": Kind.REFUSED,
    "ConditionalRequestConflict": Kind.RACED,
    "OperationAborted": Kind.RACED,
    "NotImplemented": Kind.UNSUPPORTED,
    "AccessDenied": Kind.DENIED,
    "InvalidAccessKeyId": Kind.DENIED,
    "SignatureDoesNotMatch": Kind.DENIED,
    "ExpiredToken": Kind.DENIED,
    "RequestTimeTooSkewed": Kind.SKEWED,
    "SlowDown": Kind.BUSY,
    "ServerBusy": Kind.BUSY,
    "RequestTimeout": Kind.BUSY,
}
_BY_STATUS = {
    401: Kind.DENIED,
    403: Kind.DENIED,
    404: Kind.MISSING,
    408: Kind.BUSY,
    412: Kind.REFUSED,
    429: Kind.BUSY,
    500: Kind.BUSY,
    501: Kind.UNSUPPORTED,
    502: Kind.BUSY,
    503: Kind.BUSY,
    504: Kind.BUSY,
}
_DENIED = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "TokenRetrievalError",
    "ClientAuthenticationError",
    "DefaultCredentialsError",
    "RefreshError",
    "PermissionError",
}
_DOWN = {
    "HTTPClientError",
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ConnectionClosedError",
    "ServiceRequestError",
    "ServiceResponseError",
    "ClientConnectionError",
    "ServerDisconnectedError",
    "TransportError",
    "SSHException",
    "TimeoutError",
    "CancelledError",
}
_DOWN_ERRNOS = {
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.EPIPE,
    errno.ETIMEDOUT,
}


def kind_of(exc: BaseException) -> Kind:
    """What `exc` means. An answer of the service, wherever in the chain, counts before its wrapping."""
    chain = list(_chain(exc))
    for error in chain:
        code, status = _answer(error)
        found = _BY_CODE.get(code) or _BY_STATUS.get(status)
        if found is not None:
            return found
        if status:
            return Kind.OTHER
    for error in chain:
        names = {cls.__name__ for cls in type(error).__mro__}
        if names & _DENIED:
            return Kind.DENIED
        if names & _DOWN or isinstance(error, (ConnectionError, socket.gaierror)):
            return Kind.DOWN
        if isinstance(error, OSError) and error.errno in _DOWN_ERRNOS:
            return Kind.DOWN
    if isinstance(exc, FileExistsError):
        return Kind.REFUSED
    if isinstance(exc, FileNotFoundError):
        return Kind.MISSING
    return Kind.OTHER


def kind_of_code(code: str) -> Kind | None:
    """What a service's own code for an error means, where it is a known one."""
    return _BY_CODE.get(code)


def in_words(exc: BaseException, secrets: Mapping[str, Any]) -> str:
    """One line about `exc`, without the values of `secrets` (storage options)."""
    text = next((line.strip() for line in str(exc).splitlines() if line.strip()), "")
    for value in _values(secrets):
        text = text.replace(value, "********")
    return f"{type(exc).__name__}: {text[:300]}" if text else type(exc).__name__


def _chain(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    error: BaseException | None = exc
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _answer(error: BaseException) -> tuple[str, int]:
    """The service's own code and HTTP status, "" and 0 where the error carries none."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):  # botocore
        code = response.get("Error", {}).get("Code", "")
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return str(code), int(status or (code if str(code).isdigit() else 0))
    code = getattr(error, "error_code", None)  # azure; an enum whose value is the string
    status = getattr(error, "status_code", None) or getattr(error, "status", None)
    number = getattr(error, "code", None)  # gcsfs
    if not isinstance(status, int):
        status = number if isinstance(number, int) else 0
    return str(getattr(code, "value", code) or ""), status


def _values(options: Mapping[str, Any]) -> Iterator[str]:
    """Strings in the options long enough to be secrets; a short one would only garble the message."""
    for value in options.values():
        if isinstance(value, Mapping):
            yield from _values(value)
        elif isinstance(value, str) and len(value) >= 8 and "://" not in value:
            yield value
