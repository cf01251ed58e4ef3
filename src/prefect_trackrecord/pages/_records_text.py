"""Text of any origin, made harmless for a page: characters that hide or break, values, moments, durations."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

import orjson

MAX_VALUE = 20_000
"""Characters of one value that a page shows; it says how many there were."""
_LINE = 80

# NUL and the other control characters, surrogates without a partner, and the marks that turn the direction
# of what follows them. Tab and newline are text; LRM, RLM and ALM are kept, they turn nothing by themselves.
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
# The same in the bytes of JSON, where control characters stand as escapes. Too many hits only cost time.
_ODD_JSON = re.compile(
    rb"\\u00[01]|\\[bfr]|\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]|\xef\xbf[\xbe\xbf]"
)


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code == 0x0D:
        return "\n"
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0x202A <= code <= 0x2069:
        return f"[U+{code:04X}]"
    return "\ufffd"


def clean(text: str) -> str:
    """`text` with every character that hides or breaks made visible."""
    return _ODD.sub(_visible, text.replace("\r\n", "\n")) if _ODD.search(text) else text


def clean_entry(entry: dict[str, Any]) -> dict[str, Any]:
    """`entry` with every text in it clean, and only what JSON can hold; most are handed back as they are."""
    try:
        plain = orjson.dumps(entry)
    except (TypeError, ValueError, RecursionError):
        plain = None
    if plain is not None and not _ODD_JSON.search(plain):
        return entry
    cleaned: dict[str, Any] = _deep(entry, 0)
    return cleaned


def _deep(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean(str(value))
    if value is None or isinstance(value, bool | float | datetime):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if depth > 60:
        return "…"
    if isinstance(value, dict):
        return {clean(str(k)): _deep(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_deep(v, depth + 1) for v in value]
    return clean(repr(value)[:MAX_VALUE])


def text_of(value: Any) -> str:
    """`value` where a text belongs: empty for None, the text itself, JSON or repr of anything else."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json_text(value)


def json_text(value: Any) -> str:
    """`value` as JSON; what would make a long line is written an item a line."""
    try:
        return _laid_out(value, 0)
    except (TypeError, ValueError, RecursionError):
        return clean(repr(value)[:MAX_VALUE])


def _laid_out(value: Any, depth: int) -> str:
    line = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    if len(line) <= _LINE or not isinstance(value, dict | list):
        return line
    inner, outer = " " * (depth + 1), " " * depth
    if isinstance(value, list):
        items = [_laid_out(item, depth + 1) for item in value]
        return f"[\n{inner}" + f",\n{inner}".join(items) + f"\n{outer}]"
    items = [f"{_key(key)}: {_laid_out(item, depth + 1)}" for key, item in value.items()]
    return f"{{\n{inner}" + f",\n{inner}".join(items) + f"\n{outer}}}"


def _key(key: Any) -> str:
    text = orjson.dumps({key: 0}, option=orjson.OPT_NON_STR_KEYS).decode()
    return text[1:-3]


def shown(value: Any) -> Any:
    """`value` as the page's two renderings take it.

    None for nothing; a str for text; `{"j": text}` for other JSON; `{"r": text, "t": type}` for what JSON
    could not hold; with `"n"`, the length before the cut, where it was cut (`{"s": text, "n": ...}` for text).
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return {"j": "true" if value else "false"}
    if isinstance(value, str):
        return value if len(value) <= MAX_VALUE else {"s": value[:MAX_VALUE], "n": len(value)}
    if isinstance(value, dict) and "__repr__" in value:
        body = {"r": text_of(value["__repr__"]), "t": text_of(value.get("__type__")).rpartition(".")[2]}
        key = "r"
    else:
        body = {"j": json_text(value)}
        key = "j"
    if len(body[key]) > MAX_VALUE:
        return {**body, key: body[key][:MAX_VALUE], "n": len(body[key])}
    return body


def moment_ms(value: Any) -> int | None:
    """Milliseconds since 1970 of an ISO text, a datetime or a number of seconds; None for anything else."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value[:-1] + "+00:00" if value[-1:] in {"Z", "z"} else value)
        if isinstance(value, datetime):
            if value.tzinfo is None:
                value = value.replace(tzinfo=timezone.utc)
            seconds = value.timestamp()
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = float(value)
        else:
            return None
        # Browsers know moments up to the year 275760, Python up to 9999.
        return round(seconds * 1000) if 0 <= seconds < 253_402_300_800 else None
    except (ValueError, OverflowError):
        return None


def clock(ms: int | None, *, day: bool = True) -> str:
    """A moment in UTC as `2026-11-21 09:14:03`, or the time of day alone."""
    if ms is None:
        return ""
    text = datetime.fromtimestamp(ms // 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    return text if day else text[11:]


def iso(ms: int) -> str:
    """A moment as a `<time>` element's `datetime` takes it."""
    return datetime.fromtimestamp(ms / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def duration(ms: float) -> str:
    """A length of time as people say it: `420 ms`, `12.3 s`, `4 min 12 s`, `3 h 5 min`, `2 d 4 h`.

    The page's script has the same function; a test holds the two together.
    """
    if ms < 1000:
        return f"{int(ms + 0.5)} ms"
    seconds = ms / 1000
    if seconds < 60:
        return f"{int(seconds * 10 + 0.5) / 10:g} s"
    whole = int(seconds + 0.5)
    if whole < 3600:
        return _two(whole, 60, "min", 1, "s")
    if whole < 86_400:
        return _two(whole, 3600, "h", 60, "min")
    return _two(whole, 86_400, "d", 3600, "h")


def _two(whole: int, big: int, big_name: str, small: int, small_name: str) -> str:
    first, rest = divmod(whole, big)
    return f"{first} {big_name}" + (f" {rest // small} {small_name}" if rest // small else "")
