"""`trackrecord silence`: no alerts about a flow for a while; which silences last; and their end."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from prefect_trackrecord.cli.output import dump, note, say, table, when
from prefect_trackrecord.cli.place import must_be_there, storage_of
from prefect_trackrecord.delivery import silence as silence_flow
from prefect_trackrecord.delivery import silences
from prefect_trackrecord.delivery.alert_rules import silence_until
from prefect_trackrecord.delivery.incident_log import ALL
from prefect_trackrecord.documents.archive import Archive
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.history.numbers import flow_key

DAYS = 60


def silence(flow: str | None, lasting: str | None, storage: str | None, end: bool, as_json: bool) -> int:
    """Begin, end or list silences."""
    now = datetime.now(timezone.utc)
    if flow is None:
        if end:
            raise UsageError("say which silence is to end: trackrecord silence FLOW --end")
        return _list(storage, now, as_json)
    if end and lasting:
        raise UsageError("give a time or --end, not both")
    if not end and lasting is None:
        raise UsageError(f"say how long: trackrecord silence {flow} 2h (or --end to end it)")
    until = None if lasting is None else silence_until(lasting, now)
    place = storage_of(storage)
    lasts = any(one.flow == flow for one in silences(place.archive, now))
    if not until and not lasts:
        must_be_there(place, storage)
    else:
        silence_flow(place.archive, flow, until)
    who = "all flows" if flow == ALL else flow
    if as_json:
        dump({"flow": flow, "until": until.isoformat() if until else None})
    elif until or lasts:
        say(f"no alerts about {who} until {when(until)}" if until else f"alerts about {who} again")
    if not until and not lasts:
        note(f"nothing to end: {who} {'are' if flow == ALL else 'is'} not silenced in {place.url}")
        return 0
    note(f"in {place.url}")
    if until and not _is_known(place.archive, flow, now):
        note(f"no run of the last {DAYS} days is one of {flow}; is it spelled as reports name it?")
    return 0


def _is_known(archive: Archive, flow: str, now: datetime) -> bool:
    """Whether a flow of this name ran lately; one that is silenced before its first run is silenced all the same."""
    if flow == ALL:
        return True
    first = f"{(now - timedelta(days=DAYS)).date()}"
    return any(flow_key(run) == flow for run in archive.facts(first).runs)


def _list(storage: str | None, now: datetime, as_json: bool) -> int:
    place = storage_of(storage)
    found = silences(place.archive, now)
    if not found:
        must_be_there(place, storage)
    if as_json:
        dump([{"flow": one.flow, "until": one.until.isoformat()} for one in found])
    elif found:
        table(("flow", "until"), [("all flows" if one.flow == ALL else one.flow, when(one.until)) for one in found])
    else:
        note(f"nothing is silenced in {place.url}")
    return 0
