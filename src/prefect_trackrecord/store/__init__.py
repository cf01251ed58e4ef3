"""Bytes at keys, in a local folder, in memory, or in whatever fsspec can reach."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prefect_trackrecord import settings as settings_
from prefect_trackrecord.errors import UsageError
from prefect_trackrecord.settings import Settings
from prefect_trackrecord.store._budget import within
from prefect_trackrecord.store._keys import check_key, check_prefix
from prefect_trackrecord.store._local import LocalStore
from prefect_trackrecord.store._url import StoreUrl, check_url, parse_url
from prefect_trackrecord.store.base import Blob, Entry, Store, StoreConfig

__all__ = [
    "Blob",
    "Entry",
    "LocalStore",
    "Store",
    "StoreConfig",
    "StoreUrl",
    "check_key",
    "check_prefix",
    "check_url",
    "identity_of",
    "open_store",
    "parse_url",
    "within",
]


def open_store(config: StoreConfig | str | Path, *, filesystem: Any = None, settings: Settings | None = None) -> Store:
    """The store at a path or URL. Nothing is connected to before its first call.

    Args:
        config: a local path, `file://`, `memory://` (fsspec's global memory filesystem), or a URL of any protocol
            that fsspec knows; `azure://container/path` is `abfs://container/path`.
        filesystem: an fsspec filesystem to use; the path is then one inside it, and its protocol is dropped.
        settings: for the deadlines; those of the environment by default.

    Raises:
        StorageUrlError: the URL can't be parsed, or nobody knows its protocol.
        MissingDriverError: its driver is not installed.
        UsageError: `filesystem` is none.
    """
    if not isinstance(config, StoreConfig):
        config = StoreConfig(os.fspath(config))
    chosen = settings or settings_.current()
    if filesystem is not None:
        return _on_filesystem(config, filesystem, chosen)
    url = check_url(config.url)
    if url.protocol == "file":
        return LocalStore(url.path, lock_seconds=chosen.call_deadline)
    from prefect_trackrecord.store import _fsspec

    if url.protocol == "memory":
        from prefect_trackrecord.store._memory import MemoryStore

        return MemoryStore(_fsspec.memory_filesystem(), url.path)
    return _fsspec.FsspecStore(
        url, config.options, store_deadline=chosen.store_deadline, call_deadline=chosen.call_deadline
    )


def _on_filesystem(config: StoreConfig, fs: Any, chosen: Settings) -> Store:
    if not all(callable(getattr(fs, name, None)) for name in ("cat_file", "pipe_file", "find")):
        raise UsageError(f"{type(fs).__name__} is no fsspec filesystem: it has no cat_file, pipe_file and find")
    inside = config.url.partition("://")[2] if "://" in config.url else config.url
    kinds = {cls.__name__ for cls in type(fs).__mro__ if cls.__module__.startswith("fsspec.")}
    if "DirFileSystem" in kinds:  # look through it: what it stands on may be a folder of this machine
        inner = StoreConfig(f"{str(fs.path).rstrip('/')}/{inside.lstrip('/')}", config.options)
        return _on_filesystem(inner, fs.fs, chosen)
    strip = getattr(fs, "_strip_protocol", None)
    path = str(strip(inside)) if callable(strip) else inside
    if "LocalFileSystem" in kinds:
        return LocalStore(path, lock_seconds=chosen.call_deadline)
    if "MemoryFileSystem" in kinds:
        from prefect_trackrecord.store._memory import MemoryStore

        return MemoryStore(fs, path)
    from prefect_trackrecord.store import _fsspec

    named = getattr(fs, "protocol", "fsspec")
    protocol = named if isinstance(named, str) else next(iter(named))
    url = StoreUrl(protocol, path, f"{protocol}://{path.strip('/')}")
    return _fsspec.FsspecStore(
        url,
        config.options,
        filesystem=fs,
        store_deadline=chosen.store_deadline,
        call_deadline=chosen.call_deadline,
    )


def identity_of(store: Store) -> str:
    """Which store it is: its URL, and the endpoint or account where the URL leaves that open. No credentials."""
    return str(getattr(store, "identity", store.url))
