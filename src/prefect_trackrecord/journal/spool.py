"""This host's folder of events for one store: what waits in it, for whom, and whether there is room for more."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

_LOOK_AGAIN = 0.5
_PLACE = "place.json"
SEGMENT = 64 << 10
"""Bytes after which a segment that grows slowly is closed."""


class Spool:
    """Where events wait for a store that is a bucket, or can't be written.

    Args:
        root: the folder that holds the spools of all stores.
        store: which store, endpoint and account included (never credentials): two stores share no spool.
        limit: bytes that may wait in it.

    Attributes:
        folder: this store's own; each run has a folder in it.
    """

    def __init__(self, root: Path, store: str, limit: int) -> None:
        self.folder = root / hashlib.sha256(store.encode()).hexdigest()[:16]
        self.limit = limit
        self._store = store
        self._looked = -_LOOK_AGAIN
        self._used = 0

    def begin(self) -> None:
        """Say in the folder whose it is, for people and for `place_of`; nothing is raised."""
        path = self.folder / _PLACE
        if path.exists():
            return
        with contextlib.suppress(OSError):
            os.makedirs(self.folder, exist_ok=True)
            temporary = self.folder / f".{_PLACE}-{os.getpid()}"
            temporary.write_text(json.dumps({"store": self._store}) + "\n", encoding="utf-8")
            os.replace(temporary, path)

    def used(self) -> int:
        """Bytes that wait in it: as seen at most half a second ago, and what this process wrote since."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_AGAIN:
            self._used, self._looked = sum(_sizes(self.folder)), now
        return self._used

    def grew(self, size: int) -> None:
        """This process has put so much more into it since anybody looked."""
        self._used += size

    def has_room(self) -> bool:
        """Whether less than the limit waits in it; asked anew where there seems to be none."""
        if self.used() >= self.limit:
            self._looked = -_LOOK_AGAIN
        return self.used() < self.limit


def spools(root: Path) -> Iterator[tuple[str, Path]]:
    """The spools of this host: whose each is (as `Spool` was told), and its folder."""
    try:
        folders = sorted(root.iterdir())
    except OSError:
        return
    for folder in folders:
        try:
            store = json.loads((folder / _PLACE).read_text(encoding="utf-8"))["store"]
        except (OSError, ValueError, KeyError, TypeError):
            store = ""
        if folder.is_dir():
            yield str(store), folder


def _sizes(folder: Path) -> Iterator[int]:
    with contextlib.suppress(OSError), os.scandir(folder) as runs:
        for run in runs:
            if not run.is_dir(follow_symlinks=False):
                continue
            with contextlib.suppress(OSError), os.scandir(run.path) as segments:
                for segment in segments:
                    with contextlib.suppress(OSError):
                        yield segment.stat().st_size
