"""Whether the tests notice: each small fault in a room's modules, and the room's quick tests against it.

    python tests/mutation/run.py [--rooms journal,ledger,seal] [--most 150] [--seed 1] [--workers 2] [--out FILE]

A fault is killed when a test fails, or does not end. What survives is printed with its line. `--most` faults of each
module are tried, chosen by `--seed`; 0 for all. Each fault gets a process of its own, forked from one that has loaded
what the tests need from elsewhere, and a package folder of its own: links to the sources, and the one changed module.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401 - loaded once, for all
import orjson  # noqa: F401
import pydantic  # noqa: F401
import pytest
from mutants import Mutant, mutants_of

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "prefect_trackrecord"
QUICK_RUNS = "tests/tracking/test_run_tracker.py"
ROOMS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "journal": (
        (
            "journal/writer.py",
            "journal/segments.py",
            "journal/reader.py",
            "journal/spool.py",
            "journal/spool_writer.py",
            "journal/losses.py",
        ),
        (
            "tests/journal/test_writer.py",
            "tests/journal/test_threads.py",
            "tests/journal/test_reader.py",
            "tests/journal/test_spool.py",
            "tests/journal/test_spool_writer.py",
            "tests/documents/test_uploading.py",
            "tests/documents/test_seal.py",
            QUICK_RUNS,
        ),
        "not children_upload and not whatever_comes_in",
    ),
    "ledger": (
        ("delivery/ledger.py", "delivery/ledger_entry.py", "delivery/once.py"),
        ("tests/delivery/test_once.py", "tests/delivery/test_ledger_steps.py", "tests/delivery/test_ledger.py"),
        "not bucket",
    ),
    "seal": (
        ("documents/seal.py", "documents/run_journal.py"),
        (
            "tests/documents/test_seal_steps.py",
            "tests/documents/test_seal.py",
            "tests/documents/test_fold.py",
            QUICK_RUNS,
            "tests/tracking/test_recovery.py",
        ),
        "not bucket",
    ),
}
"""The modules of each room, the tests that must notice, and which of these are quick enough."""
LEAST = 30.0


@dataclass
class Verdict:
    """What became of one fault."""

    module: str
    line: int
    what: str
    killed: bool
    seconds: float


def main() -> int:
    """Try them; returns 1 where fewer than 80 of 100 were killed in some room."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", default=",".join(ROOMS))
    parser.add_argument("--most", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found: dict[str, list[Verdict]] = {}
    for room in given.rooms.split(","):
        modules, *tests = ROOMS[room]
        began = time.monotonic()
        if not _passes(modules[0], (PACKAGE / modules[0]).read_text(), tests, 900):
            print(f"{room}: the tests fail without any fault")
            return 2
        limit = max(LEAST, 5 * (time.monotonic() - began))
        for module in modules:
            chosen = list(mutants_of((PACKAGE / module).read_text(encoding="utf-8")))
            if given.most and len(chosen) > given.most:
                chosen = random.Random(given.seed).sample(chosen, given.most)
            chosen.sort(key=lambda m: m.line)
            with ThreadPoolExecutor(given.workers) as pool:
                found[module] = list(pool.map(lambda m, module=module: _try(module, m, tests, limit), chosen))
            _tell(module, found[module])
            if given.out is not None:
                given.out.write_text(json.dumps({k: [asdict(v) for v in vs] for k, vs in found.items()}, indent=1))
    rooms = [[v for m in ROOMS[room][0] for v in found[m]] for room in given.rooms.split(",")]
    for room, verdicts in zip(given.rooms.split(","), rooms, strict=True):
        print(f"{room}: {sum(v.killed for v in verdicts)} of {len(verdicts)} killed")
    return int(any(sum(v.killed for v in verdicts) < 0.8 * len(verdicts) for verdicts in rooms))


def _tell(module: str, verdicts: list[Verdict]) -> None:
    killed = sum(v.killed for v in verdicts)
    print(f"{module}: {killed} of {len(verdicts)} killed", flush=True)
    for verdict in verdicts:
        if not verdict.killed:
            print(f"  {module}:{verdict.line}: {verdict.what}", flush=True)


def _try(module: str, mutant: Mutant, tests: list[Any], limit: float) -> Verdict:
    began = time.monotonic()
    passed = _passes(module, mutant.source, tests, limit)
    return Verdict(module, mutant.line, mutant.what, not passed, round(time.monotonic() - began, 1))


def _passes(module: str, source: str, tests: list[Any], limit: float) -> bool:
    """Whether the tests pass with this source of the module; a run that takes longer than `limit` does not."""
    place = Path(tempfile.mkdtemp(prefix="mutant-"))
    try:
        _package(place / "src" / "prefect_trackrecord", module, source)
        child = os.fork()
        if child == 0:
            _run(place, tests)
        ends = time.monotonic() + limit
        while time.monotonic() < ends:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status == 0
            time.sleep(0.05)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return False
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _package(target: Path, module: str, source: str) -> None:
    """The package as links, but for the folder of the one module that is changed."""
    folder, name = module.split("/")
    target.mkdir(parents=True)
    for entry in PACKAGE.iterdir():
        if entry.name not in (folder, "__pycache__"):
            (target / entry.name).symlink_to(entry)
    (target / folder).mkdir()
    for entry in (PACKAGE / folder).iterdir():
        if entry.name not in (name, "__pycache__"):
            (target / folder / entry.name).symlink_to(entry)
    (target / folder / name).write_text(source, encoding="utf-8")


def _run(place: Path, tests: list[Any]) -> None:
    """In the child: the tests, quietly; it ends with 0 where all pass."""
    os.setsid()
    quiet = os.open(place / "output.txt", os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    sys.path.insert(0, str(place / "src"))
    os.environ["PYTHONPATH"] = str(place / "src")  # for the programs that tests start
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(place / "hypothesis")
    os.chdir(ROOT)
    files, quick = tests
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", f"pythonpath={place / 'src'}", "-k", quick]
    code = 1
    try:
        code = int(pytest.main([*options, f"--basetemp={place / 'tmp'}", *files]))
    finally:
        os._exit(min(code, 125))


if __name__ == "__main__":
    sys.exit(main())
