"""One record's time line: traces and status changes of an entry, merged, in order, as the renderings take them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ._records_colors import hex_color
from ._records_text import clock, json_text, moment_ms, shown, text_of

MAX_EVENTS = 5_000
"""Events of one record that a page shows: the first tenth and the latest; it says how many there were."""
MAX_FIELDS = 1_000
_DAY = 86_400_000
KINDS = ("added", "removed", "changed", "moved")

ShowImage = Callable[[str, str], "dict[str, Any] | None"]
"""Image path and `image_src_uri` to what the page shows of it (see `_records_images`)."""


def dicts(value: Any) -> list[dict[str, Any]]:
    """The dicts of a list; nothing else of anything."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list | tuple) else []


def badge(name: Any, color: Any) -> list[str | None]:
    """A status as `[name, "#rrggbb" or None]`."""
    return [text_of(name), hex_color(color) if isinstance(color, str) else None]


def events_of(entry: dict[str, Any], show_image: ShowImage) -> tuple[list[dict[str, Any]], int]:
    """The record's events in order, and how many there are in all where the list was cut (else 0).

    Each has `ms`, its moment, where it has one; `t` is the time as it is shown: where the second is another than
    the one above, as `day` where the day is, in a record of several days.
    """
    merged = [(moment_ms(t.get("timestamp")), t, True) for t in dicts(entry.get("traces"))]
    merged += [(moment_ms(s.get("timestamp")), s, False) for s in dicts(entry.get("status_updates"))]
    # What has no moment stays where it stood: behind the one before it.
    keyed, last = [], 0
    for ms, source, is_trace in merged:
        last = last if ms is None else ms
        keyed.append((last, ms, source, is_trace))
    keyed.sort(key=lambda item: item[0])
    total = len(keyed)
    if total > MAX_EVENTS:
        keyed = keyed[: MAX_EVENTS // 10] + keyed[total - MAX_EVENTS + MAX_EVENTS // 10 :]
    events: list[dict[str, Any]] = []
    before: int | None = None
    for _, ms, source, is_trace in keyed:
        event = _trace(source, show_image) if is_trace else _status(source)
        if ms is None:
            event["t"] = text_of(source.get("timestamp"))
        else:
            event["ms"] = ms
            if before is None or before // 1000 != ms // 1000:
                event["t"] = clock(ms, day=False)
            if before is None or before // _DAY != ms // _DAY:
                event["day"] = clock(ms)[:10]
            elif ms > before:
                event["dt"] = ms - before
            before = ms
        events.append(event)
    days = [event for event in events if "day" in event]
    if len(days) == 1:  # the record's head says it
        del days[0]["day"]
    return events, total if total > MAX_EVENTS else 0


def _trace(trace: dict[str, Any], show_image: ShowImage) -> dict[str, Any]:
    event: dict[str, Any] = {"k": "t", "a": text_of(trace.get("action")), "r": text_of(trace.get("reason"))}
    if updates := trace.get("dict_updates"):
        fields, total = _fields(updates, trace.get("dict_updates_kinds"))
        event["f"] = fields
        if total > len(fields):
            event["fn"] = total
    image = show_image(text_of(trace.get("image")), text_of(trace.get("image_src_uri")))
    if image is not None:
        event["img"] = image
    _technical(event, trace)
    return event


def _status(update: dict[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = {
        "k": "s",
        "o": badge(update.get("old_status"), update.get("old_status_color")),
        "n": badge(update.get("new_status"), update.get("new_status_color")),
    }
    if reason := text_of(update.get("reason")):
        event["r"] = reason
    _technical(event, update)
    return event


def _technical(event: dict[str, Any], source: dict[str, Any]) -> None:
    text = text_of(source.get("traceback"))
    if caller := text_of(source.get("caller_name")):
        text = f"called from {caller}\n{text}" if text else f"called from {caller}"
    if text:
        event["tech"] = text
    if ("cut" in source or "unstorable" in source) and (marks := marks_of(source)):
        event["notes"] = marks


def marks_of(source: dict[str, Any]) -> list[str]:
    """What was cut, or could not be stored, in words."""
    notes = []
    for name, words in (("cut", "Cut before it was stored"), ("unstorable", "Could not be stored")):
        mark = source.get(name)
        if not mark:
            continue
        if isinstance(mark, dict):
            text = ", ".join(f"{k}: {v if isinstance(v, str) else json_text(v)}" for k, v in mark.items())
        elif isinstance(mark, list):
            text = ", ".join(item if isinstance(item, str) else json_text(item) for item in mark)
        else:
            text = "" if mark is True else text_of(mark)
        notes.append(f"{words}: {text}" if text else f"{words}.")
    return notes


def _fields(updates: Any, kinds: Any) -> tuple[list[list[Any]], int]:
    """Rows of `[path, kind, from, to, position in words]`."""
    if not isinstance(updates, dict):
        return [["", "changed", None, shown(updates), ""]], 1
    kinds = kinds if isinstance(kinds, dict) else {}
    rows = []
    for path, change in itertools.islice(updates.items(), MAX_FIELDS):
        if isinstance(change, dict):
            old, new = change.get("from"), change.get("to")
        else:
            old, new = None, change
        given = kinds.get(path)
        if old is None and given is None:
            # What most differences are: the first values of a record. Nothing to find out.
            kind, place = "changed" if new is None else "added", ""
        else:
            kind, place = _kind(given, old, new)
        rows.append([str(path), kind, shown(old), shown(new), place])
    return rows, len(updates)


def _kind(given: Any, old: Any, new: Any) -> tuple[str, str]:
    """The kind of a difference, and for a moved one from where to where."""
    place = ""
    if isinstance(given, dict):
        ends = [given.get(name, given.get(f"{name}_index")) for name in ("from", "to")]
        if all(isinstance(end, int) for end in ends):
            place = f"{ends[0]} → {ends[1]}"
        elif given.get("position") is not None:
            place = text_of(given["position"])
        elif given.get("masked"):
            place = "changed, masked"
        given = given.get("kind")
    if given in KINDS:
        return given, place
    if old is None and new is not None:
        return "added", place
    if new is None and old is not None:
        return "removed", place
    return "changed", place
