"""Which end counts where a run is sealed again, and what is left behind; see `test_seal` for crashes and races."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import orjson
import pytest

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import layout
from prefect_trackrecord.documents.attempts import RECOVERED
from prefect_trackrecord.documents.run_journal import IMPORTED, RunJournal, SealRecord, newest_record
from prefect_trackrecord.documents.seal import seal
from prefect_trackrecord.errors import ConflictError, StoreError, StoreUnavailableError
from prefect_trackrecord.store import open_store
from prefect_trackrecord.store.base import Store

T0 = datetime(2026, 1, 2, 3, tzinfo=timezone.utc)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def write(store: Store, name: str, *events: ev.Event) -> None:
    store.put(f"{layout.journal_prefix('r')}/{name}.ndjson", b"".join(map(ev.encode, events)))


def started(count: int = 1) -> ev.RunStarted:
    return ev.RunStarted(at=T0 + timedelta(minutes=count), run={"command": "c", "run_count": count})


def ended(**fields: Any) -> ev.RunEnded:
    return ev.RunEnded(at=T0 + timedelta(minutes=5), **fields)


def status(store: Store, end: ev.RunEnded | None = None) -> tuple[str, int]:
    run = seal(store, "r", now=T0, ended=end)
    assert run is not None
    return run.status.value, run.generation


def test_an_end_that_is_known_later_closes_an_open_run(store: Store) -> None:
    write(store, "w", started())
    assert status(store) == ("running", 1)
    assert status(store) == ("running", 1)
    gone = ended(status="aborted", reason=f"{RECOVERED}: gone")
    assert status(store, gone) == ("aborted", 2)
    assert status(store, ended(status="failed")) == ("aborted", 2)
    assert status(store) == ("aborted", 2)


def test_what_a_recovery_knew_of_a_second_attempt_stays(store: Store) -> None:
    write(store, "w", started(1), started(2))
    assert status(store, ended(status="aborted", reason=f"{RECOVERED}: gone", run_count=2)) == ("aborted", 1)
    write(store, "late", ended(status="success", run_count=2))
    assert status(store) == ("aborted", 2)


def test_prefects_later_word_of_a_runs_own_end_counts(store: Store) -> None:
    """A run that Prefect took for a zombie went on; what its function did before that changes nothing."""
    write(store, "w", started())
    crashed = ended(status="aborted", state="Crashed", reason=f"{RECOVERED}: Prefect says so")
    assert status(store, crashed) == ("aborted", 1)
    write(store, "early", ev.RunEnded(at=T0, status="failed", state="Failed"))
    assert status(store) == ("aborted", 2)
    write(store, "unsaid", ev.RunEnded(at=T0 + timedelta(minutes=9)))
    assert status(store) == ("aborted", 3)
    write(store, "own", ev.RunEnded(at=T0 + timedelta(minutes=10), state="Completed"))
    assert status(store) == ("success", 4)


def test_what_prefect_told_of_a_run_gives_way_to_what_it_told_itself(store: Store) -> None:
    imported = f"{IMPORTED}0"
    task = ev.FileTracked(at=T0, row={"file_path": "work-0", "status": "success"}, item="work\0work-0")
    write(store, imported, started(), task, ended(reason="imported"))
    assert status(store) == ("success", 1)
    write(store, "own", started(), ev.FileTracked(at=T0, row={"file_path": "a", "status": "failed"}), ended())
    run = seal(store, "r", now=T0)
    assert run is not None
    assert (run.status.value, run.total_files, run.failed_count, run.reason) == ("failed", 1, 1, None)
    assert status(store) == ("failed", 2), "all is covered"


def test_a_record_without_an_attempt_is_of_the_first(store: Store) -> None:
    """As an older writer may have left it."""
    write(store, "w", started(1), ended(status="failed"))
    assert status(store) == ("failed", 1)
    key = layout.seal_key("r", 1)
    blob = store.get(key)
    assert blob is not None
    body = orjson.loads(blob.data)
    body["ended"] = {**body["ended"], "run_count": None, "reason": f"{RECOVERED}: gone"}
    store.put(key, orjson.dumps(body))
    write(store, "again", started(2), ended(status="success", run_count=2))
    assert status(store) == ("success", 2)


def test_one_mark_is_left(store: Store) -> None:
    def marks() -> list[str]:
        return [e.key for e in store.list(layout.journal_prefix("r")) if "/done-" in e.key]

    write(store, "w", started(), ended())
    seal(store, "r", now=T0)
    (first,) = marks()
    write(store, "late", ev.FileTracked(at=T0, row={"file_path": "a", "status": "success"}))
    seal(store, "r", now=T0)
    (second,) = marks()
    assert "done-000001-" in first
    assert "done-000002-" in second


def test_races_without_end_are_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def beaten(_: Any, key: str, *__: object) -> str:
        tries.append(key)
        raise ConflictError("others")

    write(store, "w", started(), ended())
    monkeypatch.setattr(type(store), "create", beaten)
    with pytest.raises(StoreError, match="could not be sealed: others kept changing it for 50 rounds"):
        seal(store, "r", now=T0)
    assert len(tries) == 50
    assert newest_record(store, "r") is None


def test_the_names_beside_the_segments_are_kept(store: Store) -> None:
    """Older histories hold them: what lies beside a journal is told by its name alone."""
    write(store, "saved-1", started(), ended())
    seal(store, "r", now=T0)
    names = sorted(e.key.rpartition("/")[2] for e in store.list(layout.journal_prefix("r")))
    assert [re.sub("[0-9a-f]{24}", "#", name) for name in names] == [
        "done-000001-#",
        "saved-1.ndjson",
        "seal-000001.json",
    ]
    assert RunJournal.read(store, "r").fold().writers == [False], "nobody keeps on writing to what was saved"


def test_a_record_covers_what_it_names_up_to_its_size(store: Store) -> None:
    def journal(**segments: int) -> RunJournal:
        return RunJournal(store, "r", segments, 1)

    record = SealRecord(1, "2026/01/02", {"a": 10})
    assert journal(a=10).is_covered_by(record)
    assert journal(a=9).is_covered_by(record)
    assert not journal(a=11).is_covered_by(record)
    assert not journal(a=10, b=1).is_covered_by(record)
    assert journal(a=10, b=0).is_covered_by(record)


def test_segments_come_a_few_at_a_time() -> None:
    """None of these parts brings more than 32 MiB into memory, but for one segment that is larger alone."""
    mib = 1 << 20
    sizes = {"a": 20 * mib, "b": 12 * mib, "c": 1, "d": 40 * mib, "e": 32 * mib, "f": 1}
    assert list(RunJournal._few(sizes, sizes)) == [["a", "b"], ["c"], ["d"], ["e"], ["f"]]  # noqa: SLF001
    assert list(RunJournal._few([], {})) == []  # noqa: SLF001


def test_a_segment_that_is_gone_is_an_error(tmp_path: Path) -> None:
    bucket = open_store(f"memory://steps-{tmp_path.name}/x")
    write(bucket, "w", started(), ended())
    journal = RunJournal.read(bucket, "r")
    bucket.delete(f"{layout.journal_prefix('r')}/w.ndjson")
    with pytest.raises(StoreError, match=r"segment journal/r/w\.ndjson is gone"):
        journal.fold()


def test_a_segment_that_can_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = open_store(f"memory://steps-{tmp_path.name}/y")
    write(bucket, "w", started(), ended())

    def broken(_: Any, keys: Iterable[str]) -> Iterator[tuple[str, Exception]]:
        return ((key, StoreUnavailableError("away")) for key in keys)

    monkeypatch.setattr(type(bucket), "get_many", broken)
    with pytest.raises(StoreError, match=r"journal/r/w\.ndjson can't be read: away"):
        RunJournal.read(bucket, "r").fold()


def test_a_record_comes_back_as_it_was_written() -> None:
    record = SealRecord(3, "2026/01/02", {"a": 10}, {"status": "success"}, sealer="one")
    again = SealRecord.load("k", record.dump())
    assert again == record
    assert again.sealer == "one"
