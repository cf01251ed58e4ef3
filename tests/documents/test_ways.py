"""A run's documents are the same by every way: quick and plain, as rows are read or later, in memory and on disk.

Longer: `TRACKRECORD_JOURNALS=20000`.
"""

from __future__ import annotations

import io
import os
from collections import defaultdict
from itertools import pairwise
from typing import Any

import orjson
import pytest
from journals import Journal

from prefect_trackrecord import events as ev
from prefect_trackrecord.documents import groups, outcomes, rows, sheet
from prefect_trackrecord.documents.fold import Fold
from prefect_trackrecord.documents.occurrences import by_file
from prefect_trackrecord.documents.quick import quick
from prefect_trackrecord.documents.rollup import roll_up
from prefect_trackrecord.documents.writing import dump_model, dump_rows
from prefect_trackrecord.journal import reader

SEEDS = range(int(os.environ.get("TRACKRECORD_JOURNALS", "0")) or 100)
END = ev.RunEnded(at=ev.datetime(2026, 1, 3, tzinfo=ev.timezone.utc), status="failed")


def told(segments: dict[str, Any], ended: ev.RunEnded | None, **how: Any) -> tuple[bytes, bytes, bytes, dict[str, int]]:
    fold = Fold("run 'é'", **how)
    sizes = {name: fold.read(name, source).size for name, source in segments.items()}
    docs = fold.documents(ended, generation=3)
    return dump_model(docs.run), docs.files.body(), dump_rows(docs.emails), sizes


def says_anything(segments: dict[str, bytes]) -> bool:
    events = (event for data in segments.values() for event in reader.SegmentReader(data))
    return any(not isinstance(event, ev.WriterOpened) for event in events)


def rows_one_by_one(segments: dict[str, bytes], ended: ev.RunEnded | None) -> list[dict[str, Any]]:
    """The rules, written out: every event an object, every file a list."""
    found = [event for data in segments.values() for event in reader.SegmentReader(data)]
    items: dict[str, list[ev.FileTracked]] = defaultdict(list)
    tracked, begun, inferred, numbers, saved = set(), {}, {}, defaultdict(dict), {}
    for event in found:
        if isinstance(event, ev.FileTracked):
            items[rows.item_of(event)].append(event)
            tracked.add(str(event.row.get("task_run_id")))
        elif isinstance(event, ev.FileStarted):
            begun[str(event.row.get("task_run_id"))] = event
        elif isinstance(event, ev.FileInferred):
            inferred[str(event.row.get("task_run_id"))] = event
    for event in sorted(
        (e for e in found if isinstance(e, ev.MetricTracked) and e.file is not None), key=lambda e: e.at
    ):
        numbers[event.file][event.name] = event.value
    for event in sorted((e for e in found if isinstance(e, ev.DocumentSaved)), key=lambda e: e.at):
        if event.document == "files":
            saved.update((rows.identity(row), row) for row in event.value)
    for name in {**begun, **inferred} if ended else ():
        if name not in tracked:
            from prefect_trackrecord.documents.silent import _outcome

            outcome = _outcome(begun.get(name), inferred.get(name))
            items[rows.item_of(outcome)].append(outcome)
    starts = sorted((e.run.get("run_count") or 1, e.at) for e in found if isinstance(e, ev.RunStarted))
    resumed = [now for before, now in pairwise(starts) if before[0] == now[0]]
    made = [rows.row_of(file) for group in items.values() for file in by_file(group, resumed)]
    for row in made:
        saved.pop(rows.identity(row), None)
    whole = [{"run_id": "run 'é'", **row, "schema_version": 1} for row in made]
    for row in saved.values():
        print_ = rows.fingerprint_of(row) if row["status"] == "failed" else None
        whole.append({**row, "run_id": "run 'é'", "error_fingerprint": print_})
    for row in whole:
        if more := numbers.get(row["file_path"]):
            own = row.get("metrics")
            row["metrics"] = {**(own if isinstance(own, dict) else {}), **more}
    return whole


@pytest.mark.parametrize("tame", [True, False], ids=["tame", "wild"])
def test_every_way_gives_the_same_bytes(monkeypatch, tmp_path, tame):
    if quick is None:
        pytest.skip("msgspec is not installed")
    for seed in SEEDS:
        segments = Journal(seed, tame=tame).segments
        ended = END if seed % 3 or not says_anything(segments) else None
        first = told(segments, ended, quick=None)
        assert orjson.loads(first[1]) == orjson.loads(orjson.dumps(rows_one_by_one(segments, ended))), seed
        assert orjson.loads(first[0])["rollup"] in (None, roll_up(orjson.loads(first[1])).model_dump(mode="json")), seed
        assert told(segments, ended, quick=quick) == first, seed
        assert told(segments, ended, quick=quick, writing=True) == first, seed
        with monkeypatch.context() as small:
            small.setattr(reader, "_BLOCK", 700)
            small.setattr(sheet, "IN_MEMORY", 100)
            small.setattr(groups, "IN_MEMORY", 2)
            small.setattr(groups, "_PARTS", 3)
            small.setattr(outcomes, "_AT_ONCE", 7)
            small.setattr(outcomes, "_IN_MEMORY", 1000)
            for room in (sheet, groups, outcomes) if seed % 10 else ():
                small.setattr(room, "nameless", lambda folder: io.BytesIO())  # a busy disk makes files slowly
            assert told(segments, ended, quick=quick, writing=True, folder=tmp_path) == first, seed
            assert told(segments, ended, quick=None, writing=True) == first, seed
            paths = {name: tmp_path / name for name in segments}
            for name, data in segments.items():
                paths[name].write_bytes(data)
            assert told(paths, ended, quick=quick) == first, seed


def test_a_segment_that_grows_between_two_readings_is_read_as_far_as_the_first_time(tmp_path):
    path = tmp_path / "s.ndjson"
    line = ev.encode(ev.FileTracked(at=END.at, row={"file_path": "a", "status": "success"}))
    path.write_bytes(line * 5_000 + line[:9])
    fold = Fold("r")
    assert fold.read("s", path).size == len(line) * 5_000
    with path.open("ab") as file:
        file.write(line[9:] + line * 9)
    assert len(fold.documents(None).files[0]["attempts"]) == 5_000


def test_the_tame_are_all_read_the_quick_way(monkeypatch):
    """Else the figures of docs/benchmarks.md would be of something else."""
    if quick is None:
        pytest.skip("msgspec is not installed")
    monkeypatch.setattr(type(quick), "read_one", None)  # asked only where a block could not be read at once
    for seed in range(40):
        journal = Journal(seed, tame=True)
        if "odd" not in journal.kinds:
            told(journal.segments, END, quick=quick)


def test_no_event_has_the_fields_that_all_rows_get():
    rows_ = [{"file_path": name, "status": "success", name: "\0"} for name in ("run_id", "schema_version")]
    segments = {"s": b"".join(ev.encode_file(END.at, row) for row in rows_)}
    for way in (quick, None):
        for row in orjson.loads(told(segments, END, quick=way)[1]):
            assert (row["run_id"], row["schema_version"]) == ("run 'é'", 1)
