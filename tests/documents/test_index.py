"""The index of a day: never trusted beyond the listing, whoever wrote it and whenever."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from prefect_trackrecord.documents import index
from prefect_trackrecord.errors import StoreUnavailableError
from prefect_trackrecord.store import Store, StoreConfig, open_store
from prefect_trackrecord.store.base import Blob

DAYS = ["run_metadata/2025/01/01", "run_metadata/2025/01/02"]


class Bucket:
    """A memory store that keeps an index, and counts the objects that were read."""

    indexed = True

    def __init__(self, name: str) -> None:
        self.inner: Store = open_store(StoreConfig(f"memory://{name}"))
        self.reads: list[str] = []
        self.writable = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def get_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Blob | Exception | None]]:
        for key, blob in self.inner.get_many(keys):
            self.reads.append(key)
            yield key, blob

    def put(self, key: str, data: bytes) -> str:
        if not self.writable and key.startswith("index/"):
            raise StoreUnavailableError("no right to write")
        return self.inner.put(key, data)


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> Bucket:
    return Bucket(f"/index-{request.node.name}")


def read(bucket: Bucket, prefixes: Iterable[str] = DAYS) -> dict[str, bytes]:
    bucket.reads = []
    found = list(index.read_days(bucket, prefixes, lambda key: key.endswith(".json")))
    assert len(found) == len(dict(found)), "each document once"
    assert not any(isinstance(data, Exception) for _, data in found)
    return dict(found)  # type: ignore[arg-type]


def fill(bucket: Bucket, count: int, first: int = 0) -> dict[str, bytes]:
    made = {f"{DAYS[n % 2]}/{n}.json": b'{"n":%d}' % n for n in range(first, count)}
    for key, data in made.items():
        bucket.put(key, data)
    return made


def test_a_second_reader_reads_two_indexes(bucket: Bucket) -> None:
    made = fill(bucket, 100)
    assert read(bucket) == made
    assert read(bucket) == made
    assert bucket.reads == [f"index/{day}.z" for day in DAYS]
    assert read(bucket, ["run_metadata"]) == made, "the days of a history without a beginning are the same"
    assert len(bucket.reads) == 2


def test_few_documents_have_no_index(bucket: Bucket) -> None:
    made = fill(bucket, 10)
    read(bucket)
    assert read(bucket) == made
    assert not bucket.list("index")


def test_a_few_new_ones_are_read_and_many_make_a_new_index(bucket: Bucket) -> None:
    made = fill(bucket, 100)
    read(bucket)
    before = bucket.list("index")
    made |= fill(bucket, 110, first=100)
    assert read(bucket) == made
    assert len(bucket.reads) == 12
    assert bucket.list("index") == before
    made |= fill(bucket, 200, first=110)
    assert read(bucket) == made
    assert bucket.list("index") != before
    read(bucket)
    assert len(bucket.reads) == 2


@pytest.mark.parametrize("damage", ["cut", "junk", "other format", "lost", "another day's"])
def test_a_damaged_index_is_as_good_as_none(bucket: Bucket, damage: str) -> None:
    made = fill(bucket, 100)
    read(bucket)
    one, two = (f"index/{day}.z" for day in DAYS)
    old = bucket.get(one).data
    spoiled = {
        "cut": old[: len(old) // 2],
        "junk": b"\0" * 99,
        "other format": zlib.compress(zlib.decompress(old).replace(b"index 1", b"index 2")),
        "another day's": bucket.get(two).data,
    }
    if damage == "lost":
        bucket.delete(one)
    else:
        bucket.put(one, spoiled[damage])
    assert read(bucket) == made
    assert read(bucket) == made
    assert len(bucket.reads) == 2, "and it is made anew"


def test_who_may_not_write_still_reads(bucket: Bucket) -> None:
    bucket.writable = False
    made = fill(bucket, 100)
    assert read(bucket) == read(bucket) == made


def test_damaged_documents_are_in_no_index(bucket: Bucket) -> None:
    made = fill(bucket, 100)
    key = f"{DAYS[0]}/x.json"
    bucket.put(key, b"{")
    for _ in range(2):
        assert read(bucket) == {**made, key: b"{"}
    assert key in bucket.reads


def test_never_wrong_while_others_write(bucket: Bucket) -> None:
    """Random writes, rewrites of the same size, removals, old indexes put back, lost indexes."""
    rng = random.Random(7)
    truth: dict[str, bytes] = {}
    old: list[tuple[str, bytes]] = []
    for step in range(300):
        for _ in range(rng.randrange(1, 40)):
            key = f"{rng.choice(DAYS)}/{rng.randrange(200)}.json"
            if rng.random() < 0.2:
                bucket.delete(key)
                truth.pop(key, None)
            else:
                truth[key] = b'{"n":%04d}' % rng.randrange(1000, 9999)
                bucket.put(key, truth[key])
        if step % 7 == 0:
            old += [(e.key, bucket.get(e.key).data) for e in bucket.list("index")]
        if old and step % 5 == 0:
            bucket.put(*rng.choice(old))
        if step % 31 == 0:
            bucket.delete(f"index/{DAYS[0]}.z")
        assert read(bucket) == truth
