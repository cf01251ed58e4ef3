"""The store contract, objects out of files: what holds of a store that takes them so. Others are passed over."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from prefect_trackrecord.errors import ConflictError
from prefect_trackrecord.store import Store
from prefect_trackrecord.store.base import TakesFiles
from prefect_trackrecord.testing._contract_help import at_once, raises

_MIB = 1 << 20


class FileTests:
    """What holds of `etag` and `replace_file`."""

    def test_a_file_becomes_an_object(self, store: Store) -> None:
        large = _takes_files(store)
        data = bytes(range(256)) * (3 * _MIB // 256) + b"and a rest"
        assert large.etag("a/file") is None
        with _holding(data) as file:
            etag = large.replace_file("a/file", file, None)
        blob = store.get("a/file")
        assert blob is not None
        assert blob.data == data
        assert etag == blob.etag == large.etag("a/file") == store.list("a")[0].etag

    def test_a_file_replaces_what_it_knows(self, store: Store) -> None:
        large = _takes_files(store)
        with _holding(b"a longer second one") as file:
            etag = large.replace_file("a/file", file, store.put("a/file", b"first"))
        with _holding(b"third") as file:
            large.replace_file("a/file", file, etag)
        blob = store.get("a/file")
        assert blob is not None
        assert blob.data == b"third"

    def test_a_file_does_not_replace_what_it_does_not_know(self, store: Store) -> None:
        large = _takes_files(store)
        old = store.put("a/file", b"first")
        store.put("a/file", b"second")
        for etag in (old, None):
            with _holding(b"third") as file, raises(ConflictError):
                large.replace_file("a/file", file, etag)
        store.delete("a/file")
        with _holding(b"third") as file, raises(ConflictError):
            large.replace_file("a/file", file, old)
        assert store.get("a/file") is None

    def test_of_many_files_one_becomes_the_object(self, store: Store) -> None:
        large = _takes_files(store)
        made: list[bytes] = []

        def write(index: int) -> None:
            data = b"%d" % index * _MIB
            try:
                with _holding(data) as file:
                    large.replace_file("a/file", file, None)
            except ConflictError:
                return
            made.append(data)

        at_once(write, 4)
        blob = store.get("a/file")
        assert blob is not None
        assert made == [blob.data]


def _takes_files(store: Store) -> TakesFiles:
    if not isinstance(store, TakesFiles):
        import pytest

        pytest.skip("it takes no files")
    return store


@contextmanager
def _holding(data: bytes) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        yield file
