"""How numbers, times and texts are written in pages, mails and artifacts; nothing here knows HTML."""

from __future__ import annotations

import re
import textwrap
from datetime import date, datetime, tzinfo
from typing import Any

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# C0, DEL and C1 but for newline, the characters that turn the direction of text, and what is no character.
_UNSEEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|~&$])")


def clean(text: str) -> str:
    """`text` without what a page or a mail can't hold: control characters, direction marks, surrogates."""
    text = text.replace("\r\n", "\n").replace("\t", " ")
    return _UNSEEN.sub("\ufffd", text).encode("utf-8", "replace").decode("utf-8")


def one_line(text: object) -> str:
    """`text` cleaned and on one line."""
    return " ".join(clean(str(text)).split())


def clip(text: object, limit: int = 200) -> str:
    """`text` on one line, its end cut off where it is longer than `limit`."""
    line = one_line(text)
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def clip_end(text: object, limit: int = 160) -> str:
    """A line of code: cleaned, its indentation kept, its end cut off where it is longer than `limit`."""
    line = clean(str(text)).replace("\n", " ").rstrip()
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def middle(text: object, limit: int = 80) -> str:
    """`text` on one line, its middle cut out where it is longer: of a path, the name stays."""
    line = one_line(text)
    if len(line) <= limit:
        return line
    head = (limit - 1) // 3
    return f"{line[:head]}…{line[len(line) - (limit - 1 - head) :]}"


def count(value: float | None) -> str:
    """`1,204`; a dash for None."""
    return "–" if value is None else f"{value:,.0f}"


def number(value: float | None) -> str:
    """`1,204`, `0.9312`, `1,204.5`: four digits that say something; a dash for None."""
    if value is None:
        return "–"
    if float(value).is_integer() or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}"


def share(value: float | None) -> str:
    """`97.3 %`. Never rounded up to 100 nor down to 0."""
    if value is None:
        return "–"
    if value in {0, 1}:
        return f"{value * 100:.0f} %"
    return f"{min(max(value * 100, 0.1), 99.9):.1f} %"


def duration(ms: float | None) -> str:
    """`850 ms`, `12.3 s`, `6 min 26 s`, `1 h 02 min`, `2 d 3 h`."""
    if ms is None:
        return "–"
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 59_950:
        return f"{ms / 1000:.1f} s"
    seconds = round(ms / 1000)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s" if seconds % 60 else f"{seconds // 60} min"
    if seconds < 86_400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 86_400} d {seconds % 86_400 // 3600} h"


def figure(item: Any) -> str:
    """The value of a report's figure."""
    return measure(item.value, item.kind)


def before(item: Any) -> str:
    """The value that a report's figure had in the previous period."""
    return measure(item.previous, item.kind)


def change(item: Any) -> str:
    """The change of a report's figure with its sign; empty where there is nothing to compare with."""
    return moved(item.change, item.kind)


def measure(value: float | None, kind: str) -> str:
    """A value in the words of its kind: a number as it was given, or a count, a share, milliseconds."""
    return {"number": number, "count": count, "share": share, "duration": duration}[kind](value)


def moved(value: float | None, kind: str) -> str:
    """A change in the words of its kind, with its sign; nothing for None."""
    if value is None:
        return ""
    if kind == "share":
        points = round(value * 100, 1)
        return f"{_sign(points)}{abs(points):.1f} points" if points else "same"
    return f"{_sign(value)}{measure(abs(value), kind)}" if value else "same"


def _sign(value: float) -> str:
    return "+" if value > 0 else "−"


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 run`, `3 runs`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def moment(value: datetime, zone: tzinfo) -> str:
    """`26 Jan 2025 01:34` in the time zone."""
    local = in_zone(value, zone)
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year} {local:%H:%M}"


def short_moment(value: datetime, zone: tzinfo) -> str:
    """`26 Jan 01:34` in the time zone."""
    local = in_zone(value, zone)
    return f"{local.day} {_MONTHS[local.month - 1]} {local:%H:%M}"


def in_zone(value: datetime, zone: tzinfo) -> datetime:
    """A moment in a time zone; as it is where the calendar ends there, in a document that somebody made up."""
    try:
        return value.astimezone(zone)
    except OverflowError:
        return value


def weekday(value: date) -> str:
    """`Mon`."""
    return _WEEKDAYS[value.weekday()]


def day(value: date) -> str:
    """`20 Jan`."""
    return f"{value.day} {_MONTHS[value.month - 1]}"


def status(value: str) -> str:
    """A status as people write it: `partial_success` is `in part`."""
    return {"partial_success": "in part"}.get(value) or clip(value.replace("_", " "), 60)


def web(value: object) -> str | None:
    """The address if a browser may follow it (http, https), else None."""
    text = one_line(value or "")
    return text if re.fullmatch(r"https?://[^\s<>\"]+", text) else None


def wrap(text: object, width: int = 78, indent: int = 0) -> str:
    """`text` on lines of at most `width`, each indented."""
    space = " " * indent
    lines = textwrap.wrap(one_line(text), width - indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(space + line for line in lines)


def markdown(text: object, limit: int = 300) -> str:
    """`text` as plain text within Markdown, tables included: nothing in it is markup."""
    return _MARKDOWN.sub(r"\\\1", clip(text, limit))


def code(text: object, limit: int = 160) -> str:
    """`text` as a code span of a Markdown table's cell: a fence longer than any in it, pipes escaped."""
    line = middle(text, limit).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def address(url: str) -> str:
    """A link's address within Markdown."""
    return re.sub(r"[\s()<>\[\]|`\"\\]", lambda m: "".join(f"%{b:02X}" for b in m[0].encode()), url)
