"""What the store contract's tests share: an expected error, writes by key, threads that start together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from prefect_trackrecord.store import Store


def raises(error: type[Exception]) -> AbstractContextManager[Any]:
    """`pytest.raises`."""
    import pytest

    return pytest.raises(error)


def writing_put(write: Callable[[str, bytes], str]) -> Callable[[str], object]:
    """`write` of one byte."""
    return lambda key: write(key, b"1")


def writing_replace(store: Store) -> Callable[[str], object]:
    """`replace` of one byte under an etag that no object has."""
    return lambda key: store.replace(key, b"1", "etag")


def at_once(work: Callable[[int], None], count: int) -> None:
    """Run `work(0)` to `work(count - 1)` in threads that start together; the first error is raised."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(index: int) -> None:
        try:
            barrier.wait(30)
            work(index)
        except BaseException as exc:  # noqa: BLE001 - raised below, in the test's own thread
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise errors[0]
    if any(thread.is_alive() for thread in threads):
        raise AssertionError("a thread did not end within two minutes")
