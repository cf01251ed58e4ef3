"""How fast it is at scale: one table, each line against a floor or a peer measured in the same run.

    python tests/benchmarks/scale.py            # make bench: small sizes, below three minutes
    python tests/benchmarks/scale.py --full     # make bench-full: the sizes of docs/benchmarks.md
    python tests/benchmarks/scale.py --full --write docs/benchmarks.md

Local work is told in processor time, medians of interleaved runs; buckets in wall time, at a stand-in on loopback that
answers after 20 ms. Data come from a seed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import _scale_buckets
import _scale_local
from _measure import Line, table

BEGIN, END = "<!-- scale: begin -->", "<!-- scale: end -->"
PARTS = ("track", "read", "rollups", "seal", "small", "buckets", "s3fs")


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    events: int = 20_000
    runs: int = 5_000
    row_runs: int = 1_000
    rows: int = 100
    sealed: int = 30_000
    bucket_runs: int = 3_000
    sample: int = 40
    small: int = 10
    rounds: int = 3


FULL = Sizes(100_000, 100_000, 100_000, 100, 1_000_000, 100_000, 200, 50, 3)


def measure(part: str, folder: Path, sizes: Sizes) -> list[Line]:
    """The lines of one part."""
    if part == "track":
        return _scale_local.track_file(folder, sizes.events, sizes.rounds + 2)
    if part == "read":
        return _scale_local.reading(folder, sizes.runs, sizes.rounds)
    if part == "rollups":
        return _scale_local.rollups(folder, sizes.row_runs, sizes.rows, sizes.rounds)
    if part == "seal":
        return _scale_local.seal(folder, sizes.sealed)
    if part == "small":
        return _scale_buckets.small_runs(sizes.small)
    if part == "buckets":
        return _scale_buckets.reading(sizes.bucket_runs, sizes.rounds)
    return _scale_buckets.plain_s3fs(sizes.bucket_runs, sizes.sample)


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--runs", type=int, help="so many runs, locally and in buckets")
    parser.add_argument("--folder", type=Path, help="where the data lie; made anew where left out")
    parser.add_argument("--write", type=Path, help="put the table between the marks of this page")
    given = parser.parse_args()
    sizes = FULL if given.full else Sizes()
    if given.runs:
        sizes = Sizes(**{**sizes.__dict__, "runs": given.runs, "bucket_runs": given.runs})
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        for part in given.only or PARTS:
            began = time.perf_counter()
            lines += measure(part, folder, sizes)
            print(f"{part}: {time.perf_counter() - began:.0f} s", flush=True)
    print(table(lines))
    if given.write:
        page = given.write.read_text()
        head, _, rest = page.partition(BEGIN)
        given.write.write_text(f"{head}{BEGIN}\n\n{table(lines)}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
