"""Which end belongs to which attempt."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents.attempts import Attempts

T0 = datetime(2026, 1, 2, 3, tzinfo=timezone.utc)


def start(second, count):
    return ev.RunStarted(at=T0 + timedelta(seconds=second), run={"run_count": count})


def end(second, count=None, **more):
    return ev.RunEnded(at=T0 + timedelta(seconds=second), run_count=count, **more)


def test_a_crash_that_another_process_told_is_of_the_attempt_that_ran_then():
    """The hook of a worker that has seen a child die knows no number."""
    crash = end(5, status="aborted", state="Crashed")
    attempts = Attempts([start(0, 1)], [crash])
    assert attempts.end() == crash
    attempts.starts.append(start(10, 2))
    assert attempts.end() is None, "the second one goes on"
    assert [(a["number"], a["status"]) for a in attempts.told()] == [(1, "aborted"), (2, None)]
    assert attempts.told()[0]["ended_at"] == crash.at
    own = end(20, 2, state="Completed")
    attempts.ends.append(own)
    assert attempts.end() == own
    later = end(30, status="aborted", state="Crashed")
    assert Attempts([start(0, 1), start(10, 2)], [crash, later]).end() == later


def test_an_end_before_all_starts_is_of_the_first():
    """Clocks of hosts differ; and a run may have an end alone."""
    assert Attempts([start(0, 1), start(10, 2)], [end(-1)]).end() is None
    alone = end(1)
    assert Attempts([], [alone]).end() == alone


def test_an_attempt_that_begins_twice_was_resumed():
    attempts = Attempts([start(0, 1), start(10, 2), start(20, 2)])
    assert attempts.resumed() == [(2, T0 + timedelta(seconds=20))]
    assert len(attempts.told()) == 2
