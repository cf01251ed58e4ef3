"""The local store against processes: races, kills, forks, and folders that can't be written."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from prefect_trackrecord.errors import KeyExistsError, StoreUnavailableError
from prefect_trackrecord.store import StoreConfig, open_store
from prefect_trackrecord.store._local import LocalStore
from prefect_trackrecord.store._locks import file_lock

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


_CREATOR = """
import json, sys, time
from prefect_trackrecord.errors import KeyExistsError
from prefect_trackrecord.store._local import LocalStore
store, index, won = LocalStore(sys.argv[1]), sys.argv[2], []
print("ready", flush=True)
start = float(sys.stdin.readline())
for number in range(20):
    while time.time() < start + number * 0.03:
        pass
    try:
        store.create(f"seals/{number}.json", f"process {index}".encode())
    except KeyExistsError:
        continue
    won.append(number)
print(json.dumps(won), flush=True)
"""


def _python(code: str, *args: object) -> subprocess.Popen[str]:
    """A Python process that can import what this one can."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def test_of_eight_processes_exactly_one_creates(tmp_path: Path) -> None:
    creators = [_python(_CREATOR, tmp_path, index) for index in range(8)]
    for creator in creators:
        assert creator.stdout is not None
        assert creator.stdout.readline() == "ready\n"
    start = time.time() + 0.1
    for creator in creators:
        assert creator.stdin is not None
        creator.stdin.write(f"{start}\n")
        creator.stdin.flush()
    won = [json.loads(creator.communicate(timeout=60)[0]) for creator in creators]
    store = LocalStore(tmp_path)
    for number in range(20):
        blob = store.get(f"seals/{number}.json")
        assert blob is not None
        winners = [f"process {index}".encode() for index in range(8) if number in won[index]]
        assert winners == [blob.data]
    assert _hidden_files(tmp_path / "seals") == []


def _write_for_ever(folder: Path, name: int, told: int) -> None:
    """In a child made by fork: a fresh interpreter for each kill would cost a third of a second."""
    store = LocalStore(folder)
    for number in itertools.count():
        body = bytes([97 + number % 26]) * 300_000
        store.put("doc.json", body)
        blob = store.get("doc.json")
        assert blob is not None
        store.replace("doc.json", body.upper(), blob.etag)
        store.create(f"new/{number % 5}-{name}.json", body)
        os.write(told, b"x")


@posix
def test_a_killed_writer_leaves_no_torn_document(tmp_path: Path) -> None:
    store, chance, killed_in_write = LocalStore(tmp_path), random.Random(7), 0
    for number in range(30):
        listen, told = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(listen)
                _write_for_ever(tmp_path, number, told)
            finally:
                os._exit(1)
        os.close(told)
        assert os.read(listen, 1) == b"x"  # it is at work
        time.sleep(chance.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(listen)
        killed_in_write += len(_hidden_files(tmp_path))
        for entry in store.list(""):
            blob = store.get(entry.key)
            assert blob is not None
            assert len(blob.data) == entry.size == 300_000
            assert len(set(blob.data)) == 1
        # The lock of the dead is free, and what it left beside the documents is in nobody's way.
        LocalStore(tmp_path, lock_seconds=1).put("doc.json", b"x" * 300_000)
    assert killed_in_write > 0, "no kill hit a write; the test shows nothing"


@posix
def test_a_lock_held_while_forking_is_dropped_by_the_parent(tmp_path: Path) -> None:
    path = str(tmp_path / "x.lock")
    reading, writing = os.pipe()
    with file_lock(path, seconds=1):
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)  # until the parent closes its end
            os._exit(0)
    try:
        with file_lock(path, seconds=1):
            pass
    finally:
        os.close(writing)
        os.waitpid(child, 0)


def test_a_lock_that_is_held_times_out_and_says_so(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, lock_seconds=0.2)
    etag = store.put("a/b", b"1")
    lock = next(iter((tmp_path / ".locks").iterdir()))
    with file_lock(str(lock), seconds=1):
        with pytest.raises(StoreUnavailableError, match="held the lock"):
            store.put("a/b", b"2")
        with pytest.raises(StoreUnavailableError, match="held the lock"):
            store.replace("a/b", b"2", etag)
    assert store.replace("a/b", b"2", etag)


def test_equal_sizes_in_quick_succession_have_their_own_etags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inodes are used again at once, and the kernel's clock for files is slow: the stamp must tell."""
    store = LocalStore(tmp_path)
    monkeypatch.setattr("prefect_trackrecord.store._local.os.fsync", lambda fd: None)  # as on a quick disk
    etags = [store.put("a/b", b"%06d" % number) for number in range(300)]
    assert len(set(etags)) == 300
    monkeypatch.setattr("prefect_trackrecord.store._local.time.time_ns", lambda: 10**18)  # a clock that was set back
    etags = [store.put("a/b", b"%06d" % number) for number in range(10)]
    stamps = [int(etag.split("-")[1]) for etag in etags]
    assert stamps == list(range(stamps[0], stamps[0] + 10))
    assert [entry.etag for entry in store.list("a")] == etags[-1:]


def test_an_etag_of_an_appended_file_belongs_to_the_bytes_read(tmp_path: Path) -> None:
    store, path = LocalStore(tmp_path), tmp_path / "journal" / "segment.ndjson"
    path.parent.mkdir()
    path.write_bytes(b"")
    done = threading.Event()

    def append() -> None:
        with path.open("ab", buffering=0) as file:
            for _ in range(3000):
                file.write(b"x" * 100)
        done.set()

    thread = threading.Thread(target=append)
    thread.start()
    while not done.is_set():
        blob = store.get("journal/segment.ndjson")
        assert blob is not None
        assert int(blob.etag.rpartition("-")[2]) == len(blob.data)
    thread.join()


@posix
def test_modes_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        LocalStore(tmp_path / "history").put("a/b", b"1")
        LocalStore(tmp_path / "history").create("a/c", b"1")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "history" / "a").stat().st_mode) == 0o750
    for name in ("b", "c"):
        assert stat.S_IMODE((tmp_path / "history" / "a" / name).stat().st_mode) == 0o640


def test_nothing_but_documents_is_listed_and_nothing_is_left_behind(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a/b", b"1")
    store.create("a/c", b"1")
    with pytest.raises(KeyExistsError):
        store.create("a/c", b"2")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"")
    (tmp_path / "a" / "new\nline").write_bytes(b"")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x").write_bytes(b"")
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    assert [entry.key for entry in store.list("")] == ["a/b", "a/c"]
    assert store.folders("") == ["a"]
    assert _hidden_files(tmp_path / "a") == [".DS_Store"]


@posix
def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "history")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").write_bytes(b"1")
    store.put("a/b", b"1")
    (tmp_path / "history" / "a" / "other").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "history" / "a" / "loop").symlink_to(tmp_path / "history" / "a")
    (tmp_path / "history" / "a" / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "history" / "a" / "itself").symlink_to(tmp_path / "history" / "a" / "itself")
    assert [entry.key for entry in store.list("a")] == ["a/b", "a/other/x"]


# Folders that can't be written.


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = LocalStore(tmp_path / "file" / "history")
    for call in (lambda: store.put("a/b", b"1"), lambda: store.create("a/b", b"1")):
        with pytest.raises(StoreUnavailableError, match="file.*Not a directory.*way out") as caught:
            call()
        assert str(tmp_path / "file") in str(caught.value)
    assert store.get("a/b") is None
    assert store.list("") == []


@posix
def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    """In a child without rights, as root may write everywhere."""
    folder = tmp_path / "history"
    LocalStore(folder).put("a/b", b"1")
    for path in (folder, folder / "a", folder / ".locks", *(folder / ".locks").iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in (tmp_path, *tmp_path.parents):
        if not path.stat().st_mode & stat.S_IXOTH and os.getuid() == 0 and path.is_relative_to("/tmp"):
            path.chmod(path.stat().st_mode | stat.S_IXOTH)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answers = {}
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            store = LocalStore(folder)
            blob = store.get("a/b")
            answers["get"] = blob.data.decode() if blob else "nothing"
            for name, call in (
                ("put", lambda: store.put("a/b", b"2")),
                ("create", lambda: store.create("a/new", b"2")),
                ("deeper", lambda: store.create("x/y", b"2")),
                ("delete", lambda: store.delete("a/b")),
            ):
                try:
                    call()
                    answers[name] = "done"
                except StoreUnavailableError as exc:
                    answers[name] = str(exc)
        finally:
            os.write(writing, json.dumps(answers).encode())
            os._exit(0)
    os.close(writing)
    answers = json.loads(os.read(reading, 65536))
    os.waitpid(child, 0)
    assert answers.pop("get") == "1"
    assert set(answers) == {"put", "create", "deeper", "delete"}
    for text in answers.values():
        assert "Permission denied" in text
        assert str(folder) in text
        assert "way out: give this user the rights" in text


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "No space left.*free some space"), (errno.EROFS, "Read-only.*mount it"), (errno.EIO, "put")],
)
def test_a_disk_that_fails_leaves_the_old_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    store = LocalStore(tmp_path)
    store.put("a/put", b"old")

    def fail(fd: int, data: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("prefect_trackrecord.store._local.os.write", fail)
    with pytest.raises(StoreUnavailableError, match=says):
        store.put("a/put", b"new")
    with pytest.raises(StoreUnavailableError, match=os.strerror(number)):
        store.create("a/create", b"new")
    monkeypatch.undo()
    blob = store.get("a/put")
    assert blob is not None
    assert blob.data == b"old"
    assert store.get("a/create") is None
    assert _hidden_files(tmp_path / "a") == []


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr("prefect_trackrecord.store._local.os.write", lambda fd, data: write(fd, bytes(data[:7])))
    store = LocalStore(tmp_path)
    store.put("a/b", b"0123456789" * 10)
    blob = store.get("a/b")
    assert blob is not None
    assert blob.data == b"0123456789" * 10


def test_a_filesystem_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("prefect_trackrecord.store._local.os.link", refuse)
    store = LocalStore(tmp_path)
    won: list[int] = []

    def create(index: int) -> None:
        try:
            store.create("a/b", str(index).encode())
        except KeyExistsError:
            return
        won.append(index)

    threads = [threading.Thread(target=create, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    blob = store.get("a/b")
    assert blob is not None
    assert [str(index).encode() for index in won] == [blob.data]
    assert _hidden_files(tmp_path / "a") == []


def test_open_store_gives_a_local_store_with_its_folder(tmp_path: Path) -> None:
    for config in (tmp_path, str(tmp_path), f"file://{tmp_path}", StoreConfig(str(tmp_path), {"x": "secret"})):
        store = open_store(config)
        assert store.local_root == tmp_path
        assert store.url == str(tmp_path)
        assert "secret" not in repr(config) + repr(store)


def _hidden_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".") and path.is_file())


def test_folders_are_tidied_while_others_write_into_them(tmp_path):
    """A writer whose folder goes as soon as it is made makes it anew."""
    store, done = LocalStore(tmp_path), threading.Event()

    def tidy():
        while not done.is_set():
            store.tidy("runs/2026/11/29")

    tidier = threading.Thread(target=tidy)
    tidier.start()
    try:
        for n in range(300):
            key = f"runs/2026/11/29/{n % 3}.json"
            (store.create if n % 2 else store.put)(key, b"%d" % n)
            blob = store.get(key)
            assert blob is not None
            assert blob.data == b"%d" % n
            store.delete(key)
    finally:
        done.set()
        tidier.join()
    store.put("runs/2026/11/28/x.json", b"1")
    store.tidy("runs/2026/11/28")
    store.tidy("runs/2026/11/29")
    assert [entry.key for entry in store.list("")] == ["runs/2026/11/28/x.json"]
    store.delete("runs/2026/11/28/x.json")
    store.tidy("runs/2026/11/28")
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["runs"]
    assert list((tmp_path / "runs").iterdir()) == []
