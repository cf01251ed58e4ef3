"""What things are told apart by: its secrets are masked, and two stay two."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefect_trackrecord.journal.masking import MASK
from prefect_trackrecord.journal.naming import mask_name


@pytest.mark.parametrize("name", ["a.wav", "C-1", "s3://bucket/a.csv", "", "key: 3", "a~0123abcd"])
def test_a_name_without_secrets_stays(name):
    assert mask_name(name) == name


def test_two_that_differ_in_a_secret_stay_two():
    one, two = (mask_name(f"https://h/a.pdf?token={secret}") for secret in ("hunter2", "hunter3"))
    assert one != two
    assert re.fullmatch(r"https://h/a\.pdf\?token=\*{8}~[0-9a-f]{16}", one)
    assert mask_name("https://h/a.pdf?token=hunter2") == one


def test_what_was_shown_is_found_again():
    shown = mask_name("login password=hunter2")
    assert mask_name(shown) == shown
    assert "hunter3" not in mask_name(f"password=hunter3 {MASK}~0123abcd")


@given(st.text() | st.from_regex(r"(password|token)[=:] ?\w{1,12}[ ,;]?~?\w*", fullmatch=True))
def test_any_name_is_masked_once(name):
    assert mask_name(mask_name(name)) == mask_name(name)
