"""The configuration of a delivery report, from YAML: every key checked, errors that say what to type instead."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.errors import ConfigFileError, DateRangeError, TemplateError
from prefect_trackrecord.pages import check_line
from prefect_trackrecord.report import Filters, Period, parse_day, parse_period, zone
from prefect_trackrecord.settings import variable

DEFAULT_SUBJECT = "{{ title }}: {{ short }} - {{ period }}"
PORTS = {"starttls": 587, "ssl": 465, "none": 25}


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")


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
        host: its name.
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

    host: str = Field(min_length=1)
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
        if (self.password is not None or self.password_env) and not self.username:
            raise ValueError("a password needs a username")
        if self.username and self.password is None and not self.password_env:
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


class ReportConfig(Checked):
    """A delivery report.

    Attributes:
        name: short and stable, for file names and message ids; made from the title where left out.
        title: for people.
        storage: folder, URL or block of the history; resolved as by `track` where left out.
        storage_options: fsspec's options for that URL.
        window: `yesterday` (default), `today`, `last-7-days`, `previous-week`, `previous-month`.
        date_from, date_to: fixed days instead, both included.
        timezone: whose days they are.
        filters: which runs it is about.
        include_reports: whether delivery reports' own runs count.
        recipients, cc: who gets it; each gets a mail of their own.
        sender: who it is from; the SMTP username where that is an address.
        reply_to: where answers go.
        subject: a Jinja2 template; knows `title`, `name`, `short`, `sentence`, `level`, `period`,
        `date_from`,
            `date_to`, and `report`.
        smtp: the mail server; without it mails are kept in the outbox.
        outbox: that folder; `deliveries/outbox` in a local store, else `outbox` here, where left out.
        attach_page: whether the whole page is attached.
        base_url: where the store's files can be read by a browser; mails then link to the page.
        ui_url: the Prefect UI, for links to runs.
        once: whether nobody gets the report of one period twice; needs a store that can be written.
        late: what becomes of a report that is made too late to be news: `send`, `mark` (in its title), `skip`.
        late_after: how long after the period's end that is (`36h`); when the next period has ended too, where left
            out.
    """

    name: str = Field(default="", max_length=80)
    title: str = Field(default="", max_length=200)
    storage: str | None = None
    storage_options: dict[str, Any] = Field(default_factory=dict, repr=False)
    window: str | None = None
    date_from: date | None = None
    date_to: date | None = None
    timezone: str = "UTC"
    filters: Filters = Filters()
    include_reports: bool = False
    recipients: tuple[Person, ...] = ()
    cc: tuple[Person, ...] = ()
    sender: Person | None = None
    reply_to: Person | None = None
    subject: str = DEFAULT_SUBJECT
    smtp: SmtpConfig | None = None
    outbox: Path | None = None
    attach_page: bool = False
    base_url: str | None = None
    ui_url: str | None = None
    once: bool = True
    late: Literal["send", "mark", "skip"] = "mark"
    late_after: Seconds | None = None

    @field_validator("recipients", "cc", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | Mapping) else () if value is None else value

    @field_validator("filters", mode="before")
    @classmethod
    def _no_filters(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("date_from", "date_to", mode="before")
    @classmethod
    def _a_day(cls, value: Any) -> Any:
        return parse_day(value) if isinstance(value, str) else value

    @field_validator("timezone")
    @classmethod
    def _a_zone(cls, value: str) -> str:
        return zone(value).key

    @field_validator("subject")
    @classmethod
    def _a_template(cls, value: str) -> str:
        try:
            check_line(value)
        except TemplateError as exc:
            raise ValueError(str(exc)) from None
        return value

    @field_validator("base_url", "ui_url")
    @classmethod
    def _an_url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s/]+\S*", value):
            raise ValueError(f"{value!r} is no URL: it must begin with http:// or https://")
        return value

    @field_validator("name", "title")
    @classmethod
    def _one_line(cls, value: str) -> str:
        return " ".join(value.split())

    @model_validator(mode="after")
    def _as_a_whole(self) -> ReportConfig:
        if (self.date_from is None) != (self.date_to is None):
            raise ValueError("a period needs both date_from and date_to")
        if self.date_from is not None and self.window is not None:
            raise ValueError("give a window, or date_from and date_to, not both")
        if self.date_from is not None and self.date_to is not None:
            Period(self.date_from, self.date_to, self.timezone)
        for people in ("sender", "reply_to"):
            person = getattr(self, people)
            if person is not None and person.email is None:
                raise ValueError(f"{people} needs an email")
        if self.smtp is not None and self.recipients and self.from_ is None:
            raise ValueError("sender is missing, and the smtp username is no email address")
        return self

    @property
    def from_(self) -> Person | None:
        """The sender, or the SMTP username where that is an address."""
        if self.sender is not None:
            return self.sender
        if self.smtp is not None and self.smtp.username and "@" in self.smtp.username:
            try:
                return Person(email=self.smtp.username)
            except ValidationError:
                return None
        return None

    @property
    def heading(self) -> str:
        """The title, or else the name."""
        return self.title or self.name or "Delivery report"

    @property
    def slug(self) -> str:
        """The name, or else one made from the title."""
        made = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")
        return self.name or made or ("delivery-report" if not self.title else self.title)

    def period(self, date_from: str | date | None, date_to: str | date | None, now: Any) -> Period:
        """The days: those given here, else the configured ones, else those of the window.

        Raises:
            DateRangeError: they can't be read, one is missing, or they run backwards.
        """
        if date_from is None and date_to is None:
            date_from, date_to = self.date_from, self.date_to
        return parse_period(date_from, date_to, window=self.window, tz=self.timezone, now=now)


def load_config(path: str | os.PathLike[str]) -> ReportConfig:
    """Read a configuration file.

    Raises:
        ConfigFileError: it can't be read, or something in it is wrong; names file, key and what to type
        instead.
    """
    name = os.fspath(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        data = yaml.safe_load(text)
    except OSError as exc:
        raise ConfigFileError(f"{name} can't be read: {exc.strerror or exc}") from None
    except UnicodeDecodeError:
        raise ConfigFileError(f"{name} is no text in UTF-8") from None
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(exc, "problem", None) or "it can't be parsed"
        raise ConfigFileError(f"{name}{place}: this is no YAML: {problem}") from None
    except (ValueError, RecursionError) as exc:  # a date such as 2025-02-30
        raise ConfigFileError(f"{name}: {exc}") from None
    return parse_config(data if data is not None else {}, name)


def parse_config(data: Any, source: str = "the configuration") -> ReportConfig:
    """Check a configuration that is data already; `source` names it in errors.

    Raises:
        ConfigFileError: something in it is wrong.
    """
    if not isinstance(data, Mapping):
        raise ConfigFileError(f"{source}: keys and values are expected, not {type(data).__name__}")
    try:
        return ReportConfig.model_validate(dict(data))
    except ValidationError as exc:
        raise ConfigFileError(_explain(exc, source)) from None
    except DateRangeError as exc:
        raise ConfigFileError(f"{source}: {exc}") from None


_SECTIONS: dict[str, type[BaseModel]] = {
    "": ReportConfig,
    "smtp": SmtpConfig,
    "filters": Filters,
    "recipients": Person,
    "cc": Person,
    "sender": Person,
    "reply_to": Person,
}


def _explain(exc: ValidationError, source: str) -> str:
    """All that is wrong, a line each, without the values that pydantic would show."""
    lines = []
    for error in exc.errors(include_url=False, include_input=False, include_context=False):
        place = [str(part) for part in error["loc"]]
        if error["type"] == "extra_forbidden":
            lines.append(_unknown(place))
            continue
        message = error["msg"].removeprefix("Value error, ")
        lines.append(f"{_dotted(place)}: {message}" if place else message)
    if len(lines) == 1:
        return f"{source}: {lines[0]}"
    return "\n".join([f"{source}: {len(lines)} errors", *(f"  {line}" for line in lines)])


def _unknown(place: list[str]) -> str:
    *section, key = place
    known = list(_SECTIONS.get(section[0] if section else "", ReportConfig).model_fields)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    where = f" in {_dotted(section)}" if section else ""
    return f"unknown key {key!r}{where}; {hint}"


def _dotted(place: list[str]) -> str:
    """`recipients[2].email`, counted from 1 as people do: `entry 3 of recipients`."""
    text = ""
    for part in place:
        text = f"entry {int(part) + 1} of {text}" if part.isdigit() else f"{text}.{part}" if text else part
    return text
