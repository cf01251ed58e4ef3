"""`trackrecord silence`: no alerts about a flow for a while; which silences last; and their end."""

from __future__ import annotations

from datetime import datetime, timezone

from prefect_trackrecord.cli.output import dump, note, say, table, when
from prefect_trackrecord.cli.place import must_be_there, storage_of
from prefect_trackrecord.delivery import silence as silence_flow
from prefect_trackrecord.delivery import silences
from prefect_trackrecord.delivery.alert_rules import silence_until
from prefect_trackrecord.errors import UsageError


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
    silence_flow(place.archive, flow, until)
    who = "all flows" if flow == "*" else flow
    if as_json:
        dump({"flow": flow, "until": until.isoformat() if until else None})
    else:
        say(f"no alerts about {who} until {when(until)}" if until else f"alerts about {who} again")
    note(f"in {place.url}")
    return 0


def _list(storage: str | None, now: datetime, as_json: bool) -> int:
    place = storage_of(storage)
    found = silences(place.archive, now)
    if not found:
        must_be_there(place, storage)
    if as_json:
        dump([{"flow": one.flow, "until": one.until.isoformat()} for one in found])
    elif found:
        table(("flow", "until"), [("all flows" if one.flow == "*" else one.flow, when(one.until)) for one in found])
    else:
        note(f"nothing is silenced in {place.url}")
    return 0
