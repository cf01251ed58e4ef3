"""Broken since, green but idle, slower than the flow's own pace."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from report_samples import FakeArchive, ok

from prefect_trackrecord.documents.models import RunStatus
from prefect_trackrecord.history import Pace, broken_flows, idle_runs, timed

START = datetime(2025, 1, 1, 6, tzinfo=timezone.utc)
S, F, A, R, P = (
    RunStatus.SUCCESS,
    RunStatus.FAILED,
    RunStatus.ABORTED,
    RunStatus.RUNNING,
    RunStatus.PARTIAL_SUCCESS,
)


def archive_of(*statuses: RunStatus, command: str = "nightly") -> FakeArchive:
    archive = FakeArchive()
    for n, status in enumerate(statuses):
        archive.add(START + timedelta(days=n), status=status, command=command)
    return archive


@pytest.mark.parametrize(
    ("statuses", "first", "count", "at_least"),
    [
        ((S, S, F), 2, 1, False),
        ((S, F, A, F), 1, 3, False),
        ((F, F), 0, 2, True),
        ((S, F, S, F, F, R), 3, 2, False),
    ],
)
def test_broken_since_the_first_of_the_runs_in_a_row(
    statuses: tuple[RunStatus, ...], first: int, count: int, at_least: bool
) -> None:
    (found,) = broken_flows(reversed(archive_of(*statuses).all))
    assert (found.since, found.count, found.at_least) == (START + timedelta(days=first), count, at_least)


@pytest.mark.parametrize("statuses", [(F, S), (F, P), (R,), ()])
def test_what_is_well_again_is_not_broken(statuses: tuple[RunStatus, ...]) -> None:
    assert broken_flows(archive_of(*statuses).all) == []


def days_of(*items: int, status: RunStatus = S) -> list[str]:
    archive = FakeArchive()
    for n, count in enumerate(items):
        archive.add(START + timedelta(days=n), ok(*map(str, range(count))), status=status)
    return [f"{i.run.started_at.day}:{i.usual}" for i in idle_runs(archive.all)]


def test_a_run_without_items_is_told_where_the_last_five_had_some() -> None:
    assert days_of(3, 4, 5, 6, 7, 0) == ["6:5"]
    assert days_of(3, 4, 5, 6, 0) == []
    assert days_of(3, 4, 0, 6, 7, 0) == []
    assert days_of(9, 3, 4, 5, 6, 7, 0, 0, 2, 0) == ["7:5", "8:5", "10:5"]
    assert days_of(3, 4, 5, 6, 7, 0, status=F) == []


def test_nothing_to_do_becomes_the_habit_after_five_in_a_row() -> None:
    assert days_of(1, 1, 1, 1, 1, *[0] * 9) == ["6:1", "7:1", "8:1", "9:1", "10:1"]


def slow_days(*minutes: float, pace: Pace | None = None) -> list[int]:
    archive = FakeArchive()
    for n, took in enumerate(minutes):
        archive.add(START + timedelta(days=n), minutes=took)
    return [n for n, t in enumerate(timed(archive.all, pace)) if t.slow]


def test_slow_is_twice_the_own_p95_after_ten_runs() -> None:
    assert slow_days(*[10] * 10, 21) == [10]
    assert slow_days(*[10] * 10, 20) == []
    assert slow_days(*[10] * 9, 50) == []
    assert slow_days(*[10] * 10, 50, 50, 10, 21) == [10, 11, 13]


def test_a_quick_flow_is_not_slow_for_a_few_seconds() -> None:
    assert slow_days(*[0.05] * 10, 0.9) == []
    assert slow_days(*[0.05] * 10, 1.2) == [10]


def test_five_slow_runs_in_a_row_are_the_new_pace() -> None:
    assert slow_days(*[10] * 10, *[40] * 15, 100) == [10, 11, 12, 13, 14, 25]
