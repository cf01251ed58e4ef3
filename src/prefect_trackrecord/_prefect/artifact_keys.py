"""The keys under which a run's artifacts are found: equal keys make one time line in Prefect. Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from prefect_trackrecord.documents.models import RunMetadata

LONGEST = 200
_KINDS = ("run", "failures", "file", "pictures")
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i", "ħ": "h"}
)


def key(run: RunMetadata) -> str:
    """The key of a run's summary: its flow's, so that all its runs make one time line."""
    return _of_flow("trackrecord", run)


def kind_key(kind: str, run: RunMetadata) -> str:
    """The key of another artifact of the run's flow: `failures`, `file` or `pictures`."""
    return _of_flow(f"trackrecord-{kind}", run)


def run_key(run_id: str) -> str:
    """The key of the artifact that shows one run while it goes on and when it has ended."""
    return slug("trackrecord-run", run_id)


def slug(prefix: str, name: str) -> str:
    """An artifact's key of a name: lowercase letters, digits and dashes.

    Letters of other scripts than Latin have no place in a key: a name that has some gets a hash, so that two such
    names never share a key. A name in plain letters has none; its blanks and signs are dashes.
    """
    made, whole = _plain(name)
    found = f"{prefix}-{made}" if made else prefix
    if whole and made and len(found) <= LONGEST:
        return found
    tag = _tag(name)
    return f"{found[: LONGEST - len(tag) - 1].rstrip('-')}-{tag}"


def _of_flow(prefix: str, run: RunMetadata) -> str:
    name = run.flow_name or run.command
    made = slug(prefix, name)
    if any(_plain(name)[0].startswith(f"{kind}-") for kind in _KINDS):  # as the other keys of another flow begin
        made = f"{made[: LONGEST - 9]}-{_tag(name)}"
    return made


def _plain(name: str) -> tuple[str, bool]:
    """The name in what a key may hold, and whether no letter was lost."""
    apart = unicodedata.normalize("NFKD", name.lower().translate(_LETTERS))
    letters = "".join(char for char in apart if not unicodedata.combining(char)).lower()
    return re.sub(r"[^a-z0-9]+", "-", letters).strip("-"), letters.isascii()


def _tag(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
