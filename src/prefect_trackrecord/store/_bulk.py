"""Many objects and folders of one store at once: in threads through obstore where it can, else on the driver's loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from prefect_trackrecord.errors import StoreError
from prefect_trackrecord.store._crowd import read_in_crowd
from prefect_trackrecord.store._driver import Driver
from prefect_trackrecord.store._keys import check_key, check_prefix, is_plain
from prefect_trackrecord.store._many import read_many
from prefect_trackrecord.store._obstore import FastClient, available
from prefect_trackrecord.store._session import Session
from prefect_trackrecord.store.base import Blob, Entry

T = TypeVar("T")


class BulkReader:
    """The store's ways for many.

    Args:
        session: gives this process's session.
        get: the store's way for one object; asked again for whatever went wrong.
        list_: its way for one folder.
    """

    def __init__(
        self,
        session: Callable[[], Session],
        get: Callable[[str], Blob | None],
        list_: Callable[[str], list[Entry]],
    ) -> None:
        self._session, self._get, self._list = session, get, list_

    def make_many(
        self, keys: Iterable[str], make: Callable[[str, Blob], T]
    ) -> Iterator[tuple[str, T | Exception | None]]:
        """What `make` makes of each object, in the order given; it may be called in any thread."""
        reader = self._reader()
        if reader is None:
            for key, blob in read_many(self._session, keys, _read_one, self._get):
                yield key, make(key, blob) if isinstance(blob, Blob) else blob
            return

        def quick(key: str) -> tuple[T | None, int]:
            blob = reader.get(check_key(key))
            return (None, 0) if blob is None else (make(key, blob), len(blob.data))

        def sure(key: str) -> T | None:
            blob = self._get(key)
            return None if blob is None else make(key, blob)

        yield from read_in_crowd(keys, quick, sure, at_once=reader.in_flight, patience=self._patience)

    def list_many(self, prefixes: Iterable[str]) -> Iterator[tuple[str, list[Entry]]]:
        """Each prefix with all objects below it."""
        for prefix, found in self._lists([check_prefix(prefix) for prefix in prefixes]):
            if isinstance(found, Exception):
                raise found
            plain = is_plain("/".join([entry.key for entry in found]))
            yield prefix, sorted(found if plain else [entry for entry in found if is_plain(entry.key)])

    def _lists(self, prefixes: list[str]) -> Iterator[tuple[str, list[Entry] | Exception]]:
        reader = self._reader()
        if reader is None:
            return read_many(self._session, prefixes, _list_one, self._list)

        def quick(prefix: str) -> tuple[list[Entry], int]:
            return reader.list(prefix), 0

        return read_in_crowd(prefixes, quick, self._list, at_once=reader.in_flight, patience=self._patience)

    def _reader(self) -> FastClient | None:
        """The quick way, where there is one."""
        if not available():
            return None
        try:
            session = self._session()
            return None if session.ready().serial else session.call(lambda driver: driver.quick())
        except StoreError:  # the sure way will say what is wrong
            return None

    def _patience(self) -> float:
        return self._session().patience()


async def _read_one(driver: Driver, key: str) -> Blob | None:
    return await driver.get(check_key(key))


async def _list_one(driver: Driver, prefix: str) -> list[Entry]:
    return await driver.entries(prefix)
