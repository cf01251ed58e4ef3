"""The sections of a report's configuration, and how values such as durations are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from prefect_trackrecord.errors import ConfigFileError
from prefect_trackrecord.report import Threshold
from prefect_trackrecord.settings import variable

PORTS = {"starttls": 587, "ssl": 465, "none": 25}

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")


def duration(text: str) -> float:
    """The seconds of `90s`, `15m`, `36h` or `2d`.

    Raises:
        ValueError: it is no duration.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no duration; write it as 90s, 15m, 36h or 2d")
    return float(found[1]) * _UNITS[found[2]]


def _seconds(value: Any) -> Any:
    return duration(value) if isinstance(value, str) else value


Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(ge=0, le=3_000_000_000),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[smhd]?$"}]}
    ),
]
"""A duration: seconds, or a number with s, m, h or d."""


When = Literal["always", "on_failure", "on_change", "unless_empty"]


def _share(value: Any) -> Any:
    if isinstance(value, str) and value.strip().endswith("%"):
        return float(value.strip()[:-1]) / 100
    return value


Share = Annotated[
    float,
    BeforeValidator(_share),
    Field(ge=0, le=1),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": "%$"}]}),
]
"""A share: 0 to 1, or a number with %."""


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
        password: the password.
        password_env: an environment variable that has it instead.
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


class MetricRule(Checked):
    """What a metric that runs give may not cross.

    Attributes:
        flow: whose runs, a name or a pattern; all where left out.
        floor: it may not fall below.
        budget: it may not rise above.
        level: what it makes of the verdict, `warn` or `bad`.
    """

    flow: str = "*"
    floor: float | None = None
    budget: float | None = None
    level: Literal["warn", "bad"] = "bad"

    @model_validator(mode="after")
    def _holds_something(self) -> MetricRule:
        if self.floor is None and self.budget is None:
            raise ValueError("a floor or a budget is needed")
        return self


class Thresholds(Checked):
    """What turns the verdict where the report's figures cross it.

    Attributes:
        success_rate: share of the runs that must succeed whole (`0.95` or `95%`).
        file_success_rate: share of the files that must come through.
        failures: so many files may fail.
        failed_runs: so many runs may fail.
        duration: so long may 95 of 100 runs take (`2h`).
        level: what crossing one of these makes of the verdict, `warn` or `bad`.
        metrics: rules for metrics that runs give, by the metric's name.
    """

    success_rate: Share | None = None
    file_success_rate: Share | None = None
    failures: int | None = Field(default=None, ge=0)
    failed_runs: int | None = Field(default=None, ge=0)
    duration: Seconds | None = None
    level: Literal["warn", "bad"] = "bad"
    metrics: dict[str, MetricRule] = Field(default_factory=dict)

    def rules(self) -> list[Threshold]:
        """The same as the report knows them."""
        found = [
            Threshold(metric=name, flow=rule.flow, floor=rule.floor, budget=rule.budget, level=rule.level)
            for name, rule in self.metrics.items()
        ]
        floors = {"run_success_rate": self.success_rate, "file_success_rate": self.file_success_rate}
        longest = None if self.duration is None else self.duration * 1000
        budgets = {"files_failed": self.failures, "runs_failed": self.failed_runs, "run_p95": longest}
        found += [Threshold(metric=k, floor=v, level=self.level) for k, v in floors.items() if v is not None]
        found += [Threshold(metric=k, budget=v, level=self.level) for k, v in budgets.items() if v is not None]
        return found


class FlowInfo(Checked):
    """What people should know of a flow.

    Attributes:
        owner: who looks after it; recipients with this `owner` get a report about the owner's flows.
        description: what it is for.
        runbook_url: where it says what to do.
    """

    owner: str | None = None
    description: str | None = None
    runbook_url: str | None = None

    @field_validator("runbook_url")
    @classmethod
    def _an_url(cls, value: str | None) -> str | None:
        return checked_url(value)


class Templates(Checked):
    """Jinja2 files of your own instead of the built-in ones; relative to the configuration file.

    Attributes:
        email: the mail's HTML.
        text: the mail's text, and the text in the store.
        page: the page in the store.
        markdown: the artifact in the Prefect UI.
    """

    email: Path | None = None
    text: Path | None = None
    page: Path | None = None
    markdown: Path | None = None

    @field_validator("*")
    @classmethod
    def _is_there(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"there is no file {value}")
        return value


def checked_url(value: str | None) -> str | None:
    """The value if it is a web address.

    Raises:
        ValueError: it is none.
    """
    if value is not None and not re.fullmatch(r"https?://[^\s/]+\S*", value):
        raise ValueError(f"{value!r} is no URL: it must begin with http:// or https://")
    return value
