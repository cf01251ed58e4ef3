"""Reading many runs leaves Python's collector as it was found, and a driver's cycles do not pile up meanwhile."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

from prefect_trackrecord.documents.models import RunMetadata
from prefect_trackrecord.documents.window import read_window
from prefect_trackrecord.store import LocalStore, StoreConfig, open_store


def fill(store: Any, count: int) -> None:
    for n in range(count):
        run = RunMetadata(run_id=f"{n}", started_at="2025-01-01T00:00:00Z")
        store.put(f"run_metadata/2025/01/01/{n}.json", run.model_dump_json().encode())


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was(tmp_path: Path, enabled: bool) -> None:
    store = LocalStore(tmp_path)
    fill(store, 3)
    if not enabled:
        gc.disable()
    try:
        assert len(read_window(store).runs) == 3
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


LOOKS = """
import gc, sys
from prefect_trackrecord.documents.window import read_window
from prefect_trackrecord.store import LocalStore
if sys.argv[2] == "frozen":
    gc.freeze()
before, looks = gc.get_freeze_count(), []
gc.collect()
gc.callbacks.append(lambda phase, info: looks.append(len(gc.get_objects(info["generation"]))))
runs = read_window(LocalStore(sys.argv[1])).runs
looks.append(len(runs) // 2)
print(gc.get_freeze_count() >= before, max(looks) > len(runs))
"""


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="its collector looks at a part at a time")
@pytest.mark.parametrize("others", ["", "frozen"])
def test_it_does_not_look_through_the_runs_and_leaves_what_others_froze(tmp_path: Path, others: str) -> None:
    fill(LocalStore(tmp_path), 300)
    command = [sys.executable, "-c", LOOKS, str(tmp_path), others]
    kept, looked = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert looked == str(others == "frozen")
    assert kept == "True" or not others


def test_a_drivers_cycles_are_collected_meanwhile() -> None:
    store: Any = open_store(StoreConfig("memory://window-cycles"))
    fill(store, 3_000)
    alive: list[weakref.ref[Any]] = []
    most = 0

    class Cycle:
        def __init__(self) -> None:
            self.self = self

    class Driver:
        indexed, local_root = False, None

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def make_many(self, keys: Any, make: Any) -> Any:
            nonlocal most
            for key, blob in store.get_many(keys):
                alive.append(weakref.ref(Cycle()))
                yield key, make(key, blob)
                if len(alive) % 100 == 0:
                    most = max(most, sum(ref() is not None for ref in alive))

    assert len(read_window(Driver()).runs) == 3_000
    assert most < 2_000
