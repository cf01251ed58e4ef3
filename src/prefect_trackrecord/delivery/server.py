"""Which mail server: from the configuration, a prefect-email block that somebody above loads, or the environment."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.config import ReportConfig
from prefect_trackrecord.delivery.sections import PORTS, SmtpConfig
from prefect_trackrecord.delivery.smtp import SmtpServer
from prefect_trackrecord.errors import ConfigurationError
from prefect_trackrecord.settings import variable

ResolveBlock = Callable[[str], Any]
"""Loads a block by its name. Of `email-server-credentials/...` it gives plain fields of `SmtpConfig` (a mapping), of
any other the object with `.notify`."""

_ENVIRONMENT = {
    name.upper(): name for name in ("host", "port", "security", "username", "password", "timeout", "ca_file", "verify")
}
PREFIX = "TRACKRECORD_SMTP_"
VARIABLES = tuple(f"{PREFIX}{name}" for name in (*_ENVIRONMENT, "RETRY_FOR", "SENDER"))
"""The environment variables of the mail server."""


def mail_server(config: ReportConfig, resolve: ResolveBlock | None = None) -> SmtpServer | None:
    """The mail server of a report: the configured one, else that of the environment; None for the outbox.

    A configuration that names an `outbox` and no mail server means the outbox, whatever the environment says.

    Raises:
        ConfigurationError: the block, the password, or a variable is missing or wrong.
    """
    if config.smtp is not None:
        return smtp_server(config.smtp, resolve)
    return None if config.outbox is not None else server_from_environment()


def smtp_server(config: SmtpConfig, resolve: ResolveBlock | None = None) -> SmtpServer:
    """The mail server of a configuration, with its password.

    Args:
        config: where it is.
        resolve: loads the block that it names; where left out Prefect is asked, if it can be imported.

    Raises:
        ConfigurationError: the block can't be loaded, or the variable that should have the password is not set.
    """
    if config.block is not None:
        config = _with_block(config, config.block, resolve or load_block)
    return SmtpServer(
        host=config.host or "",
        port=config.port or PORTS[config.security],
        security=config.security,
        username=config.username,
        password=config.secret,
        timeout=config.timeout,
        ca_file=config.ca_file,
        verify=config.verify,
        retry_for=config.retry_for,
        retry_first=config.retry_first,
    )


def _with_block(config: SmtpConfig, name: str, resolve: ResolveBlock) -> SmtpConfig:
    fields: Mapping[str, Any] = resolve(name)
    own = {key: getattr(config, key) for key in config.model_fields_set if key != "block"}
    if own.get("password_env"):
        fields = {key: value for key, value in fields.items() if key != "password"}
    return _checked({**fields, **own}, f"the block {name}")


def server_from_environment() -> SmtpServer | None:
    """The mail server that `TRACKRECORD_SMTP_HOST` and its siblings name; None where they name none.

    Raises:
        ConfigurationError: one of them can't be used.
    """
    names = {**_ENVIRONMENT, "RETRY_FOR": "retry_for"}
    fields = {key: value for name, key in names.items() if (value := variable(f"{PREFIX}{name}")) is not None}
    if "host" not in fields:
        return None
    return smtp_server(_checked(fields, f"the environment ({PREFIX}HOST and its siblings)"))


def sender_of(config: ReportConfig | None, server: SmtpServer) -> Person:
    """Who mails are from: the configured sender, `TRACKRECORD_SMTP_SENDER`, or the login where it is an address.

    Raises:
        ConfigurationError: there is none.
    """
    if config is not None and config.from_ is not None:
        return config.from_
    for text in (variable(f"{PREFIX}SENDER"), server.username):
        if text and "@" in text:
            try:
                return Person.model_validate(text)
            except ValidationError:
                continue
    raise ConfigurationError(
        f"sender is missing: set it in the configuration or in {PREFIX}SENDER (the login of the mail server is no "
        "email address)"
    )


def load_block(name: str) -> Any:
    """A block by its name, from the one who knows blocks, who lies above this room and is asked by name.

    Raises:
        ConfigurationError: Prefect can't be imported, or it has no such block.
    """
    try:
        load: ResolveBlock = importlib.import_module("prefect_trackrecord._prefect.mail_blocks").load_block
    except ImportError as exc:
        raise ConfigurationError(f"{name} is a Prefect block, and Prefect can't be imported: {exc}") from None
    return load(name)


def _checked(fields: Mapping[str, Any], source: str) -> SmtpConfig:
    try:
        return SmtpConfig.model_validate(dict(fields))
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_input=False, include_context=False)
        told = "; ".join(
            f"{'.'.join(map(str, e['loc']))} {e['msg'].removeprefix('Value error, ')}".strip() for e in errors
        )
        raise ConfigurationError(f"{source} makes no mail server: {told}") from None
