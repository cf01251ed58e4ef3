"""How numbers and texts are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_trackrecord.pages import words


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (999, "999 ms"),
        (1000, "1.0 s"),
        (59_949, "59.9 s"),
        (59_950, "1 min"),
        (386_289, "6 min 26 s"),
        (3_599_600, "1 h 00 min"),
        (7_500_000, "2 h 05 min"),
        (183_600_000, "2 d 3 h"),
    ],
)
def test_durations(ms: float | None, text: str) -> None:
    assert words.duration(ms) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "100 %"), (0.99999, "99.9 %"), (0.5, "50.0 %"), (0.00001, "0.1 %"), (0, "0 %"), (None, "–")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(value: float | None, text: str) -> None:
    assert words.share(value) == text


@given(st.text(max_size=400), st.integers(10, 100))
def test_cut_texts_are_one_line_and_no_longer(text: str, limit: int) -> None:
    for cut in (words.clip(text, limit), words.middle(text, limit)):
        assert len(cut) <= limit
        assert "\n" not in cut
        cut.encode()


def test_of_a_long_path_the_name_stays() -> None:
    assert words.middle("/a/very/long/path/" + "x" * 100 + "/name.csv", 30).endswith("name.csv")


@given(st.text(alphabet="`|\\ab \n", max_size=30))
def test_a_code_span_is_closed_by_its_own_fence_only(text: str) -> None:
    span = words.code(text)
    fence = len(span) - len(span.lstrip("`"))
    inside = span[fence:-fence]
    assert span.endswith("`" * fence)
    assert "`" * fence not in inside.replace("`" * (fence + 1), "") or not inside.strip("` ")
    assert not inside.startswith("`")
    assert not inside.endswith("`")


def test_addresses_in_markdown_cannot_close_the_link() -> None:
    assert words.address("https://x.example/a b)(c|<d>") == "https://x.example/a%20b%29%28c%7C%3Cd%3E"
