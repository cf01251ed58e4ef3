"""Blocks that the delivery of reports names: prefect-email's credentials as plain fields, and whatever notifies."""

from __future__ import annotations

from typing import Any

from prefect.blocks.core import Block

from prefect_trackrecord.errors import ConfigurationError, MissingDriverError

CREDENTIALS = "email-server-credentials/"


def load_block(name: str) -> Any:
    """The fields of `delivery.SmtpConfig` from a credentials block; any other block with a `.notify` as it is.

    Raises:
        MissingDriverError: the credentials need prefect-email, which is not installed.
        ConfigurationError: there is no such block, or it can't notify anybody.
    """
    if name.startswith(CREDENTIALS):
        try:
            import prefect_email  # noqa: F401 - registers the block's type
        except ImportError:
            raise MissingDriverError(
                f"the block {name} needs prefect-email: pip install 'prefect-trackrecord[email]'"
            ) from None
    try:
        block: Any = Block.load(name, _sync=True)  # type: ignore[call-arg]
    except Exception as exc:
        raise ConfigurationError(f"the block {name} can't be loaded: {exc}") from exc
    if name.startswith(CREDENTIALS):
        return smtp_fields(block)
    if not callable(getattr(block, "notify", None)):
        raise ConfigurationError(f"the block {name} can't notify anybody: {type(block).__name__} has no notify()")
    return block


def smtp_fields(credentials: Any) -> dict[str, Any]:
    """The fields of `delivery.SmtpConfig` from prefect-email's `EmailServerCredentials`."""
    kind = credentials.smtp_type
    known = {"SSL": "ssl", "STARTTLS": "starttls", "INSECURE": "none"}
    security = known.get(str(getattr(kind, "name", kind)).upper())
    if security is None:
        raise ConfigurationError(f"the SMTP type {kind!r} of the credentials is none of {', '.join(known)}")
    fields = {
        "host": getattr(credentials.smtp_server, "value", credentials.smtp_server),
        "port": credentials.smtp_port or getattr(kind, "value", None),
        "security": security,
        "verify": getattr(credentials, "verify", True),
    }
    if credentials.username:
        fields["username"] = credentials.username
        fields["password"] = credentials.password.get_secret_value() if credentials.password else ""
    return fields
