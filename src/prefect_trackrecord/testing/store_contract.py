"""What every store must do, as a class of tests to inherit from.

pytest is imported inside the tests only, so that this module can be imported without it.
"""
# ruff: noqa: D102 - a test's name says what it tests

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from prefect_trackrecord.errors import ConflictError, KeyExistsError
from prefect_trackrecord.store import Store, open_store

_MIB = 1 << 20


class StoreContract:
    """The tests that every `Store` passes.

    Inherit from it in a test module and give it a fixture named `store`, an empty store for each test::

        class TestMyStore(StoreContract):
            @pytest.fixture
            def store(self, tmp_path):
                return MyStore(tmp_path)

    Attributes:
        threads: how many write at once in the tests of exclusive create.
        rounds: how often they do.
    """

    threads = 16
    rounds = 20

    def another(self, store: Store) -> Store:
        """A second store on the same place; override it where the URL alone does not open one."""
        return open_store(store.url)

    # One object.

    def test_what_was_put_is_what_get_gives(self, store: Store) -> None:
        etag = store.put("run_metadata/2025/01/20/a.json", b'{"a": 1}')
        blob = store.get("run_metadata/2025/01/20/a.json")
        assert blob is not None
        assert (blob.data, blob.etag) == (b'{"a": 1}', etag)

    def test_a_missing_object_is_none(self, store: Store) -> None:
        assert store.get("nothing/here.json") is None
        store.put("a/b.json", b"1")
        assert store.get("a") is None
        assert store.get("a/c.json") is None

    def test_put_overwrites_with_shorter_and_longer(self, store: Store) -> None:
        for data in (b"long" * 100, b"x", b"longer" * 1000):
            store.put("a/b", data)
            blob = store.get("a/b")
            assert blob is not None
            assert blob.data == data

    def test_an_empty_object_is_an_object(self, store: Store) -> None:
        etag = store.put("a/empty", b"")
        blob = store.get("a/empty")
        assert blob is not None
        assert (blob.data, blob.etag) == (b"", etag)
        assert [(entry.key, entry.size) for entry in store.list("a")] == [("a/empty", 0)]

    def test_five_mebibytes(self, store: Store) -> None:
        data = bytes(range(256)) * (5 * _MIB // 256)
        store.put("a/large", data)
        blob = store.get("a/large")
        assert blob is not None
        assert blob.data == data
        assert store.list("a")[0].size == 5 * _MIB

    def test_all_bytes_come_back(self, store: Store) -> None:
        data = bytes(range(256)) + b"\r\n\x1a\x00"
        store.put("a/bytes", data)
        blob = store.get("a/bytes")
        assert blob is not None
        assert blob.data == data

    def test_keys_with_spaces_and_of_other_scripts(self, store: Store) -> None:
        keys = sorted(
            ["a/with space.json", "a/ä ö.json", "a/日本.json", "a/50%+1&2=3.json", "a/b#c?d.json", "a/🚀", "a/%41"]
        )
        for key in keys:
            store.put(key, key.encode())
        assert [entry.key for entry in store.list("a")] == keys
        for key, blob in store.get_many(keys):
            assert getattr(blob, "data", blob) == key.encode()

    def test_bad_keys_are_refused(self, store: Store) -> None:
        bad = ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "./a", "a\0b", "a\nb", "a\\b", "a/.hidden", "a\ud800"]
        for key in bad:
            for call in (store.get, store.delete, _put(store.put), _put(store.create), _replace(store)):
                with _raises(ValueError):
                    call(key)
        assert store.list("") == []

    def test_delete_twice(self, store: Store) -> None:
        store.put("a/b", b"1")
        store.delete("a/b")
        assert store.get("a/b") is None
        assert store.list("a") == []
        store.delete("a/b")
        store.delete("never/was/there")

    # Etags.

    def test_an_etag_changes_with_the_content(self, store: Store) -> None:
        etags = [store.put("a/b", str(number).encode()) for number in range(10)]
        assert len(set(etags)) == 10

    def test_etags_of_list_get_and_writes_are_the_same(self, store: Store) -> None:
        written = {
            "a/put": store.put("a/put", b"1"),
            "a/create": store.create("a/create", b"2"),
            "a/replace": store.replace("a/replace", b"3", None),
        }
        written["a/replaced"] = store.replace("a/replaced", b"5", store.put("a/replaced", b"4"))
        listed = {entry.key: entry.etag for entry in store.list("a")}
        got = {key: getattr(blob, "etag", blob) for key, blob in store.get_many(written)}
        assert listed == written
        assert got == written

    # Exclusive create.

    def test_create_makes_it(self, store: Store) -> None:
        etag = store.create("a/b", b"1")
        blob = store.get("a/b")
        assert blob is not None
        assert (blob.data, blob.etag) == (b"1", etag)

    def test_create_refuses_other_content(self, store: Store) -> None:
        store.create("a/b", b"1")
        with _raises(KeyExistsError):
            store.create("a/b", b"2")
        blob = store.get("a/b")
        assert blob is not None
        assert blob.data == b"1"

    def test_create_of_equal_content_is_a_retry(self, store: Store) -> None:
        etag = store.create("a/b", b"1")
        assert store.create("a/b", b"1") == etag

    def test_create_after_delete(self, store: Store) -> None:
        store.create("a/b", b"1")
        store.delete("a/b")
        store.create("a/b", b"2")
        blob = store.get("a/b")
        assert blob is not None
        assert blob.data == b"2"

    def test_of_many_creators_exactly_one_wins(self, store: Store) -> None:
        for number in range(self.rounds):
            key = f"seals/{number}.json"
            won: list[bytes] = []

            def create(index: int, key: str = key, won: list[bytes] = won) -> None:
                data = f"writer {index}".encode()
                try:
                    store.create(key, data)
                except KeyExistsError:
                    return
                won.append(data)

            _at_once(create, self.threads)
            blob = store.get(key)
            assert blob is not None
            assert won == [blob.data]

    # Compare and swap.

    def test_replace_with_the_right_etag(self, store: Store) -> None:
        etag = store.put("a/b", b"1")
        new = store.replace("a/b", b"2", etag)
        blob = store.get("a/b")
        assert blob is not None
        assert (blob.data, blob.etag) == (b"2", new)

    def test_replace_with_an_old_etag_conflicts(self, store: Store) -> None:
        old = store.put("a/b", b"1")
        store.put("a/b", b"2")
        with _raises(ConflictError):
            store.replace("a/b", b"3", old)
        blob = store.get("a/b")
        assert blob is not None
        assert blob.data == b"2"

    def test_replace_of_nothing(self, store: Store) -> None:
        store.replace("a/b", b"1", None)
        with _raises(ConflictError):
            store.replace("a/b", b"2", None)
        blob = store.get("a/b")
        assert blob is not None
        assert blob.data == b"1"

    def test_replace_of_what_was_deleted_conflicts(self, store: Store) -> None:
        etag = store.put("a/b", b"1")
        store.delete("a/b")
        with _raises(ConflictError):
            store.replace("a/b", b"2", etag)
        assert store.get("a/b") is None

    def test_replace_that_was_done_already_is_a_retry(self, store: Store) -> None:
        old = store.put("a/b", b"1")
        new = store.replace("a/b", b"2", old)
        assert store.replace("a/b", b"2", old) == new

    def test_no_update_is_lost(self, store: Store) -> None:
        each = 5
        store.put("a/counter", b"0 start")

        def count(index: int) -> None:
            for step in range(each):
                while True:
                    blob = store.get("a/counter")
                    assert blob is not None
                    value = int(blob.data.split()[0]) + 1
                    try:
                        # Who and which step: equal bytes of two writers would both count as done.
                        store.replace("a/counter", f"{value} {index}-{step}".encode(), blob.etag)
                    except ConflictError:
                        continue
                    break

        _at_once(count, 8)
        blob = store.get("a/counter")
        assert blob is not None
        assert int(blob.data.split()[0]) == 8 * each

    # Listings.

    def test_a_prefix_is_a_folder_and_no_beginning_of_a_name(self, store: Store) -> None:
        for key in ("a/x", "a/b/y", "ab/x", "a.json", "b/a/x"):
            store.put(key, b"1")
        assert [entry.key for entry in store.list("a")] == ["a/b/y", "a/x"]
        assert [entry.key for entry in store.list("a/")] == ["a/b/y", "a/x"]
        assert [entry.key for entry in store.list("")] == ["a.json", "a/b/y", "a/x", "ab/x", "b/a/x"]

    def test_lists_of_nothing_are_empty(self, store: Store) -> None:
        assert store.list("") == []
        assert store.list("nothing") == []
        assert store.folders("") == []
        assert store.folders("nothing") == []
        store.put("a/b", b"1")
        assert store.list("a/b") == []
        assert store.list("a/c") == []

    def test_lists_are_sorted_and_whole(self, store: Store) -> None:
        keys = [f"a/{number % 7}/{number:03d}.json" for number in range(120)]
        for key in keys:
            store.put(key, key.encode())
        listed = store.list("a")
        assert [entry.key for entry in listed] == sorted(keys)
        assert {entry.size for entry in listed} == {len("a/0/000.json")}

    def test_folders(self, store: Store) -> None:
        for key in ("y/2025/01/a", "y/2024/b", "y/2025/c", "y/file", "z/a", "top"):
            store.put(key, b"1")
        assert store.folders("y") == ["2024", "2025"]
        assert store.folders("y/2025") == ["01"]
        assert store.folders("y/2024") == []
        assert store.folders("") == ["y", "z"]
        store.delete("y/2024/b")
        assert store.folders("y") == ["2025"]

    def test_bad_prefixes_are_refused(self, store: Store) -> None:
        for prefix in ("/", "/a", "../a", "a//b", "a/.."):
            with _raises(ValueError):
                store.list(prefix)
            with _raises(ValueError):
                store.folders(prefix)

    # Many at once.

    def test_get_many_keeps_the_order_and_tells_what_is_missing(self, store: Store) -> None:
        for number in range(0, 100, 2):
            store.put(f"a/{number}", str(number).encode())
        keys = [f"a/{number}" for number in reversed(range(100))]
        got = list(store.get_many(iter(keys)))
        assert [key for key, _ in got] == keys
        for key, blob in got:
            number = int(key.partition("/")[2])
            assert getattr(blob, "data", blob) == (None if number % 2 else str(number).encode())

    def test_get_many_gives_an_error_in_its_place(self, store: Store) -> None:
        store.put("a/1", b"1")
        got = dict(store.get_many(["a/1", "../x", "a/2", "a/1"]))
        assert isinstance(got["../x"], ValueError)
        assert getattr(got["a/1"], "data", None) == b"1"
        assert got["a/2"] is None

    def test_get_many_can_be_left_early(self, store: Store) -> None:
        for number in range(40):
            store.put(f"a/{number}", b"1")
        reading = store.get_many(f"a/{number}" for number in range(40))
        assert next(reading)[0] == "a/0"
        reading.close()  # type: ignore[attr-defined]
        assert store.get("a/39") is not None

    # Others.

    def test_a_reader_never_sees_a_part(self, store: Store) -> None:
        size = 200_000
        store.put("a/b", b"\0" * size)
        done = threading.Event()
        torn: list[str] = []
        reads = [0] * 3

        def read(index: int) -> None:
            while not done.is_set() or reads[index] < 5:
                blob = store.get("a/b")
                if blob is None or len(blob.data) != size or len(set(blob.data)) != 1:
                    torn.append("none" if blob is None else f"{len(blob.data)} bytes of {len(set(blob.data))} kinds")
                reads[index] += 1

        def write(_: int) -> None:
            try:
                for number in range(1, 40):
                    store.put("a/b", bytes([number]) * size)
            finally:
                done.set()

        _at_once(lambda index: read(index) if index < 3 else write(index), 4)
        assert torn == []
        assert min(reads) >= 5

    def test_another_store_sees_new_objects_at_once(self, store: Store) -> None:
        other = self.another(store)
        assert other.url == store.url
        assert other.list("a") == []
        assert other.get("a/b") is None
        for number in range(3):
            etag = store.put(f"a/{number}", b"1")
            blob = other.get(f"a/{number}")
            assert blob is not None
            assert blob.etag == etag
            assert len(other.list("a")) == number + 1
        store.put("a/0", b"2")
        blob = other.get("a/0")
        assert blob is not None
        assert blob.data == b"2"
        assert other.folders("") == ["a"]

    def test_threads_may_share_it(self, store: Store) -> None:
        def work(index: int) -> None:
            for number in range(5):
                key = f"t{index}/{number}"
                store.put(key, key.encode())
                blob = store.get(key)
                assert blob is not None
                assert blob.data == key.encode()
            assert len(store.list(f"t{index}")) == 5

        _at_once(work, 8)
        assert len(store.list("")) == 40

    def test_its_url_is_a_text(self, store: Store) -> None:
        assert isinstance(store.url, str)
        assert store.url
        assert isinstance(store, Store)


def _raises(error: type[Exception]) -> AbstractContextManager[Any]:
    import pytest

    return pytest.raises(error)


def _put(write: Callable[[str, bytes], str]) -> Callable[[str], object]:
    return lambda key: write(key, b"1")


def _replace(store: Store) -> Callable[[str], object]:
    return lambda key: store.replace(key, b"1", "etag")


def _at_once(work: Callable[[int], None], count: int) -> None:
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
