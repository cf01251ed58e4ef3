"""Moments of a schedule and the runs that came for them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import FakeArchive

from prefect_trackrecord.history import Grace, slots
from prefect_trackrecord.history.schedule import AUTOMATIC

START = datetime(2025, 1, 1, tzinfo=timezone.utc)


def states(times: list[float], runs: list[float], now: float, **options: object) -> list[str]:
    """Hours in, states out."""
    archive = FakeArchive()
    for at in runs:
        archive.add(START + timedelta(hours=at), **options)
    expected = [START + timedelta(hours=h) for h in times]
    return [s.state for s in slots("nightly", expected, archive.all, START + timedelta(hours=now))]


@pytest.mark.parametrize(
    ("times", "runs", "now", "wanted"),
    [
        ([1, 2, 3], [1, 2.001, 3], 4, ["on_time"] * 3),
        ([1, 2, 3], [1, 3], 4, ["on_time", "missed", "on_time"]),
        ([1, 2, 3], [1, 2, 3.5], 4, ["on_time", "on_time", "late"]),
        ([1, 2, 3], [1, 2], 3.1, ["on_time", "on_time", "due"]),
        ([1, 2, 3], [1, 2], 3.3, ["on_time", "on_time", "overdue"]),
        ([1, 2, 3], [1, 2], 9.3, ["on_time", "on_time", "missed"]),
        ([1, 2, 3, 9], [1, 2], 3.3, ["on_time", "on_time", "overdue"]),
        ([1, 2, 3], [3.05, 3.06, 3.07], 4, ["late", "late", "on_time"]),
        ([24, 48], [24 + 7, 48], 50, ["missed", "on_time"]),
        ([1], [0.995], 2, ["on_time"]),
        ([1], [0.5], 2, ["overdue"]),
        ([], [1], 2, []),
    ],
)
def test_states(times: list[float], runs: list[float], now: float, wanted: list[str]) -> None:
    assert states(times, runs, now) == wanted


def test_two_deployments_of_one_flow_at_one_moment_are_two_runs() -> None:
    archive = FakeArchive()
    for hour in (0, 0, 1):
        archive.add(START + timedelta(hours=hour, seconds=5))
    due = [START, START, START + timedelta(hours=1), START + timedelta(hours=1)]
    found = slots("f", due, archive.all, START + timedelta(hours=1, minutes=40))
    assert [s.state for s in found] == ["on_time", "on_time", "on_time", "overdue"]


def test_a_run_by_hand_does_not_stand_in_for_a_scheduled_one() -> None:
    archive = FakeArchive()
    archive.add(START, tags=[AUTOMATIC])
    archive.add(START + timedelta(hours=24, minutes=5))
    found = slots("nightly", [START, START + timedelta(hours=24)], archive.all, START + timedelta(hours=30.5))
    assert [s.state for s in found] == ["on_time", "missed"]


moments = st.lists(st.integers(0, 3000).map(lambda m: START + timedelta(minutes=m)), max_size=30)


@given(moments, moments, st.integers(0, 4000))
def test_each_run_comes_for_one_moment_at_most_and_never_before_it(
    times: list[datetime], starts: list[datetime], minutes: int
) -> None:
    archive = FakeArchive()
    for at in starts:
        archive.add(at)
    now = START + timedelta(minutes=minutes)
    grace = Grace()
    found = slots("nightly", times, archive.all, now, grace)
    assert [s.at for s in found] == sorted(t for t in times if t <= now)
    came = [s.run.run_id for s in found if s.run]
    assert len(came) == len(set(came))
    for slot in found:
        assert (slot.run is not None) == (slot.state in {"on_time", "late"})
        if slot.run is not None:
            assert slot.at - grace.early <= slot.run.started_at <= slot.at + grace.longest


def test_a_run_that_knows_its_moment_came_for_that_one() -> None:
    """A worker that is behind: each run begins when the next one is due, which without that looks like in time."""
    archive = FakeArchive()
    for hour in (1, 2, 3):
        archive.add(START + timedelta(hours=hour + 1), scheduled_for=START + timedelta(hours=hour))
    archive.add(START + timedelta(hours=3.5))  # by hand
    expected = [START + timedelta(hours=h) for h in (1, 2, 3, 4)]
    found = slots("nightly", expected, archive.all, START + timedelta(hours=4.2))
    assert [s.state for s in found] == ["late", "late", "late", "overdue"]
    assert [s.run.scheduled_for == s.at for s in found if s.run is not None] == [True] * 3


def test_two_runs_of_one_moment_and_one_that_nobody_asked_for() -> None:
    archive = FakeArchive()
    for begun, due in ((1, 1), (1.01, 1), (1.02, 7)):
        archive.add(START + timedelta(hours=begun), scheduled_for=START + timedelta(hours=due))
    expected = [START + timedelta(hours=h) for h in (1, 1, 2)]
    found = slots("nightly", expected, archive.all, START + timedelta(hours=3.5))
    assert [s.state for s in found] == ["on_time", "on_time", "overdue"]
