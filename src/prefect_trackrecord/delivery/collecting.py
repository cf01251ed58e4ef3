"""What a report is made of: the runs of its period and of the one before, read from the archive and summed up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from prefect_trackrecord import history
from prefect_trackrecord.delivery.config import ReportConfig
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.pages.words import plural
from prefect_trackrecord.report import FlowNote, Period, Report, build_report, chosen
from prefect_trackrecord.settings import Settings, current
from prefect_trackrecord.store.base import StoreConfig
from prefect_trackrecord.tracking import resolve_storage

Expect = Callable[[Sequence[RunMetadata], datetime, datetime], Mapping[str, Sequence[datetime]]]
"""Given the runs that are known, says when runs of each flow (by `history.flow_key`) were to begin between two moments.

Raises an error where it can't be asked; the report then says so."""

LATER = timedelta(days=1)
"""How long after the period's end a run may come that was due in it."""


@dataclass(frozen=True)
class Collected:
    """What was read for a report: the period's runs, those of the equal period before, and files between them.

    Attributes:
        records, previous_records: the business records that these runs worked on.
        expected: when runs of each flow were to begin, by those who know schedules.
        later: runs after the period, for what was due at its end; read only where somebody knows schedules.
        problems: what could not be asked.
    """

    period: Period
    runs: history.History
    previous: history.History
    items: history.ItemChanges
    store: str
    records: history.Records | None = None
    previous_records: history.Records | None = None
    expected: Mapping[str, Sequence[datetime]] = field(default_factory=dict)
    later: tuple[RunMetadata, ...] = ()
    problems: tuple[str, ...] = ()


def archive_of(config: ReportConfig, settings: Settings | None = None) -> Archive:
    """The archive that a configuration names, resolved as `track` does.

    Args:
        config: the configuration.
        settings: what else says where the history is; the environment where left out.

    Raises:
        ConfigurationError: it can't be used.
    """
    return resolve_storage(storage_of(config), settings).archive


def storage_of(config: ReportConfig) -> StoreConfig | str | None:
    """Where a configuration says that the history is; None leaves it to the settings."""
    if config.storage and config.storage_options:
        return StoreConfig(config.storage, config.storage_options)
    return config.storage


def collect(
    config: ReportConfig,
    period: Period,
    archive: Archive,
) -> Collected:
    """Read the runs of the period and of the one before, their files where they failed, and their records.

    Args:
        config: which runs.
        period: which days.
        archive: where from.

    Raises:
        StoreError: the store can't be listed. Single documents that can't be read are part of the result.
    """
    before = period.previous()
    runs = _read(config, archive, period)
    previous = _read(config, archive, before)
    items = history.item_changes(runs.runs, previous.runs, history.rows_of(archive))
    own = chosen(runs.runs, config.filters, config.include_reports)
    records = history.records_of(archive, own)
    earlier = history.records_of(archive, chosen(previous.runs, config.filters, config.include_reports))
    return Collected(
        period,
        runs,
        previous,
        items,
        archive.store.url,
        records=records,
        previous_records=earlier,
    )


def with_schedules(collected: Collected, archive: Archive, expect: Expect, now: datetime) -> Collected:
    """The same with what schedules asked for in the period; where that can't be asked, with that problem."""
    period = collected.period
    until = min(period.until, now)
    if until <= period.begin:
        return collected
    try:
        later = tuple(history.runs_between(archive, period.until, period.until + LATER).runs)
        known = (*collected.previous.runs, *collected.runs.runs, *later)
        expected = dict(expect(known, period.begin, until))
    except Exception as exc:  # noqa: BLE001 - a client of an API may raise anything
        problem = f"schedules could not be asked, so missing runs are not told ({type(exc).__name__}: {exc})"
        return replace(collected, problems=(*collected.problems, problem[:500]))
    return replace(collected, expected=expected, later=later)


def _read(config: ReportConfig, archive: Archive, period: Period) -> history.History:
    found = history.runs_between(archive, period.begin, period.until)
    kept = chosen(found.runs, config.filters, config.include_reports)
    ids = {run.run_id for run in kept}
    own = tuple(run for run in found.runs if run.run_id not in ids)
    whole = history.whole(archive, history.History(tuple(kept), found.damaged))
    # Those left out go along unread: the report says how many of them were its own.
    return history.History(tuple(sorted((*whole.runs, *own), key=lambda r: r.started_at)), whole.damaged)


def what_was_read(config: ReportConfig, collected: Collected) -> str:
    """How many runs a report is about, and where they were read, for whoever waits for it."""
    runs = len(chosen(collected.runs.runs, config.filters, config.include_reports))
    return f"{plural(runs, 'run')} of {collected.period} from {collected.store}"


def build(config: ReportConfig, collected: Collected, *, now: datetime) -> Report:
    """The report of what was collected."""
    report = build_report(
        collected.runs.runs,
        collected.previous.runs,
        period=collected.period,
        now=now,
        name=config.slug,
        title=config.heading,
        filters=config.filters,
        damaged=collected.runs.damaged,
        items=collected.items,
        store=collected.store,
        ui_url=config.ui_url or current().ui_url,
        include_reports=config.include_reports,
        records=_any(collected.records),
        previous_records=_any(collected.previous_records),
        expected=collected.expected,
        later_runs=collected.later,
        thresholds=config.thresholds.rules(),
        grace=config.alerts.grace,
        pace=config.alerts.pace,
        notes=notes(config, (*collected.runs.runs, *collected.previous.runs)),
    )
    return report.model_copy(update={"problems": collected.problems}) if collected.problems else report


def _any(records: history.Records | None) -> history.Records | None:
    """None where nobody keeps records: the report then has no part about them."""
    return records if records is not None and (records.states or records.damaged) else None


def notes(config: ReportConfig, runs: Sequence[RunMetadata]) -> dict[str, FlowNote]:
    """What the configuration says about each flow that ran."""
    commands = {history.flow_key(run): run.command for run in runs}
    found = {flow: config.note_of(flow, command) for flow, command in commands.items()}
    return {flow: note for flow, note in found.items() if note is not None}
