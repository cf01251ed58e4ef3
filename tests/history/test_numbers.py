"""Numbers are sums of parts, whatever way the parts are grouped."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import FakeArchive, at, failed, ok, skipped

from prefect_trackrecord.documents.models import RunMetadata, RunStatus
from prefect_trackrecord.history import Counts, Durations, Numbers, duration_ms, flow_key, total

counts = st.integers(0, 50)
runs = st.builds(
    lambda status, good, bad, skip, sent, duration: RunMetadata(
        run_id="x",
        started_at=at("2025-01-20"),
        status=status,
        success_count=good,
        failed_count=bad,
        skipped_count=skip,
        emails_sent=sent,
        duration_ms=duration,
        tracking_errors={"disk full": bad} if bad else {},
    ),
    st.sampled_from(RunStatus),
    counts,
    counts,
    counts,
    counts,
    st.none() | st.integers(0, 10**7),
)


@settings(deadline=None)  # a busy machine
@given(st.lists(runs, max_size=12), st.data())
def test_any_grouping_gives_the_same_total(found: list[RunMetadata], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(found)))
    one_by_one = Numbers()
    for run in reversed(found):
        one_by_one = one_by_one + Numbers.of(run)
    assert Numbers.total(found) == one_by_one == Numbers.total(found[:cut]) + Numbers.total(found[cut:])
    assert one_by_one.runs.total == len(found)
    assert one_by_one.files["failed"] == sum(r.failed_count for r in found)
    assert one_by_one.files.total == sum(r.success_count + r.failed_count + r.skipped_count for r in found)
    assert one_by_one.emails["sent"] == sum(r.emails_sent for r in found)
    assert one_by_one.durations.sum == sum(r.duration_ms or 0 for r in found)


@given(st.lists(st.integers(0, 10**6), min_size=1), st.sampled_from([0.5, 0.95, 1.0]))
def test_percentile_is_the_smallest_value_that_covers_the_share(values: list[int], share: float) -> None:
    found = Durations(tuple(sorted(values))).percentile(share)
    assert found in values
    assert sum(v <= found for v in values) >= share * len(values) - 1e-9
    smaller = [v for v in values if v < found]
    assert len(smaller) < share * len(values)


def test_nothing_is_nothing() -> None:
    zero = Numbers()
    assert zero.success_rate is None
    assert zero.file_success_rate is None
    assert zero.durations.p50 is None
    assert zero.durations.longest is None
    assert total([], zero) == zero


def test_zeros_do_not_make_counts_differ() -> None:
    assert Counts({"a": 1, "b": 0}) == Counts({"a": 1})
    assert (Counts({"a": 1}) + Counts({"new status": 2}))["new status"] == 2


def test_a_roll_up_wins_over_counts_and_counts_serve_without_one() -> None:
    archive = FakeArchive()
    rows = [*ok("a", "b"), failed("c"), *skipped("d")]
    run = archive.add("2025-01-20", rows)
    wrong = run.model_copy(update={"failed_count": 77})
    assert Numbers.of(wrong).files.by == {"success": 2, "failed": 1, "skipped": 1}
    old = archive.add("2025-01-20", rows, rollup=False)
    assert Numbers.of(old).files.by == {"success": 2, "failed": 1, "skipped": 1}


def test_duration_falls_back_to_start_and_end() -> None:
    archive = FakeArchive()
    assert duration_ms(archive.add("2025-01-20", minutes=2)) == 120_000
    assert duration_ms(archive.add("2025-01-20", minutes=2, duration_ms=5)) == 5
    assert duration_ms(archive.add("2025-01-20", status=RunStatus.RUNNING)) is None


def test_a_flow_is_command_and_subcommand() -> None:
    archive = FakeArchive()
    assert flow_key(archive.add("2025-01-20", command="report", subcommand="tl")) == "report tl"
    assert flow_key(archive.add("2025-01-20", command="", flow_name="nightly")) == "nightly"


def test_rates_leave_out_what_did_not_end_and_what_was_not_tried() -> None:
    archive = FakeArchive()
    archive.add("2025-01-20", [*ok("a"), *skipped("b", "c")])
    archive.add("2025-01-20", [*ok("a", "b"), failed("c")])
    archive.add("2025-01-20", status=RunStatus.RUNNING)
    numbers = Numbers.total(archive.all)
    assert numbers.success_rate == 1 / 2
    assert numbers.file_success_rate == 3 / 4
