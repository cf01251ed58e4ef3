"""What one check of `trackrecord doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        result: `ok`; `warning`, it works, but look at it; `wrong`, it does not work.
        said: what was seen.
        way_out: what to do.
    """

    check: str
    result: Literal["ok", "warning", "wrong"]
    said: str
    way_out: str = ""
