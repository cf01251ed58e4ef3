"""Periods: whole days of a time zone, both ends included, right where the clocks change."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_trackrecord.errors import DateRangeError
from prefect_trackrecord.report import Period, parse_period

UTC = timezone.utc
NOW = datetime(2025, 1, 27, 7, 0, tzinfo=UTC)  # a Monday


def period(start: str, end: str, tz: str = "UTC") -> Period:
    return Period(date.fromisoformat(start), date.fromisoformat(end), tz)


@pytest.mark.parametrize(
    ("day", "tz", "hours"),
    [
        ("2025-03-30", "Europe/Berlin", 23),
        ("2025-10-26", "Europe/Berlin", 25),
        ("2025-03-29", "Europe/Berlin", 24),
        ("2025-04-06", "Australia/Lord_Howe", 24.5),
        ("2024-09-08", "America/Santiago", 23),  # midnight itself is skipped
        ("2025-03-09", "America/Havana", 23),
        ("2011-12-30", "Pacific/Apia", 0),  # the day that never was
    ],
)
def test_days_have_the_hours_that_they_have_there(day: str, tz: str, hours: float) -> None:
    one = period(day, day, tz)
    assert one.hours(one.start) == hours
    assert (one.until - one.begin) == timedelta(hours=hours)


@given(
    st.dates(date(1950, 1, 1), date(2100, 1, 1)),
    st.integers(1, 40),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Santiago", "Asia/Kolkata", "Pacific/Apia", "America/Havana"]),
)
def test_days_tile_the_period_and_periods_tile_time(start: date, length: int, tz: str) -> None:
    whole = Period(start, start + timedelta(days=length - 1), tz)
    days = [Period(d, d, tz) for d in whole.days()]
    assert days[0].begin == whole.begin
    assert days[-1].until == whole.until
    assert all(a.until == b.begin for a, b in zip(days, days[1:]))
    assert whole.previous().until == whole.begin
    assert whole.previous().length == length
    for moment in (whole.begin, whole.until - timedelta(microseconds=1)):
        assert moment in whole
        assert sum(moment in d for d in days) == 1
        assert whole.start <= whole.day_of(moment) <= whole.end
    assert whole.until not in whole


def test_both_ends_are_included() -> None:
    week = period("2025-01-20", "2025-01-26", "Europe/Berlin")
    assert week.length == 7
    assert datetime(2025, 1, 19, 23, 0, tzinfo=UTC) in week
    assert datetime(2025, 1, 26, 22, 59, 59, tzinfo=UTC) in week
    assert datetime(2025, 1, 26, 23, 0, tzinfo=UTC) not in week


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        (None, "2025-01-26", "2025-01-26"),
        ("yesterday", "2025-01-26", "2025-01-26"),
        ("today", "2025-01-27", "2025-01-27"),
        ("last-7-days", "2025-01-20", "2025-01-26"),
        ("last-30-days", "2024-12-28", "2025-01-26"),
        ("previous-week", "2025-01-20", "2025-01-26"),
        ("previous-month", "2024-12-01", "2024-12-31"),
    ],
)
def test_windows(window: str | None, start: str, end: str) -> None:
    assert parse_period(window=window, now=NOW) == period(start, end)


def test_windows_count_from_the_day_of_the_time_zone() -> None:
    late = datetime(2025, 1, 27, 23, 30, tzinfo=UTC)
    assert parse_period(window="today", tz="Asia/Tokyo", now=late).start == date(2025, 1, 28)
    assert parse_period(window="today", tz="America/New_York", now=late).start == date(2025, 1, 27)


def test_dates_win_over_a_window() -> None:
    found = parse_period("2025-01-20", date(2025, 1, 21), window="today", now=NOW)
    assert found == period("2025-01-20", "2025-01-21")


@pytest.mark.parametrize(
    ("first", "last", "window", "tz", "says"),
    [
        ("2025-01-26", "2025-01-20", None, "UTC", "before it starts"),
        ("2025-02-30", "2025-03-01", None, "UTC", "2025-02-30"),
        ("20.1.2025", "2025-03-01", None, "UTC", "YYYY-MM-DD"),
        ("2025-01-20", None, None, "UTC", "last day is missing"),
        (None, "2025-01-20", None, "UTC", "first day is missing"),
        ("0001-01-01", "0001-01-02", None, "UTC", "years"),
        ("1900-01-01", "2025-01-01", None, "UTC", "longer"),
        (None, None, "last-week", "UTC", "previous-week"),
        (None, None, "last-0-days", "UTC", "last-N-days"),
        (None, None, "last-9999-days", "UTC", "last-N-days"),
        (None, None, None, "Mars/Olympus", "Mars/Olympus"),
        (None, None, None, "../etc/passwd", "time zone"),
    ],
)
def test_what_is_wrong_is_said(first: str | None, last: str | None, window: str | None, tz: str, says: str) -> None:
    with pytest.raises(DateRangeError, match=says):
        parse_period(first, last, window=window, tz=tz, now=NOW)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("2025-01-20", "2025-01-20", "20 January 2025"),
        ("2025-01-20", "2025-01-26", "20 to 26 January 2025"),
        ("2025-01-27", "2025-02-02", "27 January to 2 February 2025"),
        ("2024-12-30", "2025-01-05", "30 December 2024 to 5 January 2025"),
    ],
)
def test_words(start: str, end: str, words: str) -> None:
    assert str(period(start, end)) == words
