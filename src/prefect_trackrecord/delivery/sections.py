"""The sections of a report's configuration: the mail server, and how values such as durations are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from prefect_trackrecord.errors import ConfigFileError
from prefect_trackrecord.settings import variable

PORTS = {"starttls": 587, "ssl": 465, "none": 25}

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value.strip())
    if found is None:
        raise ValueError(f"{value!r} is no duration; write it as 90s, 15m, 36h or 2d")
    return float(found[1]) * _UNITS[found[2]]


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, le=3_000_000_000)]
"""A duration: seconds, or a number with s, m, h or d."""


class Checked(BaseModel):
    """Base of the configuration's sections: unknown keys are errors, input is not echoed (it may be secret)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class SmtpConfig(Checked):
    """The mail server.

    Attributes:
        host: its name; this or a block is needed.
        block: `email-server-credentials/<name>`, a block of prefect-email, instead of host, port, security, username,
            password and verify; any of these given too wins over the block's.
        port: 587 for starttls, 465 for ssl, 25 for none, where left out.
        security: `starttls`, `ssl`, or `none`.
        username: for AUTH; none is tried without it.
        password: the password; `password_env` names an environment variable that has it instead.
        timeout: seconds that the server may take for any answer.
        ca_file: a file of certificates to trust instead of the system's.
        verify: whether its certificate is checked.
        retry_for: seconds for which mails that the server can't take now are tried again; 0 for one try.
        retry_first: seconds until the second try; every later wait is twice as long, at most five minutes.
    """

    host: str | None = Field(default=None, min_length=1)
    block: str | None = Field(default=None, pattern=r"^email-server-credentials/[^/\s]+$")
    port: int | None = Field(default=None, ge=1, le=65535)
    security: Literal["starttls", "ssl", "none"] = "starttls"
    username: str | None = None
    password: SecretStr | None = None
    password_env: str | None = None
    timeout: Seconds = Field(default=20.0, gt=0, le=600)
    ca_file: Path | None = None
    verify: bool = True
    retry_for: Seconds = 300.0
    retry_first: Seconds = 15.0

    @model_validator(mode="after")
    def _one_password(self) -> SmtpConfig:
        if self.password is not None and self.password_env:
            raise ValueError("give password or password_env, not both")
        if not self.host and not self.block:
            raise ValueError("a host or a block is needed")
        if self.block is None and (self.password is not None or self.password_env) and not self.username:
            raise ValueError("a password needs a username")
        if self.block is None and self.username and self.password is None and not self.password_env:
            raise ValueError("a username needs a password or a password_env")
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ValueError(f"ca_file: there is no file {self.ca_file}")
        return self

    @property
    def secret(self) -> str | None:
        """The password.

        Raises:
            ConfigFileError: the variable that should have it is not set.
        """
        if self.password_env:
            value = variable(self.password_env)
            if value is None:
                raise ConfigFileError(f"smtp.password_env: the environment variable {self.password_env} is not set")
            return value
        return self.password.get_secret_value() if self.password is not None else None
