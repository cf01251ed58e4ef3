"""Any value becomes plain JSON, with its secrets masked; nothing raises."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from uuid import UUID

import orjson
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from prefect_trackrecord.journal.plain import MASK, plain


class Login(BaseModel):
    user: str
    password: SecretStr
    key: str = "k"


@dataclass
class Point:
    x: int
    api_key: str


class Colour(Enum):
    RED = "red"


class Hostile:
    def __repr__(self):
        raise RuntimeError("no")


def test_types():
    value = {
        "time": datetime(2026, 1, 2, tzinfo=timezone.utc),
        "path": Path("/a/b"),
        "uuid": UUID(int=1),
        "enum": Colour.RED,
        "decimal": Decimal("1.50"),
        "set": {2, 1},
        "tuple": (1, None),
        "point": Point(1, "k"),
        "login": Login(user="u", password=SecretStr("geheim")),
        "nested": {"db_password": "geheim", "none": {"token": None}},
        "url": "postgres://me:geheim@host/db",
        1: "a key that is no text",
    }
    out = plain(value)
    assert b"geheim" not in orjson.dumps(out)
    assert out["time"] == "2026-01-02T00:00:00+00:00"
    assert out["set"] == [1, 2]
    assert out["tuple"] == [1, None]
    assert out["point"] == {"x": 1, "api_key": MASK}
    assert out["login"] == {"user": "u", "password": MASK, "key": "k"}
    assert out["nested"] == {"db_password": MASK, "none": {"token": None}}
    assert out["url"] == f"postgres://me:{MASK}@host/db"
    assert out["1"] == "a key that is no text"


def test_what_cannot_be_json_is_marked():
    loop: list = []
    loop.append(loop)
    out = plain(
        {"lock": threading.Lock(), "bytes": b"abc", "nan": float("nan"), "loop": loop, "bad": Hostile(), "s": "\ud800x"}
    )
    assert out["lock"]["__type__"] == "_thread.lock"
    assert out["bytes"] == {"__type__": "bytes", "__repr__": "3 bytes"}
    assert out["nan"]["__repr__"] == "nan"
    assert out["loop"] == [{"__type__": "list", "__repr__": "..."}]
    assert "RuntimeError" in out["bad"]["__repr__"]
    assert out["s"] == "?x"
    orjson.dumps(out)


def test_cuts_say_what_they_cut():
    assert plain("x" * 50, max_text=10) == "x" * 10 + "... (50 characters)"
    assert plain(list(range(5)), max_items=2) == [0, 1, {"__type__": "cut", "__repr__": "5 items"}]
    assert plain({str(n): n for n in range(3)}, max_items=1) == {"0": 0, "__cut__": "3 items"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    max_leaves=20,
)


@given(values)
def test_whatever_comes_in_json_comes_out(value):
    out = plain(value)
    assert orjson.loads(orjson.dumps(out)) == out
