"""The store contract, many objects: listings, reading many, threads, a second store on the same place."""

from __future__ import annotations

import threading

from prefect_trackrecord.store import Store, open_store
from prefect_trackrecord.testing._contract_help import at_once, raises


class ManyTests:
    """What holds of many objects, and of many that use them."""

    def another(self, store: Store) -> Store:
        """A second store on the same place; override it where the URL alone does not open one."""
        return open_store(store.url)

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

    def test_many_lists_at_once_are_those_lists(self, store: Store) -> None:
        """In the order asked for, with empty ones among them."""
        for day in ("01", "02", "04"):
            for n in range(3):
                store.put(f"runs/{day}/{n}.json", f"{day}{n}".encode())
        days = [f"runs/{day}" for day in ("04", "03", "01", "02")]
        found = list(store.list_many(days))
        assert [day for day, _ in found] == days
        assert all(entries == store.list(day) for day, entries in found)
        assert store.keys(days) == [entry.key for _, entries in found for entry in entries]
        assert len(store.keys(["runs"])) == 9

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
            with raises(ValueError):
                store.list(prefix)
            with raises(ValueError):
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

        at_once(lambda index: read(index) if index < 3 else write(index), 4)
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

        at_once(work, 8)
        assert len(store.list("")) == 40

    def test_its_url_is_a_text(self, store: Store) -> None:
        assert isinstance(store.url, str)
        assert store.url
        assert isinstance(store, Store)
