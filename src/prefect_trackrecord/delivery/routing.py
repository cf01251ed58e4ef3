"""Who gets a report about what: recipients with filters of their own get a report of their own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from prefect_trackrecord.delivery.address import Person
from prefect_trackrecord.delivery.collecting import Collected
from prefect_trackrecord.delivery.config import Recipient, ReportConfig
from prefect_trackrecord.delivery.sender import everybody
from prefect_trackrecord.history import History, ItemChanges, Records
from prefect_trackrecord.report import Filters


@dataclass(frozen=True)
class Part:
    """A report for some of the recipients.

    Attributes:
        config: the configuration with the part's own filters, name and title.
        people: who gets it.
        whole: whether it is the report about everything that the configuration is about.
    """

    config: ReportConfig
    people: tuple[Person, ...]
    whole: bool


def parts(config: ReportConfig) -> list[Part]:
    """The report about everything, then one for each different filter that recipients have."""
    by_filters: dict[str, list[Recipient]] = {}
    whole: list[Person] = []
    for person in everybody(config):
        if isinstance(person, Recipient) and person.is_routed:
            key = f"{person.owner}\0{person.filters.model_dump_json() if person.filters else ''}"
            by_filters.setdefault(key, []).append(person)
        else:
            whole.append(person)
    unrouted = tuple(person for person in config.recipients if not person.is_routed)
    found = [Part(config.model_copy(update={"recipients": unrouted}), tuple(whole), whole=True)]
    for key, people in by_filters.items():
        first = people[0]
        label = first.owner or hashlib.sha256(key.encode()).hexdigest()[:8]
        update = {
            "filters": filters_of(config, first),
            "name": f"{config.slug}-{label}",
            "recipients": tuple(people),
            "cc": (),
            "title": f"{config.heading} ({first.owner})" if first.owner else config.heading,
        }
        found.append(Part(config.model_copy(update=update), tuple(people), whole=False))
    return found


def filters_of(config: ReportConfig, recipient: Recipient) -> Filters:
    """The recipient's filters over the configured ones; an owner's flows as names of commands."""
    own = recipient.filters or Filters()
    update = {name: getattr(own, name) for name in own.model_fields_set}
    if recipient.owner:
        update["command"] = tuple(name for name, flow in config.flows.items() if flow.owner == recipient.owner)
    return config.filters.model_copy(update=update)


def narrowed(collected: Collected, config: ReportConfig, part: ReportConfig) -> Collected:
    """What was collected, for a part: only what both the configured filters and the part's let through."""

    def both(history: History) -> History:
        return replace(history, runs=tuple(r for r in history.runs if config.filters.matches(r)))

    runs, previous = both(collected.runs), both(collected.previous)
    ids = {r.run_id for r in (*runs.runs, *previous.runs) if part.filters.matches(r) and r.role is None}
    items = ItemChanges(tuple(c for c in collected.items.changes if c.run_id in ids), collected.items.complete)
    return replace(
        collected,
        runs=runs,
        previous=previous,
        items=items,
        records=_of(collected.records, ids),
        previous_records=_of(collected.previous_records, ids),
        later=tuple(run for run in collected.later if config.filters.matches(run)),
        expected={flow: times for flow, times in collected.expected.items() if _is_of(part.filters, flow)},
    )


def _of(records: Records | None, ids: set[str]) -> Records | None:
    if records is None:
        return None
    return replace(records, states=tuple(s for s in records.states if s.run_id in ids))


def _is_of(filters: Filters, flow: str) -> bool:
    """Whether a schedule's flow belongs to a part, as far as its name tells."""
    patterns = (*filters.command, *filters.flow)
    return not patterns or any(fnmatchcase(flow, pattern) for pattern in patterns)
