"""The configuration of a delivery report, from YAML: every key checked, errors that say what to type instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import date, datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.alert_rules import AlertRules
from prefect_trackrecord.delivery.sections import (
    Checked,
    FlowInfo,
    Seconds,
    SmtpConfig,
    Templates,
    Thresholds,
    When,
    checked_url,
)
from prefect_trackrecord.errors import TemplateError
from prefect_trackrecord.pages import check_line
from prefect_trackrecord.report import Filters, FlowNote, Period, parse_day, parse_period, zone
from prefect_trackrecord.settings import variable

DEFAULT_SUBJECT = "{{ title }}: {{ short }} - {{ period }}"


class Recipient(Person):
    """Somebody who gets the report, or one of their own.

    Attributes:
        email: the address; None for one who has none: the result is then `skipped`, and says so.
        name: for the mail's header and the log.
        agent_id: the seed's id, for the log.
        filters: which runs the report to this recipient is about, of those that the configuration is about.
        owner: instead: the flows of this owner, see `flows`.
        when: when the report is sent to this recipient, instead of the configured `when`.
    """

    filters: Filters | None = None
    owner: str | None = None
    when: When | None = None

    @property
    def is_routed(self) -> bool:
        """Whether the report to this one is another than the others get."""
        return self.filters is not None or self.owner is not None


class ReportConfig(Checked):
    """A delivery report.

    Attributes:
        name: short and stable, for file names and message ids; made from the title where left out.
        title: for people.
        storage: folder, URL or block of the history; resolved as by `track` where left out.
        storage_options: fsspec's options for that URL.
        when: when it is sent: `always`, `on_failure` (something failed), `on_change` (the verdict, or the errors and
            flows that are broken, are others than in the report before), `unless_empty` (something ran).
        thresholds: what turns the verdict.
        flows: owner, description and runbook by name or pattern of a flow.
        window: `yesterday` (default), `today`, `last-7-days`, `previous-week`, `previous-month`.
        date_from, date_to: fixed days instead, both included.
        timezone: whose days they are.
        filters: which runs it is about.
        include_reports: whether delivery reports' own runs count.
        recipients, cc: who gets it; each gets a mail of their own.
        sender: who it is from; the SMTP username where that is an address.
        reply_to: where answers go.
        subject: a Jinja2 template; knows `title`, `name`, `short`, `sentence`, `level`, `period`, `date_from`,
            `date_to`, and `report`.
        templates: Jinja2 files of your own instead of the built-in ones.
        smtp: the mail server; where left out that of the environment, and without any mails are kept in the outbox.
        channels: Prefect blocks that are told in short, such as `slack-webhook/ops`.
        alerts: when something is an incident.
        schedules: whether runs that Prefect's deployment schedules asked for and that did not come are told.
        unsubscribe: a web or mailto address for the mails' List-Unsubscribe header.
        outbox: that folder; `deliveries/outbox` in a local store, else `outbox` here, where left out.
        attachments: what mails carry along: `page` (the whole page), `csv` (one table), `json` (the whole report).
        attach_page: the same as `page` among the attachments.
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
    when: When = "always"
    thresholds: Thresholds = Thresholds()
    flows: dict[str, FlowInfo] = Field(default_factory=dict)
    recipients: tuple[Recipient, ...] = ()
    cc: tuple[Person, ...] = ()
    sender: Person | None = None
    reply_to: Person | None = None
    subject: str = DEFAULT_SUBJECT
    templates: Templates = Templates()
    smtp: SmtpConfig | None = None
    channels: tuple[str, ...] = ()
    alerts: AlertRules = AlertRules()
    schedules: bool = True
    unsubscribe: str | None = None
    outbox: Path | None = None
    attachments: tuple[Literal["page", "csv", "json"], ...] = ()
    attach_page: bool = False
    base_url: str | None = None
    ui_url: str | None = None
    once: bool = True
    late: Literal["send", "mark", "skip"] = "mark"
    late_after: Seconds | None = None

    @field_validator("recipients", "cc", "channels", "attachments", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | Mapping) else () if value is None else value

    @field_validator("filters", "thresholds", "flows", "templates", "alerts", mode="before")
    @classmethod
    def _no_filters(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("date_from", "date_to", mode="before")
    @classmethod
    def _a_day(cls, value: Any) -> Any:
        return parse_day(value) if isinstance(value, str) else value

    @field_validator("window")
    @classmethod
    def _a_window(cls, value: str | None) -> str | None:
        if value:
            parse_period(None, None, window=value, tz="UTC", now=datetime.now(timezone.utc))
        return value

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

    @field_validator("channels")
    @classmethod
    def _blocks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch(r"[a-z0-9-]+/[^/\s]+", name):
                raise ValueError(f"{name!r} is no block: it must be type/name, for example slack-webhook/ops")
        return value

    @field_validator("base_url", "ui_url")
    @classmethod
    def _an_url(cls, value: str | None) -> str | None:
        return checked_url(value)

    @field_validator("unsubscribe")
    @classmethod
    def _somewhere_to_go(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"(https?://|mailto:)[!-;=?-~]+", value):
            raise ValueError(f"{value!r} is no address: it must begin with https:// or mailto:")
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
        self._routes()
        named = self.smtp is not None and self.smtp.block is None  # a block's login may be the sender
        if named and self.recipients and self.from_ is None and not variable("TRACKRECORD_SMTP_SENDER"):
            raise ValueError("sender is missing, and the smtp username is no email address")
        return self

    def _routes(self) -> None:
        """Owners that nobody is, filters that contradict, one address with two filters: all would go astray."""
        owners = sorted({flow.owner for flow in self.flows.values() if flow.owner})
        seen: dict[str, Recipient] = {}
        for person in self.recipients:
            if person.owner and person.owner not in owners:
                near = difflib.get_close_matches(person.owner, owners, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(owners) or 'none'}"
                raise ValueError(f"no flow in flows has the owner {person.owner!r} of {person.label}; {hint}")
            if person.owner and person.filters and person.filters.command:
                raise ValueError(f"{person.label} has an owner and filters by command: give one of them")
            other = seen.setdefault((person.email or f"\0{person.label}").lower(), person)
            if (other.filters, other.owner, other.when) != (person.filters, person.owner, person.when):
                raise ValueError(f"{person.label} stands twice in recipients, with different filters")

    @property
    def attached(self) -> tuple[str, ...]:
        """The kinds of attachments."""
        return (*(("page",) if self.attach_page and "page" not in self.attachments else ()), *self.attachments)

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

    def note_of(self, flow: str, command: str) -> FlowNote | None:
        """What people should know of a flow, by its key and its command; the first name or pattern that fits counts."""
        for pattern, info in self.flows.items():
            if fnmatchcase(flow, pattern) or fnmatchcase(command, pattern):
                return FlowNote(**info.model_dump())
        return None

    def period(self, date_from: str | date | None, date_to: str | date | None, now: Any) -> Period:
        """The days: those given here, else the configured ones, else those of the window.

        Raises:
            DateRangeError: they can't be read, one is missing, or they run backwards.
        """
        if date_from is None and date_to is None:
            date_from, date_to = self.date_from, self.date_to
        return parse_period(date_from, date_to, window=self.window, tz=self.timezone, now=now)
