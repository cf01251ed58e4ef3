"""The index of a day: never trusted beyond the listing, whoever wrote it and whenever."""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from prefect_trackrecord.documents import index
from prefect_trackrecord.documents.kinds import BYTES, FACTS, MODELS, Kind
from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.documents.projection import FIELDS
from prefect_trackrecord.errors import StoreUnavailableError
from prefect_trackrecord.history import Numbers, sum_groups, total
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


def read(bucket: Bucket, prefixes: Iterable[str] = DAYS, kind: Kind[Any] = BYTES) -> dict[str, Any]:
    bucket.reads = []
    found = [
        pair for keys, values in index.read_days(bucket, prefixes, kind) for pair in zip(keys, values, strict=True)
    ]
    assert len(found) == len(dict(found)), "each document once"
    return dict(found)


def key_of(day: str, kind: Kind[Any] = BYTES) -> str:
    return f"index/{kind.folder}/{day}.z"


def fill(bucket: Bucket, count: int, first: int = 0) -> dict[str, bytes]:
    made = {f"{DAYS[n % 2]}/{n}.json": b'{"n":%d}' % n for n in range(first, count)}
    for key, data in made.items():
        bucket.put(key, data)
    return made


def test_a_second_reader_reads_two_indexes(bucket: Bucket) -> None:
    made = fill(bucket, 100)
    assert read(bucket) == made
    assert read(bucket) == made
    assert bucket.reads == [key_of(day) for day in DAYS]
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


@pytest.mark.parametrize(
    "damage", ["cut", "junk", "other format", "of format 1", "fewer lines", "lost", "another day's"]
)
def test_a_damaged_index_is_as_good_as_none(bucket: Bucket, damage: str) -> None:
    made = fill(bucket, 100)
    read(bucket)
    one, two = map(key_of, DAYS)
    old = bucket.get(one).data
    spoiled = {
        "cut": old[: len(old) // 2],
        "junk": b"\0" * 99,
        "other format": zlib.compress(zlib.decompress(old).replace(b"index 2", b"index 3")),
        "fewer lines": zlib.compress(zlib.decompress(old).rpartition(b"\n")[0]),
        "of format 1": zlib.compress(b"trackrecord-index 1\n" + b"\n".join(zlib.decompress(old).split(b"\n")[1:])),
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


@pytest.mark.parametrize("lost", [True, False], ids=["and no other", "then another one"])
def test_an_index_that_came_too_late_changes_nothing(bucket: Bucket, lost: bool) -> None:
    """Where an answer is long in coming it is asked for again; the first one may be read all the same."""
    made = fill(bucket, 100)
    read(bucket)
    one = key_of(DAYS[0])
    old = bucket.get(one)
    made |= fill(bucket, 110, first=100)

    def make_many(keys: Iterable[str], make: Any) -> Iterator[tuple[str, Any]]:
        for key, blob in bucket.get_many(keys):
            new = Blob(zlib.compress(b"no index"), "") if key == one else blob
            yield key, StoreUnavailableError("late") if lost and key == one else make(key, new)
            if key == one:
                make(key, old)

    bucket.make_many = make_many  # type: ignore[attr-defined]
    found = [pair for keys, values in index.read_days(bucket, DAYS, BYTES) for pair in zip(keys, values, strict=True)]
    assert len(found) == 110
    assert dict(found) == made


def test_damaged_documents_are_in_no_index(bucket: Bucket) -> None:
    made = fill(bucket, 100)
    key = f"{DAYS[0]}/x.json"
    bucket.put(key, b"{")
    for _ in range(2):
        assert read(bucket) == {**made, key: b"{"}
    assert key in bucket.reads


def document(n: int, version: int) -> bytes:
    """A run's document, of the same size in each version; every third one as only the model reads it."""
    start = "2025-01-01T00:00:00" + ("" if n % 3 == 0 else "Z")
    errors = [{"fingerprint": "f", "count": version % 7, "last_seen": start}] if n % 4 == 0 else []
    return (
        RunMetadata(
            run_id=f"{n:04d}",
            started_at=start,
            command=f"{version:04d}",
            tags=["x"] * (n % 3),
            metrics={"share": n / 7},
            emails_failed=n % 2,
            email_results=[{"email": "a@b.c", "status": "failed"}] * (n % 2),
            rollup={"files": {"success": n}, "errors": errors} if n % 5 else None,
            parameters={"folder": "/data"},
        )
        .model_dump_json(indent=2)
        .replace("Z", "" if n % 3 == 0 else "Z")
        .encode()
    )


def plain(run: Any) -> dict[str, Any]:
    """What a fact holds, whatever stands for it."""
    found = {name: getattr(run, name) for name in FIELDS}
    found["tags"] = list(found["tags"])
    found["email_results"] = [(e.email, e.status, e.outcome) for e in run.email_results]
    if (rollup := found["rollup"]) is not None:
        groups = [(g.fingerprint, g.count, g.first_seen, g.last_seen) for g in rollup.errors]
        found["rollup"] = (rollup.files, groups, rollup.errors_cut)
    return found


@pytest.mark.parametrize("kind", [BYTES, MODELS, FACTS], ids=["bytes", "models", "facts"])
def test_never_wrong_while_others_write(bucket: Bucket, kind: Kind[Any]) -> None:
    """Random writes, rewrites of the same size, removals, old indexes put back, lost indexes."""
    rng = random.Random(7)
    truth: dict[str, bytes] = {}
    old: list[tuple[str, bytes]] = []
    whole: dict[type, Any] = {bytes: orjson.loads, RunMetadata: lambda run: run.model_dump()}
    show = plain if kind is FACTS else lambda value: whole[type(value)](value)
    from_index = 0
    for step in range(120):
        for _ in range(rng.randrange(1, 40)):
            n = rng.randrange(200)
            key = f"{rng.choice(DAYS)}/{n}.json"
            if rng.random() < 0.2:
                bucket.delete(key)
                truth.pop(key, None)
            else:
                truth[key] = document(n, rng.randrange(1000, 9999))
                bucket.put(key, truth[key])
        if step % 7 == 0:
            old += [(e.key, bucket.get(e.key).data) for e in bucket.list("index")]
        if old and step % 5 == 0:
            bucket.put(*rng.choice(old))
        if step % 31 == 0:
            bucket.delete(key_of(DAYS[0], kind))
        found = read(bucket, kind=kind)
        expected = {key: kind.make(data) for key, data in truth.items()}
        assert {key: show(value) for key, value in found.items()} == {key: show(v) for key, v in expected.items()}
        from_index += len(truth) - sum(key in truth for key in bucket.reads)
    assert from_index > 5_000, "most came out of indexes"


def test_the_sums_of_an_index_are_the_sums_of_the_documents(bucket: Bucket) -> None:
    """Whether they come from documents, a whole index, or one of which some documents have changed."""
    for n in range(200):
        bucket.put(f"{DAYS[n % 2]}/{n}.json", document(n, n))
    for changed in (0, 0, 7, 150):
        for n in range(changed):
            bucket.put(f"{DAYS[n % 2]}/{n}.json", document(n, 1000 + n))
        runs = list(read(bucket, kind=FACTS).values())
        models = [RunMetadata.model_validate_json(blob.data) for _, blob in bucket.inner.get_many(bucket.keys(DAYS))]
        assert Numbers.total(runs) == Numbers.total(models) == total(map(Numbers.of, models), Numbers())
        assert {k: (g.count, set(g.runs)) for k, g in sum_groups(runs).items()} == {
            k: (g.count, set(g.runs)) for k, g in sum_groups(models).items()
        }


def test_kinds_do_not_disturb_each_other(bucket: Bucket) -> None:
    """A reader of one kind, or of another version of this package, has indexes of its own."""
    for n in range(60):
        bucket.put(f"{DAYS[n % 2]}/{n}.json", document(n, 1))
    bucket.put(f"index/{DAYS[0]}.z", zlib.compress(b"trackrecord-index 1\n"))
    for kind in (FACTS, MODELS):
        read(bucket, kind=kind)
        read(bucket, kind=kind)
        assert bucket.reads == [key_of(day, kind) for day in DAYS]
    read(bucket, kind=FACTS)
    assert len(bucket.reads) == 2
    read(bucket)
    assert len(bucket.reads) == 2, "bytes and models are kept as one"


def test_a_damaged_document_is_told_and_in_no_index_of_facts(bucket: Bucket) -> None:
    for n in range(60):
        bucket.put(f"{DAYS[n % 2]}/{n}.json", document(n, 1))
    key = f"{DAYS[0]}/x.json"
    bucket.put(key, b'{"run_id": 3}')
    for kind in (FACTS, FACTS, MODELS, MODELS):
        found = read(bucket, kind=kind)
        assert len(found) == 61
        assert isinstance(found[key], ValidationError)


def test_a_number_that_json_has_no_word_for_is_in_no_index_of_facts(bucket: Bucket) -> None:
    for n in range(60):
        bucket.put(f"{DAYS[n % 2]}/{n}.json", document(n, 1))
    key = f"{DAYS[0]}/x.json"
    bucket.put(key, document(1, 1).replace(b"0.14285714285714285", b"NaN"))
    for _ in range(2):
        assert math.isnan(read(bucket, kind=FACTS)[key].metrics["share"])
    assert key in bucket.reads
