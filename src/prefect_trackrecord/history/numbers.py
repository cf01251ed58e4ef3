"""Numbers of runs as a sum of small parts: `Numbers.of(run)` for one run, `+` for any number of them.

The parts carry everything that a total needs, so a day, a flow and a period are the same type, and the
days of a period add up to it whatever way they are grouped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from prefect_trackrecord.documents.models import FileStatus, RunMetadata, RunStatus


class _Adds(Protocol):
    def __add__(self: A, other: A) -> A: ...


A = TypeVar("A", bound=_Adds)


def total(parts: Iterable[A], zero: A) -> A:
    """The sum of `parts`, added in pairs: sorted tuples inside the parts then merge in n log n."""
    level = list(parts)
    while len(level) > 1:
        paired = [a + b for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(paired) * 2 :]
    return level[0] if level else zero


@dataclass(frozen=True)
class Durations:
    """Durations in milliseconds, sorted; adding merges them, so that percentiles stay exact."""

    values: tuple[int, ...] = ()

    def __add__(self, other: Durations) -> Durations:
        if not self.values or not other.values:
            return other if not self.values else self
        return Durations(tuple(sorted(self.values + other.values)))

    def percentile(self, share: float) -> int | None:
        """The smallest value that at least `share` of all values do not exceed; None where there is none."""
        if not self.values:
            return None
        rank = max(1, -(-len(self.values) * round(share * 1000) // 1000))
        return self.values[rank - 1]

    @property
    def p50(self) -> int | None:
        """The median."""
        return self.percentile(0.50)

    @property
    def p95(self) -> int | None:
        """What 95 of 100 do not exceed."""
        return self.percentile(0.95)

    @property
    def longest(self) -> int | None:
        """The longest."""
        return self.values[-1] if self.values else None

    @property
    def sum(self) -> int:
        """All of them together."""
        return sum(self.values)


@dataclass(frozen=True)
class Counts:
    """How many of each status; a status that is absent counts 0, an unknown one is kept."""

    by: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Zeros are dropped so that equal counts compare equal, however they came about.
        object.__setattr__(self, "by", {k: v for k, v in self.by.items() if v})

    def __add__(self, other: Counts) -> Counts:
        return Counts({k: self[k] + other[k] for k in {**self.by, **other.by}})

    def __getitem__(self, status: str) -> int:
        return self.by.get(getattr(status, "value", status), 0)

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by.values())


@dataclass(frozen=True)
class Numbers:
    """What a set of runs amounts to.

    Attributes:
        runs: by run status.
        files: by file status.
        emails: by sent, failed, skipped.
        durations: of the runs that ended.
        tracking_errors: what tracking could not do, by cause.
    """

    runs: Counts = field(default_factory=Counts)
    files: Counts = field(default_factory=Counts)
    emails: Counts = field(default_factory=Counts)
    durations: Durations = field(default_factory=Durations)
    tracking_errors: Counts = field(default_factory=Counts)

    @classmethod
    def of(cls, run: RunMetadata) -> Numbers:
        """The numbers of one run: its roll-up where it has one, else its own counts (an old document)."""
        duration = duration_ms(run)
        return cls(
            runs=Counts({run.status.value: 1}),
            files=file_counts(run),
            emails=Counts({"sent": run.emails_sent, "failed": run.emails_failed, "skipped": run.emails_skipped}),
            durations=Durations(() if duration is None else (duration,)),
            tracking_errors=Counts(dict(run.tracking_errors)),
        )

    @classmethod
    def total(cls, runs: Iterable[RunMetadata]) -> Numbers:
        """The sum over `runs`: what adding up the numbers of each gives, without making them one by one."""
        found = runs if isinstance(runs, Sequence) else list(runs)
        files: dict[str, int] = {}
        emails: Counter[str] = Counter()
        errors: Counter[str] = Counter()
        durations = []
        for run in found:
            rolled = run.rollup.files if run.rollup is not None else None
            for status, count in (rolled or file_counts(run).by).items():
                files[status] = files.get(status, 0) + count
            if run.emails_sent or run.emails_failed or run.emails_skipped:
                emails.update(sent=run.emails_sent, failed=run.emails_failed, skipped=run.emails_skipped)
            if run.tracking_errors:
                errors.update(run.tracking_errors)
            took = run.duration_ms
            if took is not None or (took := duration_ms(run)) is not None:
                durations.append(took)
        statuses = [run.status for run in found]
        durations.sort()
        return cls(
            Counts({status.value: statuses.count(status) for status in RunStatus}),
            Counts(files),
            Counts(dict(emails)),
            Durations(tuple(durations)),
            Counts(dict(errors)),
        )

    def __add__(self, other: Numbers) -> Numbers:
        return Numbers(
            self.runs + other.runs,
            self.files + other.files,
            self.emails + other.emails,
            self.durations + other.durations,
            self.tracking_errors + other.tracking_errors,
        )

    @property
    def ended(self) -> int:
        """Runs that are over."""
        return self.runs.total - self.runs[RunStatus.RUNNING]

    @property
    def success_rate(self) -> float | None:
        """Share of the ended runs that succeeded whole; None where none ended."""
        return self.runs[RunStatus.SUCCESS] / self.ended if self.ended else None

    @property
    def file_success_rate(self) -> float | None:
        """Share of the files tried (skipped ones were not) that came through; None where none was tried."""
        tried = self.files[FileStatus.SUCCESS] + self.files[FileStatus.FAILED]
        return self.files[FileStatus.SUCCESS] / tried if tried else None


def file_counts(run: RunMetadata) -> Counts:
    """Files of the run by status."""
    if run.rollup is not None and run.rollup.files:
        return Counts(dict(run.rollup.files))
    return Counts(
        {
            FileStatus.SUCCESS.value: run.success_count,
            FileStatus.FAILED.value: run.failed_count,
            FileStatus.SKIPPED.value: run.skipped_count,
        }
    )


def duration_ms(run: RunMetadata) -> int | None:
    """How long the run took: its own measure, else the time between its start and its end."""
    if run.duration_ms is not None:
        return run.duration_ms
    if run.completed_at is None:
        return None
    return max(0, round((run.completed_at - run.started_at).total_seconds() * 1000))


def flow_key(run: RunMetadata) -> str:
    """What the run is a run of: its command, with the subcommand where it has one."""
    name = run.command or run.flow_name or "(no name)"
    return f"{name} {run.subcommand}" if run.subcommand else name
