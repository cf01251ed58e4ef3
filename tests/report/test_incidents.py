"""Incidents: when they open and close, their names, and how well alerts find what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import FakeArchive
from schedule_simulation import Made, Score, live_through, make
from schedule_world import make_world

from prefect_trackrecord.documents.models import RunStatus
from prefect_trackrecord.report.incidents import Course, Incident, Rules, Sign, follow, incidents

HISTORIES = int(os.environ.get("TRACKRECORD_HISTORIES") or 15)
"""100 of each maker are what docs/benchmarks.md tells of."""
START = datetime(2025, 1, 1, tzinfo=timezone.utc)
NOW = START + timedelta(days=90)
S, F, A, P = RunStatus.SUCCESS, RunStatus.FAILED, RunStatus.ABORTED, RunStatus.PARTIAL_SUCCESS


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("maker", [make, make_world], ids=["labels first", "labels read off a world"])
def test_simulated_schedules_with_labelled_problems(maker: Callable[[int], Made]) -> None:
    score = Score()
    for seed in range(HISTORIES):
        live_through(maker(seed), score)
    print(f"\n{'kind':<24}{'labelled':>9}{'alerted':>9}")
    for kind, count in sorted(score.labelled.items()):
        print(f"{kind:<24}{count:>9}{score.found[kind]:>9}")
    print(f"recall {score.recall:.4f}, precision {score.precision:.4f}; {score.alerts} alerts,")
    print(f"{score.false} false, {score.twice} second ones, {score.recoveries} recovery notices")
    assert sum(score.labelled.values()) > 2 * HISTORIES
    assert score.recall >= 0.98, score.missed
    assert score.precision >= 0.95
    # Where runs do not know their moments, one that is late may pass for the next one in time.
    assert score.twice <= (1 if maker is make_world else 0)


def of(*statuses: RunStatus, **rules: int) -> list[Incident]:
    archive = FakeArchive()
    for n, status in enumerate(statuses):
        archive.add(START + timedelta(days=n), status=status)
    return incidents(archive.all, Rules(**rules), NOW)


def test_failures_in_a_row_are_one_incident() -> None:
    (one,) = of(S, F, A, F)
    assert (one.kind, one.opened_at, len(one.bad), one.run_id) == ("failed", START + timedelta(days=1), 3, "run-0003")
    assert one.is_open
    first, second = of(F, F, S, F)
    assert (first.closed_at, first.recovered_by) == (START + timedelta(days=2), "run-0002")
    assert first.key != second.key


@pytest.mark.parametrize(
    ("statuses", "rules", "wanted"),
    [
        ((F, S, F, S), {"failures_before_alert": 2}, []),
        ((F, F, S), {"failures_before_alert": 2}, [(2, False)]),
        ((F, S, F, S, S), {"successes_before_recovery": 2}, [(2, False)]),
        ((F, S), {"successes_before_recovery": 2}, [(1, True)]),
        ((P, P), {}, []),
        ((P, P), {"partial_is_bad": True}, [(2, True)]),
    ],
)
def test_rules(statuses: tuple[RunStatus, ...], rules: dict[str, int], wanted: list[tuple[int, bool]]) -> None:
    assert [(len(i.bad), i.is_open) for i in of(*statuses, **rules)] == wanted


def test_a_key_stays_while_the_incident_grows() -> None:
    keys = {of(S, *[F] * n)[0].key for n in range(1, 6)}
    assert len(keys) == 1


signs = st.lists(st.booleans(), max_size=40)


@given(signs, st.integers(1, 4), st.integers(1, 4), st.integers(0, 40))
def test_every_sign_in_one_go_or_one_by_one_gives_the_same(told: list[bool], fails: int, well: int, cut: int) -> None:
    rules = Rules(failures_before_alert=fails, successes_before_recovery=well)
    made = [Sign(str(n), START + timedelta(hours=n), bad, run_id=str(n)) for n, bad in enumerate(told)]
    course, whole = follow(Course(), made, "f", "failed", rules)
    half, first = follow(Course(), made[:cut], "f", "failed", rules)
    closed = [i for i in first if not i.is_open]
    end, second = follow(half, made[cut:], "f", "failed", rules)
    assert (end, [*closed, *second]) == (course, whole)
    assert len({i.key for i in whole}) == len(whole)
    bad = [b for i in whole for b in i.bad]
    assert len(bad) == len(set(bad))
    assert sum(i.is_open for i in whole) <= 1


def test_a_stuck_run_is_told_while_it_runs_and_is_slow_once_it_ended() -> None:
    archive = FakeArchive()
    for n in range(12):
        archive.add(START + timedelta(days=n), minutes=10)
    began = START + timedelta(days=12)
    run = archive.add(began, status=RunStatus.RUNNING)
    look = lambda hours: incidents(archive.all, Rules(), began + timedelta(hours=hours))  # noqa: E731
    assert look(0.3) == []
    (stuck,) = look(1)
    assert (stuck.kind, stuck.run_id) == ("stuck", run.run_id)
    archive.all[-1] = run.model_copy(update={"status": S, "completed_at": began + timedelta(hours=2)})
    (slow,) = look(3)
    assert (slow.kind, slow.key) == ("slow", stuck.key)
