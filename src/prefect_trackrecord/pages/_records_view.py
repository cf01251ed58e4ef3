"""One entry of `records_logs.json` as both renderings take it: plain HTML by template, chunks by the page's script.

Everything that may be missing or odd is settled here, so that neither rendering has to ask.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from ._records_errors import category_of, error_of, group_key
from ._records_events import ShowImage, badge, dicts, events_of, marks_of
from ._records_text import clean_entry, moment_ms, shown, text_of

_LONG = re.compile(r"\d{19}")


def view_of(entry: Any, show_image: ShowImage) -> dict[str, Any]:
    """The entry's view.

    Keys: `id`, `type`, `st` (status badge), `cat`, `a` and `b` (first and last moment, ms), `ev` and `evn`
    (events; their number where cut), `err` and `g` (error; key of equal errors), `tis` (time in status:
    `[name, colour, seconds]`), `att`, `steps`, `rec` (current values), `notes`.
    """
    try:
        if not isinstance(entry, Mapping):
            raise TypeError(f"an entry must be an object, this is {type(entry).__name__}")
        return _view(clean_entry(dict(entry)), show_image)
    except Exception as exc:  # noqa: BLE001 - one odd record must not cost the others their page
        record_id = text_of(entry.get("record_id")) if isinstance(entry, Mapping) else ""
        note = f"This record could not be shown: {type(exc).__name__}: {exc}"
        odd = clean_entry({"id": record_id or "(unreadable)", "notes": [note]})
        return {**odd, "type": "", "st": ["", None], "cat": "other", "a": None, "b": None, "ev": [], "g": None}


def _view(entry: dict[str, Any], show_image: ShowImage) -> dict[str, Any]:
    record_id = text_of(entry.get("record_id"))
    status = badge(entry.get("status"), entry.get("status_color"))
    events, cut_from = events_of(entry, show_image)
    moments = [event["ms"] for event in events if "ms" in event]
    view: dict[str, Any] = {
        "id": record_id,
        "type": text_of(entry.get("record_type")),
        "st": status,
        "cat": category_of(entry.get("category"), str(status[0])),
        "a": min(moments, default=None),
        "b": max(moments, default=None),
        "ev": events,
        "g": None,
    }
    if cut_from:
        view["evn"] = cut_from
    if error := error_of(entry):
        view["err"] = error
    if view["cat"] == "failed":
        error = error or _last_words(events)
        view["g"] = group_key(record_id, error)
        view["why"] = error
    extras = {
        "tis": _time_in_status(entry, events, status),
        "att": _attempts(entry.get("attempts")),
        "steps": _steps(entry.get("steps")),
        "rec": _values(entry.get("record")),
        "notes": marks_of(entry),
    }
    for event in events:
        event.pop("ms", None)  # `t` is what is shown of it
    return view | {key: value for key, value in extras.items() if value}


def _last_words(events: list[dict[str, Any]]) -> dict[str, str]:
    """What a failed record without an error said last: its newest reason, else its newest action."""
    message = ""
    for event in reversed(events):
        if message := event.get("r") or event.get("a") or "":
            break
    return {"kind": "", "code": "", "type": "", "message": message, "traceback": ""}


def _time_in_status(entry: dict[str, Any], events: list[dict[str, Any]], status: list[str | None]) -> list[list[Any]]:
    """Seconds in each status as given, else between the status changes up to the last event."""
    changes = [event for event in events if event["k"] == "s" and "ms" in event]
    colors = {badge[0]: badge[1] for event in changes for badge in (event["o"], event["n"])}
    colors[status[0]] = status[1]
    given = entry.get("time_in_status")
    if isinstance(given, dict):
        seconds = {
            str(name): float(value)
            for name, value in given.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11
        }
    else:
        seconds = {}
        moments = [event["ms"] for event in events if "ms" in event]
        if changes and moments:
            ends = [event["ms"] for event in changes[1:]] + [max(moments)]
            first = changes[0]
            if first["o"][0]:
                seconds[first["o"][0]] = (first["ms"] - min(moments)) / 1000
            for event, end in zip(changes, ends, strict=True):
                name = event["n"][0]
                seconds[name] = seconds.get(name, 0.0) + (end - event["ms"]) / 1000
    # What rounds to nothing is left out: shares of a total of nothing can't be drawn.
    return [[name, colors.get(name), round(value, 3)] for name, value in seconds.items() if round(value, 3) > 0]


def _attempts(value: Any) -> list[list[Any]]:
    """Rows of `[number, outcome, error, milliseconds]`; a bare number of attempts becomes one such row."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [[value, "", "", None]] if value > 1 else []
    rows = []
    for place, attempt in enumerate(dicts(value), 1):
        error = attempt.get("error")
        error = error if isinstance(error, dict) else {"message": error}
        words = [
            text_of(attempt.get("error_type") or error.get("type")),
            text_of(attempt.get("error_message") or error.get("message")),
        ]
        started, ended = moment_ms(attempt.get("started_at")), moment_ms(attempt.get("ended_at"))
        rows.append(
            [
                attempt.get("number") if isinstance(attempt.get("number"), int) else place,
                text_of(attempt.get("status") or attempt.get("outcome")),
                ": ".join(word for word in words if word),
                ended - started if started is not None and ended is not None and ended >= started else None,
            ]
        )
    return rows if len(rows) > 1 else []


def _steps(value: Any) -> list[list[Any]]:
    """Rows of `[name, outcome, milliseconds, error]`."""
    rows = []
    for step in dicts(value):
        length = step.get("duration_ms")
        if not isinstance(length, int | float):
            seconds = step.get("seconds", step.get("duration"))
            length = seconds * 1000 if isinstance(seconds, int | float) else None
        if length is None:
            started, ended = moment_ms(step.get("started_at")), moment_ms(step.get("ended_at"))
            length = ended - started if started is not None and ended is not None else None
        error = step.get("error") or step.get("error_message") or ""
        if isinstance(error, dict):
            error = ": ".join(text_of(error[k]) for k in ("type", "message") if error.get(k))
        name = text_of(step.get("name") or step.get("step"))
        rows.append([name, text_of(step.get("outcome") or step.get("status")), length, text_of(error)])
    return rows


def _values(record: Any) -> list[list[Any]]:
    """The record's current values as rows of `[name, value]`; one row without a name where it is no object."""
    if isinstance(record, str):
        try:
            # orjson makes floats of integers beyond 64 bits
            parsed = json.loads(record) if _LONG.search(record) else orjson.loads(record)
        except ValueError:
            return [["", shown(record)]] if record else []
        record = clean_entry({"": parsed})[""]
    if isinstance(record, dict):
        return [[str(name), shown(value)] for name, value in record.items()]
    return [] if record is None else [["", shown(record)]]
