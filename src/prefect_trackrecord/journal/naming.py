"""What things are told apart by, with its secrets masked: two that differ in a secret alone stay two."""

from __future__ import annotations

import hashlib
import re

from prefect_trackrecord.journal.masking import MASK, mask_text, may_hold_secret

_MASKED_BEFORE = re.compile(r"(?P<name>.*)~[0-9a-f]{16}", re.DOTALL)


def mask_name(name: str) -> str:
    """A name with its secrets masked; where it has some, followed by a short hash of the whole.

    One that was masked before stays as it is: what is looked up may be what was shown.
    """
    if not may_hold_secret(name) or (masked := mask_text(name)) == name:
        return name
    before = _MASKED_BEFORE.fullmatch(name)
    if before is not None and MASK in before["name"] and mask_text(before["name"]) == before["name"]:
        return name
    return told_apart(masked, name)


def told_apart(masked: str, name: str) -> str:
    """A masked name, followed by a short hash of the name as it is, where the two differ.

    It has 64 bits: of millions of names no two are taken for one, and no secret is found by it that nobody could guess.
    """
    if masked == name:
        return name
    return f"{masked}~{hashlib.blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"
