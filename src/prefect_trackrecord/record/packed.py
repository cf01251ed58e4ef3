"""JSON that is kept in memory for long, in no more bytes than it has."""

from __future__ import annotations

from typing import Any

import orjson


def packed(value: Any) -> bytes:
    """`value` as JSON. orjson's own result holds on to the whole buffer it was written in, 4 KB for a short one."""
    return bytes(memoryview(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)))
