"""The days a report is about: whole days of one time zone, both ends included.

Days are made into instants by the time zone's own rules, so a day at the change of daylight saving has 23 or
25 hours, and adjoining periods share no instant and lose none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prefect_trackrecord.errors import DateRangeError

WINDOWS = ("today", "yesterday", "last-7-days", "previous-week", "previous-month")
"""The windows by name; `last-N-days` takes any number up to 3660."""

# Not from the locale: a host program that sets one must not change the report's words.
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_LAST_DAYS = re.compile(r"last-(\d{1,4})-days?")
_MAX_DAYS = 3660


@dataclass(frozen=True)
class Period:
    """Whole days of a time zone, both ends included.

    Args:
        start: the first day.
        end: the last day.
        tz: the time zone's IANA name.

    Raises:
        DateRangeError: the end is before the start, the range is longer than ten years, or there is no such
            time zone.
    """

    start: date
    end: date
    tz: str = "UTC"

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise DateRangeError(f"the period ends ({self.end}) before it starts ({self.start})")
        if self.length > _MAX_DAYS:
            raise DateRangeError(f"{self.start} to {self.end} is longer than {_MAX_DAYS} days")
        if self.start.year < 1000 or self.end.year > 9000:
            raise DateRangeError(f"{self.start} to {self.end} is outside the years 1000 to 9000")
        zone(self.tz)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return zone(self.tz)

    @property
    def length(self) -> int:
        """Number of days."""
        return (self.end - self.start).days + 1

    @property
    def begin(self) -> datetime:
        """The first instant, in UTC."""
        return self._midnight(self.start)

    @property
    def until(self) -> datetime:
        """The first instant after the period, in UTC."""
        return self._midnight(self.end + timedelta(days=1))

    @property
    def key(self) -> str:
        """`2025-01-20--2025-01-26`, for file names and message ids."""
        return f"{self.start}--{self.end}"

    def __contains__(self, moment: datetime) -> bool:
        return self.begin <= moment < self.until

    def __str__(self) -> str:
        first, last = self.start, self.end
        if first == last:
            return _words(first)
        if first.year != last.year:
            return f"{_words(first)} to {_words(last)}"
        if first.month != last.month:
            return f"{first.day} {MONTHS[first.month - 1]} to {_words(last)}"
        return f"{first.day} to {_words(last)}"

    def days(self) -> Iterator[date]:
        """Each day."""
        for n in range(self.length):
            yield self.start + timedelta(days=n)

    def day_of(self, moment: datetime) -> date:
        """The day of this time zone in which `moment` falls."""
        return moment.astimezone(self.zone).date()

    def hours(self, day: date) -> float:
        """How many hours the day has here: 24, or 23 or 25 where the clocks change."""
        length = self._midnight(day + timedelta(days=1)) - self._midnight(day)
        return length.total_seconds() / 3600

    def previous(self) -> Period:
        """The equal number of days right before."""
        last = self.start - timedelta(days=1)
        return Period(last - timedelta(days=self.length - 1), last, self.tz)

    def _midnight(self, day: date) -> datetime:
        # Where clocks skip midnight, fold=0 reads it by the offset before the change: the day's first instant.
        return datetime.combine(day, time(), tzinfo=self.zone).astimezone(timezone.utc)


def zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name.

    Raises:
        DateRangeError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = "an IANA name such as Europe/Berlin or UTC is needed"
        raise DateRangeError(f"there is no time zone {name!r}; {hint}") from None


def parse_period(
    date_from: str | date | None = None,
    date_to: str | date | None = None,
    *,
    window: str | None = None,
    tz: str = "UTC",
    now: datetime,
) -> Period:
    """The period that was asked for: two dates, or else a window by name, or else yesterday.

    Args:
        date_from: the first day, `YYYY-MM-DD`.
        date_to: the last day, included.
        window: `today`, `yesterday`, `last-7-days` (any number; the days up to yesterday), `previous-week`
            (Monday to Sunday), `previous-month`. Dates win over it.
        tz: the time zone whose days they are.
        now: the present, which windows count from.

    Raises:
        DateRangeError: a date can't be read, one is missing, they run backwards, or there is no such window.
    """
    if date_from is not None or date_to is not None:
        if date_from is None or date_to is None:
            missing = "first" if date_from is None else "last"
            raise DateRangeError(f"the {missing} day is missing: a period needs both dates")
        return Period(parse_day(date_from), parse_day(date_to), tz)
    today = now.astimezone(zone(tz)).date()
    return _window(window or "yesterday", today, tz)


def parse_day(value: str | date) -> date:
    """A date from `YYYY-MM-DD`.

    Raises:
        DateRangeError: it is none.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    text = str(value).strip()
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise DateRangeError(f"{text!r} is no date; write it as YYYY-MM-DD, for example 2025-01-20")


def _words(day: date) -> str:
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def _window(name: str, today: date, tz: str) -> Period:
    yesterday = today - timedelta(days=1)
    if name == "today":
        return Period(today, today, tz)
    if name == "yesterday":
        return Period(yesterday, yesterday, tz)
    if name == "previous-week":
        monday = today - timedelta(days=today.weekday() + 7)
        return Period(monday, monday + timedelta(days=6), tz)
    if name == "previous-month":
        last = today.replace(day=1) - timedelta(days=1)
        return Period(last.replace(day=1), last, tz)
    found = _LAST_DAYS.fullmatch(name)
    if found and 1 <= int(found[1]) <= _MAX_DAYS:
        return Period(today - timedelta(days=int(found[1])), yesterday, tz)
    known = f"{', '.join(WINDOWS)}, or any last-N-days of 1 to {_MAX_DAYS} days"
    raise DateRangeError(f"there is no window {name!r}; there are {known}")
