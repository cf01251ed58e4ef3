"""The store contract, objects: their bytes, etags, exclusive create and compare-and-swap."""

from __future__ import annotations

from prefect_trackrecord.errors import ConflictError, KeyExistsError
from prefect_trackrecord.store import Store
from prefect_trackrecord.testing._contract_help import at_once, raises, writing_put, writing_replace

_MIB = 1 << 20


class ObjectTests:
    """What holds of one object, also when many want to write it."""

    threads: int
    rounds: int

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
            for call in (
                store.get,
                store.delete,
                writing_put(store.put),
                writing_put(store.create),
                writing_replace(store),
            ):
                with raises(ValueError):
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
        with raises(KeyExistsError):
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

            at_once(create, self.threads)
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
        with raises(ConflictError):
            store.replace("a/b", b"3", old)
        blob = store.get("a/b")
        assert blob is not None
        assert blob.data == b"2"

    def test_replace_of_nothing(self, store: Store) -> None:
        store.replace("a/b", b"1", None)
        with raises(ConflictError):
            store.replace("a/b", b"2", None)
        blob = store.get("a/b")
        assert blob is not None
        assert blob.data == b"1"

    def test_replace_of_what_was_deleted_conflicts(self, store: Store) -> None:
        etag = store.put("a/b", b"1")
        store.delete("a/b")
        with raises(ConflictError):
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

        at_once(count, 8)
        blob = store.get("a/counter")
        assert blob is not None
        assert int(blob.data.split()[0]) == 8 * each
