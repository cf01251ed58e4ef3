"""Email addresses: a small check that is sound, and the people they belong to."""

from __future__ import annotations

import re
from email.headerregistry import Address
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_NAMED = re.compile(r"\s*(?P<name>[^<>]*?)\s*<(?P<email>[^<>]+)>\s*")
# The last is an encoded word, which Python's email package would decode, line breaks in it and all.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|=\?")


def check_address(text: str) -> str:
    """The address without blanks around it; a domain in other letters in its ASCII form.

    Raises:
        ValueError: it is none, and why.
    """
    address = text.strip()
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        raise ValueError(f"{text!r} is no email address: it must be name@domain")
    if not _LOCAL.fullmatch(local) or len(local) > 64:
        raise ValueError(f"{text!r} is no email address: {local!r} can't stand before the @")
    try:
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError:
        ascii_domain = ""
    labels = ascii_domain.split(".")
    if len(ascii_domain) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{text!r} is no email address: {domain!r} is no domain")
    return f"{local}@{ascii_domain}"


class Person(BaseModel):
    """Somebody who gets or sends mail, written as an address, as `Name <address>`, or with keys.

    Attributes:
        email: the address; None for one who has none: the result is then `skipped`, and says so.
        name: for the mail's header and the log.
        agent_id: the seed's id, for the log.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    email: str | None = None
    name: str | None = None
    agent_id: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        named = _NAMED.fullmatch(value)
        if named is None:
            return {"email": value}
        return {"email": named["email"], "name": named["name"].strip('"') or None}

    @field_validator("agent_id", mode="before")
    @classmethod
    def _number_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("email")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        return check_address(value) if value is not None else None

    @field_validator("name", "agent_id")
    @classmethod
    def _is_one_line(cls, value: str | None) -> str | None:
        if value is not None and _CONTROL.search(value):
            raise ValueError(f"{value!r} has a line break, a control character or '=?' in it")
        return value

    @model_validator(mode="after")
    def _is_somebody(self) -> Person:
        if not (self.email or self.name or self.agent_id):
            raise ValueError("an entry needs an email")
        return self

    @property
    def address(self) -> Address:
        """The address for a mail's header."""
        return Address(display_name=self.name or "", addr_spec=self.email or "")

    @property
    def label(self) -> str:
        """What the log calls this person."""
        return self.email or self.name or self.agent_id or ""
