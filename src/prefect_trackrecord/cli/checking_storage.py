"""Tries a storage with objects of our own, below `index/`, which may be deleted at any time; they are removed again."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from prefect_trackrecord.cli.finding import Finding
from prefect_trackrecord.errors import ConflictError, KeyExistsError, TrackRecordError
from prefect_trackrecord.store import LocalStore
from prefect_trackrecord.store.base import Store

MAX_SKEW = 30.0
_UNSAFE = (
    "this storage takes no conditional writes: two sealers may undo each other's documents. Keep the history in a "
    "folder, on S3, on Azure or on Google's"
)
_WAYS_OUT = {
    "write": "look at the address, the credentials and the rights (put, get, list, delete); then again",
    "list": "give the credentials the right to list; without it no run is found",
}


class _BrokenPromiseError(Exception):
    """The storage answered, and not as it must."""


def check_storage(store: Store) -> Iterator[Finding]:
    """Write, list, exclusive create, compare-and-swap, and the clock."""
    root = store.local_root
    if root is not None and not os.path.lexists(root) and (elsewhere := _beside(root)) is not None:
        yield from _not_there(root, elsewhere)
        return
    if store.url.startswith("memory:"):
        way_out = "name a folder or a bucket; memory is for tests"
        yield Finding("storage", "warning", f"{store.url} ends with the process that writes it", way_out)
    folder = f"index/doctor-{os.urandom(6).hex()}"
    key, once = f"{folder}/probe", f"{folder}/once"
    checks: list[tuple[str, Callable[[], str]]] = [
        ("write", lambda: _write(store, key)),
        ("list", lambda: _list(store, folder, key)),
        ("exclusive create", lambda: _create(store, once)),
        ("compare-and-swap", lambda: _swap(store, key)),
        ("clock", lambda: _clock(store, key)),
    ]
    made = [key, once]
    try:
        for name, check in checks:
            try:
                yield Finding(f"storage: {name}", "ok", check())
            except _BrokenPromiseError as exc:
                if name == "clock":
                    way_out = "set the clocks (chronyd, ntpd): times of different hosts are compared"
                    yield Finding("storage: clock", "warning", str(exc), way_out)
                else:
                    yield Finding(f"storage: {name}", "wrong", str(exc), _way_out(name))
            except (TrackRecordError, OSError) as exc:
                yield Finding(f"storage: {name}", "wrong", str(exc), _way_out(name))
                if name == "write":
                    made.clear()
                    return
    finally:  # also after Ctrl+C
        for name in made:
            with contextlib.suppress(TrackRecordError):
                store.delete(name)
        if isinstance(store, LocalStore):
            store.tidy(folder, keep=0)


def _beside(root: Path) -> Path | None:
    """A new folder on the disk where the store's would be made; None where none can be."""
    above = next(path for path in root.parents if os.path.lexists(path))
    try:
        return Path(tempfile.mkdtemp(prefix=".trackrecord-doctor-", dir=above))
    except OSError:
        return None


def _not_there(root: Path, elsewhere: Path) -> Iterator[Finding]:
    """A folder that is misspelt would pass for a new one, so none is made; what it has to do is tried beside it."""
    said, way_out = f"there is no folder {root} yet; the first tracked run makes it", "is it spelled right?"
    yield Finding("storage", "warning", said, way_out)
    try:
        for found in check_storage(LocalStore(elsewhere)):
            yield replace(found, said=found.said.replace(str(elsewhere), str(root)))
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)


def _way_out(name: str) -> str:
    return _WAYS_OUT.get(name, _UNSAFE)


def _write(store: Store, key: str) -> str:
    began = time.perf_counter()
    store.put(key, b"1")
    blob = store.get(key)
    if blob is None or blob.data != b"1":
        raise _BrokenPromiseError("what was written could not be read back")
    return f"written and read in {(time.perf_counter() - began) * 1000:.0f} ms ({store.url})"


def _list(store: Store, folder: str, key: str) -> str:
    if [entry.key for entry in store.list(folder)] != [key]:
        raise _BrokenPromiseError("what was written is not in the list")
    return "a new object is listed at once"


def _create(store: Store, key: str) -> str:
    store.create(key, b"1")
    try:
        store.create(key, b"2")
    except KeyExistsError:
        return "the second one is refused"
    raise _BrokenPromiseError("an object was created twice")


def _swap(store: Store, key: str) -> str:
    old = store.put(key, b"1")
    store.put(key, b"2")
    try:
        store.replace(key, b"3", old)
    except ConflictError:
        return "a write on an old condition is refused"
    raise _BrokenPromiseError("a write on an old condition was done")


def _clock(store: Store, key: str) -> str:
    before = time.time()
    store.put(key, os.urandom(8))
    at = _modified(store, key)
    if at is None:
        return "this storage does not tell its time"
    skew = max(before - at, at - time.time(), 0.0)
    if skew > MAX_SKEW:
        raise _BrokenPromiseError(f"its clock is {skew:.0f} s from this host's")
    return f"{skew:.0f} s from this host's"


def _modified(store: Store, key: str) -> float | None:
    """When the storage says that an object was written, in seconds since 1970; None where it does not say."""
    if (root := store.local_root) is not None:
        path = root / f".doctor-{os.urandom(4).hex()}"  # with a time that the file system gives, not we
        path.write_bytes(b"")
        try:
            return path.stat().st_mtime
        finally:
            path.unlink()
    modified: Callable[[str], datetime | None] | None = getattr(store, "modified", None)
    at = modified(key) if modified is not None else None
    return at.timestamp() if at is not None else None
