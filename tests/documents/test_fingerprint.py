"""Equal errors have equal fingerprints, others have others."""

from __future__ import annotations

import traceback

import pytest

from prefect_trackrecord.documents.fingerprint import error_fingerprint, normalise_message, place_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("row 17 is bad", "row 4 is bad"),
        ("no such file: '/data/in/a.wav'", "no such file: '/data/in/b.wav'"),
        ("run 6f9619ff-8b86-d011-b42d-00cf4fc964ff gone", "run 00000000-8b86-d011-b42d-00cf4fc964ff gone"),
        ("at 2026-01-02T03:04:05Z", "at 2026-11-21 10:00:00"),
        ("GET https://a.example/x?y=1 failed", "GET https://b.example/z failed"),
        ("<object at 0x7f00aa>", "<object at 0x7f11bb>"),
        ("invalid syntax (bad_a.py, line 3)", "invalid syntax (worse.py, line 12)"),
        ("mail to a@b.example refused", "mail to c.d@e.example refused"),
    ],
)
def test_particulars_do_not_tell_errors_apart(one, other):
    assert error_fingerprint("E", one) == error_fingerprint("E", other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("E", "m", "p"), ("F", "m", "p")),
        (("E", "m", "p"), ("E", "n", "p")),
        (("E", "m", "p"), ("E", "m", "q")),
        (("E", "connection refused", ""), ("E", "connection reset", "")),
    ],
)
def test_what_tells_errors_apart(one, other):
    assert error_fingerprint(*one) != error_fingerprint(*other)


def test_missing_parts_are_fine():
    assert len(error_fingerprint(None, None, None)) == 16
    assert normalise_message(None) == ""


def test_place_is_the_innermost_frame_without_its_line():
    def inner():
        raise ValueError

    try:
        inner()
    except ValueError:
        assert place_of(traceback.format_exc()) == "test_fingerprint.py:inner"
    assert place_of(None) == ""


def test_a_hostile_message_is_quick():
    normalise_message("/" * 100_000 + "'" * 100_000 + "a1" * 100_000)
